"""Which process uses a socket that several hold: a parent that waits, or the child that works.

Sockets are inherited by fork and handed over by systemd, so that holding one says little. What decides is who
is met running in a send or receive of that socket, or blocked in one, and who alone ran long enough to have
moved the bytes; or nothing does. That a process burns CPU, also in the kernel, says nothing: it may do so at
something else.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitord import procfs
from monitord.procfs import descriptors, sockdiag
from monitord.procfs.system_calls import CALLS, RECEIVES, SENDS

Held = dict[int, dict[int, set[int]]]
"""Descriptors by process by inode."""

LOOK_S = 0.3
_LOOKS = 30
_LEAST_NS_A_BYTE = 0.03  # 33 GB/s: nobody copies faster
_BUFFERED_BYTES = 8 * 1024 * 1024  # may go out or come in while who moves them sleeps
_MOST = 0.8  # of the bytes: who moved less of them is not to blame
_TIMES = 10  # of two that work as much one is met that often, and the other never, in one watch of 500
_PART = 0.2  # of the bytes: what went the other way, and was less, says nothing of who moved them
_THREADS_AT_MOST = 64
_THREADS_COUNTED = 4000
_LINKS_AT_MOST = 400_000  # 2 µs each
_PROCESSES_AT_MOST = 64
_BOTH = (True, False)  # sent and received
_MOVING = SENDS | RECEIVES
_UNSEEN = 0
"""Stands for the inode where a thread moves bytes at something else: io_uring's own file, a pipe."""


class Samples(Protocol):
    """As of perf_events.moving: pid, thread, descriptor and whether it sends, of each met running."""

    def fresh(self) -> Iterable[tuple[int, int, int, bool]]: ...


@dataclass(slots=True)
class Activity:
    """What a process did meanwhile: its time on CPUs, and how often it was met moving bytes.

    `blocked` are looks by descriptor and whether in a send, `running` samples by inode and whether in a send.
    """

    run_ns: int = 0
    blocked: Counter[tuple[int, bool]] = field(default_factory=Counter)
    running: Counter[tuple[int, bool]] = field(default_factory=Counter)

    def hits(self, descriptors: Iterable[int], inodes: Iterable[int] = ()) -> int:
        """How often it was met at these."""
        return _at(self.blocked, descriptors, _BOTH) + _at(self.running, inodes, _BOTH)


@dataclass(frozen=True, slots=True)
class Use:
    """A process' time on CPUs, and how often it was met at one socket, blocked and running."""

    run_ns: int = 0
    blocked: int = 0
    running: int = 0


@dataclass(slots=True)
class Owners:
    """Who uses which socket, and those that share one undecided. `sure`: no other can have."""

    by_inode: dict[int, int] = field(default_factory=dict)
    shared: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sure: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Watched:
    """The sockets before and after, and what their holders did in between."""

    before: sockdiag.Sockets
    after: sockdiag.Sockets
    over_s: float
    seen: dict[int, Activity]


def holders(inodes: Iterable[int], kind: str = "socket") -> Held:
    """Every process that holds each of these sockets (or pipes), as far as we may look.

    Nobody, where so many descriptors are open that not all are looked at: another might hold it, too.
    """
    wanted = {f"{kind}:[{inode}]": inode for inode in inodes}
    found: Held = {}
    if not wanted:
        return found
    left = _LINKS_AT_MOST
    for pid in procfs.pids():
        try:
            for descriptor, target in descriptors.links(pid):
                left -= 1
                if target in wanted:
                    found.setdefault(wanted[target], {}).setdefault(pid, set()).add(descriptor)
        except OSError:
            continue  # gone, or may not be read
        if left < 0:
            return {}
    return found


def by_process(held: Held) -> dict[int, set[int]]:
    """Descriptors of all these sockets by process."""
    found: dict[int, set[int]] = {}
    for by in held.values():
        for pid, theirs in by.items():
            found.setdefault(pid, set()).update(theirs)
    return found


