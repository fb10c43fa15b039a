"""The hottest function of a process and its descendants, step by step, from what the black box held. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from monitord.profiles.idle_calls import is_background
from monitord.profiles.limits import MAX_NAME
from monitord.profiles.representation import python_or_leaf
from monitord.profiles.ring import family, samples_of
from monitord.profiles.ring_document import Ring
from monitord.redaction import redact_name

MAX_STEPS = 120
_NS_PER_S = 1_000_000_000
_Function = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what ran most in it.

    `at_s` is where it begins, in seconds from the document's end: -3 is three seconds before. `cpu_percent`
    (of one core) is what all of the processes used. `share` is the function's part of that, 0 to 1, compiled
    code that it called included; `file` is a native function's binary. None: nothing ran.
    """

    at_s: float
    cpu_percent: float
    function: str | None = None
    file: str | None = None
    share: float | None = None


def timeline(ring: Ring, pid: int, most: int = MAX_STEPS) -> tuple[Step, ...]:
    """Return the steps from the first in which something ran to the last, oldest first.

    A step is a second long, or as long as it must be for `most` of them.
    """
    length_ns = ring.ended_ns - ring.began_ns
    step_ns = max(_NS_PER_S, -(-length_ns // most))
    tallies: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for at_ns, _thread, stack, weight in samples_of(ring, family(ring, pid)):
        tallies[max(0, length_ns - at_ns - 1) // step_ns][stack] += weight
    names = _Names(ring)
    step_s = step_ns / _NS_PER_S
    return tuple(
        _step(-(back + 1) * step_s, tallies[back], 100 * ring.period_s / step_s, names)
        for back in range(max(tallies, default=-1), min(tallies, default=0) - 1, -1)
    )


class _Names:
    """The function that a stack's own time counts to, its name made safe as everywhere."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._known: dict[int, _Function] = {}

    def of(self, stack: int) -> _Function:
        if stack not in self._known:
            frames = self._ring.frames
            frame = frames[python_or_leaf(frames, self._ring.stacks[stack] or ())]
            place = frame.file or frame.module
            self._known[stack] = _safe(frame.name), place and _safe(place)
        return self._known[stack]


def _safe(name: str) -> str:
    return redact_name(name[:MAX_NAME])


def _step(at_s: float, stacks: Counter[int], percent: float, names: _Names) -> Step:
    functions: Counter[_Function] = Counter()
    for stack, weight in stacks.items():
        functions[names.of(stack)] += weight
    whole = functions.total()
    if not whole:
        return Step(round(at_s, 3), 0.0)
    name, file = min(functions, key=lambda one: (is_background(*one), -functions[one], one[0]))
    share = functions[name, file] / whole
    return Step(round(at_s, 3), round(whole * percent, 1), name, file, round(share, 4))
