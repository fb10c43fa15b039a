"""The hottest function of a process and its descendants, step by step, from what the black box held. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from monitord.profiles.ring import family, samples_of
from monitord.profiles.ring_document import Ring
from monitord.profiles.ring_functions import RingFunctions

MAX_STEPS = 120
_NS_PER_S = 1_000_000_000


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
    functions = RingFunctions(ring)
    step_s = step_ns / _NS_PER_S
    return tuple(
        _step(-(back + 1) * step_s, tallies[back], 100 * ring.period_s / step_s, functions)
        for back in range(max(tallies, default=-1), min(tallies, default=0) - 1, -1)
    )


def _step(at_s: float, stacks: Counter[int], percent: float, functions: RingFunctions) -> Step:
    whole = stacks.total()
    if not whole:
        return Step(round(at_s, 3), 0.0)
    (name, file), share = functions.hottest(stacks)
    return Step(round(at_s, 3), round(whole * percent, 1), name, file, round(share, 4))