def activity(
    held: Mapping[int, set[int]],
    over_s: float,
    samples: Samples | None = None,
    look: Callable[[], None] = lambda: None,
) -> dict[int, Activity]:
    """What these processes, 64 at most, did with these descriptors, looked at some times within `over_s`.

    And who else was sampled at a socket. `look` is called at the begin and at the end, when the time on CPUs
    is taken already, or not yet: of what happens in between nobody's time is missing.
    """
    looked_at = dict(list(held.items())[:_PROCESSES_AT_MOST])
    seen = {pid: Activity() for pid in looked_at}
    before = {pid: _run_ns(pid) for pid in looked_at}
    for _ in samples.fresh() if samples else ():
        pass  # of the time until now
    look()
    for _ in range(_LOOKS):
        for pid, used in looked_at.items():
            seen[pid].blocked.update(one for one in _calls(pid) if one[0] in used)
        time.sleep(over_s / _LOOKS)
        if samples:
            _add_samples(seen, samples)
    look()
    for pid in looked_at:
        seen[pid].run_ns = max(0, _run_ns(pid) - before[pid])
    return seen


def _add_samples(seen: dict[int, Activity], samples: Samples) -> None:
    """Where a thread is met, its own table says which socket it is: no other need have that descriptor."""
    known: dict[tuple[int, int], int] = {}
    for pid, thread, descriptor, is_sending in samples.fresh():
        key = thread, descriptor
        if key not in known:
            known[key] = _socket_at(pid, thread, descriptor)
        seen.setdefault(pid, Activity()).running[known[key], is_sending] += 1


def _socket_at(pid: int, thread: int, descriptor: int) -> int:
    try:
        link = procfs.link(procfs.path(pid, f"task/{thread}/fd/{descriptor}"))
    except OSError:
        return _UNSEEN  # closed meanwhile, or it may not be seen
    return (descriptors.inode_in(link) or _UNSEEN) if link.startswith("socket:") else _UNSEEN


def chosen(seen: Mapping[int, Use], moved_bytes: float = 0.0) -> tuple[int, bool] | None:
    """The one that moved the bytes, and whether that is sure; None: nobody, or several may have.

    Sure is who was met there nearly every time that anybody was, or alone ran long enough for more than the
    kernel may have kept for it. Who works is met running as often as it works, and may be blocked all day
    while it moves little: so the former decides first.
    """
    running = {pid: did.running for pid, did in seen.items()}
    if (met := _met_most(running)) is not None:
        return met, True
    by_hand = max(0.0, moved_bytes - _BUFFERED_BYTES)
    least_ns = _MOST * by_hand * _LEAST_NS_A_BYTE
    able = {pid: did for pid, did in seen.items() if did.run_ns > least_ns or did.running}
    if len(able) == 1:
        return next(iter(able)), by_hand > 0
    if any(running.values()):
        return None
    met = _met_most({pid: did.blocked for pid, did in able.items()})
    return None if met is None else (met, True)


def _met_most(times: Mapping[int, int]) -> int | None:
    """The process that was met there so much more often than all others that chance does not explain it."""
    whole = sum(times.values())
    return next((pid for pid, met in times.items() if met >= _TIMES * (1 + whole - met)), None)


def owners(
    held: Held,
    sockets: Callable[[], Mapping[int, tuple[int, int]]],
    over_s: float = LOOK_S,
    samples: Samples | None = None,
    *,
    doubts: bool = False,
) -> Owners:
    """The process that uses each socket; and of those that several share undecided, all of them.

    `sockets` gives the bytes that each has sent and received so far. `doubts`: who is seen to hold one alone
    is looked at, too. A thread with descriptors of its own, and io_uring, hold sockets that nobody sees,
    unless `samples` meet them.
    """
    found = Owners()
    several = {inode: by for inode, by in held.items() if len(by) > 1 or doubts}
    if not doubts:
        found.by_inode = {inode: next(iter(by)) for inode, by in held.items() if len(by) == 1}
        found.sure.update(found.by_inode)
    told: list[Mapping[int, tuple[int, int]]] = []
    is_watched = bool(several or (held and samples))
    used = by_process(several)
    seen = activity(used, over_s, samples, lambda: told.append(sockets())) if is_watched else {}
    for inode in held.keys() - several.keys():
        met = _met_most({pid: _at(did.running, (inode,), _BOTH) for pid, did in seen.items()})
        if met is not None:
            found.by_inode[inode] = met
    for inode, by in several.items():
        (sent, received), after = (one.get(inode, (0, 0)) for one in told)
        moved = max(0, after[0] - sent), max(0, after[1] - received)  # less: it was closed
        choice = _choice(inode, by, seen, moved)
        if choice is None and len(by) == 1:
            continue
        if choice is None:
            found.shared[inode] = tuple(sorted(by))
        else:
            found.by_inode[inode] = choice[0]
            if choice[1]:
                found.sure.add(inode)
    return found


