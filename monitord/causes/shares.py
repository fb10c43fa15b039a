"""What part of the CPU went to which class, by stacks of a profile and by the frames below them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from monitord.causes.frame_classes import (
    GC,
    KERNEL,
    LOOP,
    NAMELESS,
    REGEX,
    SERIAL,
    STARTS,
    class_of,
    is_by_name_alone,
    is_collector,
    kernel_class_of,
    python_class_of,
    statement_class_of,
)
from monitord.model import Hotspot
from monitord.profiles.representation import Frame, Profile, Thread

_NEAR = 6  # frames from the leaf in which a native function says what its caller was about
_NEAR_IN_PYTHON = 3
_MOSTLY_NATIVE = 0.8
_FRAMES_CAP = 200_000  # looked at in all: a hostile profile ends there
Key = tuple[str, str | None, int | None]
_K = TypeVar("_K")


def _weights() -> Any:
    return defaultdict(float)


@dataclass(slots=True)
class Shares:
    """Weights by class; `named` is the part whose leaf has a name.

    `functions` weighs what the work was done for: the program's own function nearest to the leaf. `leaves`
    are functions that have a class, `files` where those lie that have none, and those without a name.
    `by_name_alone` is the part of a class that may be the program's own functions, by where they lie.
    """

    total: float = 0.0
    named: float = 0.0
    by_class: defaultdict[str, float] = field(default_factory=_weights)
    functions: defaultdict[Key, float] = field(default_factory=_weights)
    leaves: defaultdict[str, float] = field(default_factory=_weights)
    files: defaultdict[str, float] = field(default_factory=_weights)
    by_name_alone: defaultdict[str, float] = field(default_factory=_weights)

    def share(self, word: str) -> float:
        return self.by_class.get(word, 0.0) / self.total if self.total else 0.0

    def settle(self, word: str, meant: str) -> None:
        """What was counted under a word is of this class."""
        if word in self.by_class:
            self.by_class[meant] += self.by_class.pop(word)

    @property
    def named_share(self) -> float:
        return self.named / self.total if self.total else 0.0

    def hottest(self) -> tuple[Key, float] | None:
        """The function that most of it was done for, and its share."""
        if not self.functions:
            return None
        key, weight = heaviest(self.functions, 1)[0]
        return key, weight / self.total


def heaviest(weights: Mapping[_K, float], count: int) -> list[tuple[_K, float]]:
    """So many of them, the heaviest first."""
    return sorted(weights.items(), key=lambda item: -item[1])[:count]


def busy_stacks(profile: Profile) -> Iterator[tuple[Thread, Sequence[Frame], float]]:
    """What ran: frames from the root to the leaf, and how often; so many at most."""
    seen = 0
    for (thread, stack), value in profile.stacks.items():
        if thread.is_idle or not stack:
            continue
        seen += len(stack)
        if seen > _FRAMES_CAP:
            return
        yield thread, [profile.frames[number] for number in stack], float(value)


def native_shares(profile: Profile) -> Shares:
    """By the native and kernel frames at the leaves of stacks; nothing where most end in a Python function.

    Those tell where the interpreter was, and not what it did; the few others would speak for all.
    """
    shares, whole = Shares(), 0.0
    for thread, frames, value in busy_stacks(profile):
        whole += value
        if frames[-1].kind != "python":
            chain = [(frame.name, frame.module or "", frame.kind) for frame in frames[::-1]]
            _add_native(shares, thread.name, chain, value)
            if key := _own_function(frames):
                shares.functions[key] += value
    return shares if shares.total >= _MOSTLY_NATIVE * whole else Shares()


def leaf_shares(observed: Any) -> Shares:
    """By what `leaves` observed; nothing where that makes no sense."""
    shares = Shares()
    try:
        for count, thread, frames in observed["stacks"]:
            chain = [(str(name), str(module), str(kind)) for name, module, kind in frames]
            _add_native(shares, str(thread), chain, float(count))
    except (KeyError, TypeError, ValueError):
        return Shares()
    return shares


def _add_native(
    shares: Shares, thread: str | None, chain: Sequence[tuple[str, str, str]], value: float
) -> None:
    shares.total += value
    word = GC if is_collector(thread) else _class_of_chain(chain)
    name, module, kind = chain[0]
    is_named = bool(name) and not name.startswith(NAMELESS)
    shares.named += value if is_named or word else 0.0
    if word is not None:
        shares.by_class[word] += value
        shares.by_name_alone[word] += value if _is_by_name_alone(chain[:_NEAR]) else 0.0
        place = module.rpartition("/")[2]
        shares.leaves[f"{name or '?'} ({place})" if place else name] += value
    elif kind != "kernel":
        shares.by_class[LOOP] += value if is_named else 0.0
        shares.files[module.rpartition("/")[2]] += value


def _is_by_name_alone(chain: Sequence[tuple[str, str, str]]) -> bool:
    """Of the frame that says the class."""
    if chain[0][2] == "kernel":
        return False
    first = next((one for one in chain if one[2] != "python" and class_of(one[0], one[1])), None)
    return first is not None and is_by_name_alone(first[0], first[1])


def _class_of_chain(chain: Sequence[tuple[str, str, str]]) -> str | None:
    """Of the frame nearest to the leaf that says something; the kernel's own work where none does."""
    in_kernel = [name for name, _module, kind in chain if kind == "kernel"]
    if in_kernel and chain[0][2] == "kernel":
        said = (kernel_class_of(name) for name in in_kernel[:40])
        found = next((word for word in said if word), None)
        return None if found is None and _is_interrupt(in_kernel) else found or KERNEL
    said_by = (class_of(name, module) for name, module, kind in chain[:_NEAR] if kind != "python")
    return next((word for word in said_by if word), None)


