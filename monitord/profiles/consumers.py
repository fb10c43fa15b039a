"""Who used the machine's CPU, by what the black box held: those that live, and those that are gone. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from monitord.profiles.ring_document import Ring
from monitord.profiles.ring_functions import RingFunctions
from monitord.redaction import redact_name

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Consumer:
    """One process: what it used of one core, and the function that was hottest in it, with its part of that.

    `file` is a native function's binary. `is_ended`: it was gone when the box was read.
    """

    pid: int
    name: str
    cpu_percent: float
    function: str
    file: str | None
    share: float
    is_ended: bool = False


def consumers(ring: Ring, since_ns: int) -> tuple[Consumer, ...]:
    """Return who ran between that time and the document's end, the busiest first."""
    from_ns, length_ns = since_ns - ring.began_ns, ring.ended_ns - since_ns
    stacks: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for at_ns, thread, stack, weight in ring.samples:
        if at_ns >= from_ns:
            stacks[ring.process_of(thread)][stack] += weight
    if length_ns <= 0:
        return ()
    percent = 100 * ring.period_s / (length_ns / _NS_PER_S)
    functions = RingFunctions(ring)
    found = [_consumer(ring, number, counts, percent, functions) for number, counts in stacks.items()]
    return tuple(sorted(found, key=lambda one: (-one.cpu_percent, one.pid)))


def _consumer(
    ring: Ring, number: int, stacks: Counter[int], percent: float, functions: RingFunctions
) -> Consumer:
    (name, file), share = functions.hottest(stacks)
    process = ring.processes[number]
    assert process is not None  # noqa: S101 - samples name sound entries only; tells mypy
    return Consumer(
        pid=process.pid,
        name=redact_name(process.name),
        cpu_percent=round(stacks.total() * percent, 1),
        function=name,
        file=file,
        share=round(share, 4),
        is_ended=process.ended_ns is not None,
    )