def _choice(
    inode: int, by: Mapping[int, set[int]], seen: Mapping[int, Activity], moved: tuple[int, int]
) -> tuple[int, bool] | None:
    """Of those that hold one socket, or were sampled there; None also if one was not looked at.

    Who waits in a read did not send. Where much went both ways, one process must have moved both.
    """
    if not by.keys() <= seen.keys():
        return None
    ways = [(is_sent, part) for is_sent, part in zip(_BOTH, moved, strict=True) if part >= _PART * sum(moved)]
    each = [_uses(inode, by, seen, is_sent) for is_sent, _part in ways]
    choices = [chosen(theirs, part) for theirs, (_is_sent, part) in zip(each, ways, strict=True)]
    found = {choice[0] if choice else None for choice in choices}
    pid = found.pop()
    if pid is None or found:
        return None
    if len(by) == 1:
        return pid, any(theirs[pid].blocked + theirs[pid].running > 0 for theirs in each)
    return pid, all(choice is not None and choice[1] for choice in choices)


def _uses(
    inode: int, by: Mapping[int, set[int]], seen: Mapping[int, Activity], is_sent: bool
) -> dict[int, Use]:
    """What those that hold it, or were sampled there, did to send through it, or to receive.

    Who moves bytes at something else may move those of any socket that he holds.
    """
    way = (is_sent,)
    return {
        pid: Use(did.run_ns, _at(did.blocked, by[pid], way), _at(did.running, (inode, _UNSEEN), way))
        if pid in by
        else Use(did.run_ns, 0, did.running[inode, is_sent])
        for pid, did in seen.items()
        if pid in by or (inode, is_sent) in did.running
    }


def _at(met: Mapping[tuple[int, bool], int], places: Iterable[int], ways: Iterable[bool]) -> int:
    return sum(met.get((place, way), 0) for place in places for way in ways)


def hidden_count() -> int:
    """Of how many processes we may not see what they hold."""
    hidden = 0
    for pid in procfs.pids():
        try:
            procfs.entries(procfs.path(pid, "fd"))
        except PermissionError:
            hidden += 1
        except OSError:
            continue  # gone meanwhile
    return hidden


def _calls(pid: int) -> list[tuple[int, bool]]:
    """At which descriptor each thread is blocked in a send or receive, and in which of them."""
    found = []
    for task in _tasks(pid):
        words = procfs.text(f"{task}/syscall", 256).split()
        call = CALLS.get(words[0]) if len(words) > 2 else None  # "running" or "-1 …" otherwise
        if call and call.name in _MOVING:
            found.append((int(words[1], 16), call.name in SENDS))
    return found


def _run_ns(pid: int) -> int:
    """Nanoseconds on CPUs of all threads; the kernel's ticks would be too coarse for tenths of a second."""
    told = (procfs.text(f"{task}/schedstat", 256).split() for task in _tasks(pid, _THREADS_COUNTED))
    return sum(int(words[0]) for words in told if words)


def _tasks(pid: int, most: int = _THREADS_AT_MOST) -> list[str]:
    folder = procfs.path(pid, "task")
    try:
        return [f"{folder}/{name}" for name in procfs.entries(folder)[:most]]
    except OSError:
        return []