_INTERRUPTS = ("asm_sysvec", "sysvec_", "irq_exit", "__irq_exit", "handle_softirqs", "asm_common_interrupt")


def _is_interrupt(names: Sequence[str]) -> bool:
    """Something else's work, done in this process' time."""
    return any(name.startswith(_INTERRUPTS) for name in names)


def context_shares(profile: Profile, hotspots: Sequence[Hotspot]) -> tuple[Shares, Shares]:
    """By functions of known libraries up the stack, a fact; and by what hot lines call, which is a hint.

    Only stacks that end in Python, or in native code below it, and all of a native program's.
    """
    lines = {(spot.function, spot.file, spot.line): statement_class_of(spot.source_line) for spot in hotspots}
    facts, hints = Shares(), Shares()
    for _thread, frames, value in busy_stacks(profile):
        facts.total += value
        hints.total += value
        if key := _own_function(frames):
            facts.functions[key] += value
        word, is_alone = _library_class(frames)
        if word:
            facts.by_class[word] += value
            facts.by_name_alone[word] += value if is_alone else 0.0
        leaf = next((frame for frame in reversed(frames) if frame.kind == "python"), None)
        hint = word or (lines.get((leaf.name, leaf.file, leaf.line)) if leaf and leaf.line else None)
        if hint:
            hints.by_class[hint] += value
    return facts, hints


def _library_class(frames: Sequence[Frame]) -> tuple[str | None, bool]:
    """The class of the library that is at work, and whether it is known by a name alone."""
    python = [frame for frame in frames if frame.kind == "python"]
    for frame in reversed(python[-_NEAR_IN_PYTHON:]):
        word = python_class_of(frame.name, frame.file)
        if word or _is_own(frame):  # what a library calls back does work of its own
            return word, False
    if python:
        return None, False
    for frame in reversed(frames[-60:]):
        word = None if frame.kind == "kernel" else class_of(frame.name, frame.module)
        if word in _OF_LIBRARIES:
            return word, is_by_name_alone(frame.name, frame.module)
    return None, False


_OF_LIBRARIES = frozenset((REGEX, SERIAL, GC, STARTS))
_FOREIGN = ("/lib/python", "/site-packages/", "/dist-packages/", "<frozen ", "/usr/lib/", "/node:internal")
_RUNTIMES = ("runtime.", "_Py", "Py", "v8::", "Builtins_", "node::", "Perl_", "rb_", "vm_exec")

_BEGINNINGS = ("_start", "__libc_start", "start_thread", "__clone", "clone3", "clone")


def _is_own(frame: Frame) -> bool:
    """Whether a function of Python is the program's, and not a library's."""
    return bool(frame.file) and not any(place in str(frame.file) for place in _FOREIGN)


def _own_function(frames: Sequence[Frame]) -> Key | None:
    """The program's own function nearest to the leaf: no library's, no runtime's, not the kernel's."""
    best: Key | None = None
    for frame in reversed(frames):
        if frame.kind == "kernel" or not frame.name or frame.name.startswith(("[", "0x")):
            continue
        if frame.kind == "python":
            if _is_own(frame):
                return frame.name, frame.file, None
        elif frame.name.startswith(_BEGINNINGS):
            continue
        elif is_by_name_alone(frame.name, frame.module):
            return frame.name, frame.module, None
        elif class_of(frame.name, frame.module) is None and not frame.name.startswith(_RUNTIMES):
            is_library = (frame.module or "").rpartition("/")[2].startswith(("lib", "ld-"))
            if not is_library:
                return frame.name, frame.module, None
        if class_of(frame.name, frame.module) is None:
            best = best or (frame.name, frame.file or frame.module, None)
    return best
