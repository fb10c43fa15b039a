"""Which threads only waited, and where: told apart from what ran. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from monitord.model import counted
from monitord.profiles.idle_calls import is_of_waiting_library, is_waiting
from monitord.profiles.representation import Frame, Profile, Thread

_PLACES = 3
_LONGEST_NAME = 80
_Who = tuple[int | None, int | None, str | None]


def waiting(profile: Profile) -> str | None:
    """Say how many threads only waited and in which function: "45 threads wait in _worker, 2 in accept".

    None where none did, or the evidence does not tell threads apart. A thread that also ran is left out.
    """
    ran = {_who(thread) for thread, _stack in profile.stacks if not thread.is_idle}
    heaviest: dict[_Who, tuple[float, tuple[int, ...]]] = {}
    for (thread, stack), value in profile.stacks.items():
        who = _who(thread)
        if thread.is_idle and any(who) and who not in ran:
            heaviest[who] = max(heaviest.get(who, (0.0, ())), (value, stack))
    places = Counter(
        _place([profile.frames[index] for index in stack]) for _value, stack in heaviest.values()
    )
    if not places:
        return None
    (first, count), *others = places.most_common()
    told = [f"{counted(count, 'thread')} {'waits' if count == 1 else 'wait'} in {first[:_LONGEST_NAME]}"]
    told += [f"{number:,} in {name[:_LONGEST_NAME]}" for name, number in others[: _PLACES - 1]]
    elsewhere = sum(number for _name, number in others[_PLACES - 1 :])
    return ", ".join([*told, f"{elsewhere:,} elsewhere"] if elsewhere else told)


def only_waited(profile: Profile) -> bool:
    """Whether no thread ran in any sample: where they waited is all that there is to say."""
    return bool(profile.stacks) and all(thread.is_idle for thread, _stack in profile.stacks)


def _who(thread: Thread) -> _Who:
    return thread.pid, thread.thread_id, None if thread.thread_id is not None else thread.name


def _place(frames: Sequence[Frame]) -> str:
    """The function that waits: not the library's call for it, but who made that, where it is on the stack."""
    for frame in reversed(frames):
        is_library = is_of_waiting_library(frame.file) if frame.kind == "python" else is_waiting(frame.name)
        if not is_library and frame.kind != "kernel":
            return frame.name
    return frames[-1].name
