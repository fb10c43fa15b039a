"""What a process reader promises to the sampler: what it saw, and what it saw of the same process before.

A reader knows where the numbers are kept; it computes no rate (rates.py does) and decides nothing
about what may be skipped (bounds.py does).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from monitord.model import ProcessKey, ProcessSample


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """One process that did something, is new, or was asked for.

    `earlier_cpu_s` is None at first sight: then there is no rate. `cpu_over_s` is the time from that
    earlier reading to this one, on the monotonic clock; the same for `earlier_io_bytes` (read +
    written, bytes at the storage layer) and `io_over_s`. `cpu_used_s` is what it certainly used since
    its last reading (or, when it is new, the last complete pass): it serves the sum over all processes.
    `earlier_children_cpu_s` is of the same reading as `earlier_cpu_s`.
    """

    sample: ProcessSample
    earlier_cpu_s: float | None = None
    cpu_over_s: float = 0.0
    earlier_io_bytes: int | None = None
    io_over_s: float = 0.0
    cpu_used_s: float = 0.0
    earlier_children_cpu_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What one call of a reader gives. `exited` were known before and are gone now."""

    readings: tuple[ProcessReading, ...] = ()
    exited: frozenset[ProcessKey] = frozenset()


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read of each process beyond CPU, memory and state.

    `watched` are reported even when nothing changed, with their I/O and descriptors. `wants_io` and
    `wants_fd_count` are for every process. `previous_look_s` is the monotonic time of the sampler's
    last look, complete or not: a process born before it could have been seen then.
    """

    watched: frozenset[ProcessKey] = frozenset()
    wants_io: bool = False
    wants_fd_count: bool = False
    previous_look_s: float | None = None


BIRTH_SLACK_S = 0.1
"""A start time is rounded down to a clock tick: one just after a pass may seem to lie before it."""


def first_reading(
    sample: ProcessSample,
    now_s: float,
    age_s: float,
    complete_at_s: float | None,
    previous_look_s: float | None,
) -> ProcessReading:
    """A process that the last complete pass (at `complete_at_s`) did not see.

    Had the look at `previous_look_s` not been skipped, a process born before it would have been met then:
    its rate is counted from its birth, when all its counters were 0. Else this look is its first.
    """
    if complete_at_s is None or previous_look_s is None:
        return ProcessReading(sample)
    born_s = now_s - age_s
    if born_s < complete_at_s - BIRTH_SLACK_S:
        return ProcessReading(sample)  # it was there all the time and could not be seen: nothing is known
    if previous_look_s <= complete_at_s or born_s >= previous_look_s:
        return ProcessReading(sample, cpu_used_s=sample.cpu_s)
    return ProcessReading(sample, 0.0, age_s, 0, age_s, cpu_used_s=sample.cpu_s)


class ProcessReader(Protocol):
    """A way to read processes. A process that vanishes between two reads is normal, never an error."""

    @property
    def process_count(self) -> int:
        """How many processes the last complete look saw."""
        ...

    def read_all(self, ask: ReadRequest) -> ReadResult:
        """Visit every process of the machine."""
        ...

    def read_some(self, keys: Iterable[ProcessKey], ask: ReadRequest) -> ReadResult:
        """Visit these processes only; all that live are reported, the others are in `exited`."""
        ...

    def heaviest(self) -> ProcessSample | None:
        """The process with the most resident memory, as last read."""
        ...

    def fd_count(self, pid: int) -> int | None:
        """Open descriptors now; None: not permitted, not known here, or gone."""
        ...

    def memory_of(self, pid: int) -> tuple[int, int | None] | None:
        """Exact resident memory now, and the private part of it where it is known; None: refused, or gone."""
        ...

    def image_of(self, pid: int) -> tuple[int, int] | None:
        """Where code and stack begin; None: gone, or the kernel does not tell us."""
        ...

    def turns_of(self, pid: int) -> bytes | None:
        """The line of schedstat of its only thread as read in this pass; None: to be read of each thread."""
        ...

    @property
    def missing(self) -> Mapping[str, str]:
        """What can't be read of processes, and why."""
        ...

    def close(self) -> None:
        """Give every descriptor back."""
        ...
