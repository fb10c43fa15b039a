"""The last minutes in memory: what an incident shows of the time before its alert."""

from __future__ import annotations

import math
from array import array
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from monitord.model import HistoryPoint, ProcessKey, ProcessRates, Rates

_PROCESSES_KEPT = 30  # the busiest and the biggest; an incident's target is among them or was idle
_COLUMNS = 8  # of one process in a moment, see _levels


@dataclass(frozen=True, slots=True)
class _Moment:
    """One pass, packed: 64 bytes a process instead of 500; the ring is most of what grows at first."""

    taken_at: datetime
    monotonic_s: float
    is_complete: bool
    machine_percent: float
    memory_available_bytes: int
    network_bytes_per_s: float | None
    unattributed_cpu_percent: float | None
    levels: array[float]


class Ring:
    """Rates of the last `span_s` seconds, thinned to the processes that matter."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._moments: deque[_Moment] = deque()

    def add(self, rates: Rates) -> None:
        """Remember one pass and forget what is older than the span."""
        self._moments.append(_packed(thin(rates, _PROCESSES_KEPT)))
        while self._moments[0].monotonic_s < rates.monotonic_s - self._span_s:
            self._moments.popleft()

    def first_held(self) -> dict[ProcessKey, int]:
        """What each process held when it was first remembered: bytes of its RSS."""
        found: dict[ProcessKey, int] = {}
        for moment in self._moments:
            rows = moment.levels
            for at in range(0, len(rows), _COLUMNS):
                found.setdefault(ProcessKey(int(rows[at]), int(rows[at + 1])), int(rows[at + 2]))
        return found

    def points(self, target: ProcessKey | None, born: datetime | None = None) -> tuple[HistoryPoint, ...]:
        """Return the target and the machine at each remembered moment, oldest first.

        A process that a complete pass did not report was unchanged: it used no CPU. On a skipped pass,
        and before it was born, nothing is known of it.
        """
        return tuple(
            _point(moment, target if born is None or moment.taken_at >= born else None)
            for moment in self._moments
        )


def thin(rates: Rates, count: int) -> Rates:
    """The same pass with at most `count` processes: the busiest, the biggest and the heaviest on disk."""
    if len(rates.processes) <= count:
        return rates
    ranked = (
        sorted(rates.processes, key=lambda process: process.cpu_percent or 0.0, reverse=True),
        sorted(rates.processes, key=lambda process: process.rss_bytes, reverse=True),
        sorted(rates.processes, key=lambda process: process.disk_bytes_per_s or 0.0, reverse=True),
    )
    chosen: dict[ProcessKey, ProcessRates] = {}
    for row in zip(*ranked, strict=True):
        chosen.update((process.key, process) for process in row)
        if len(chosen) >= count:
            break
    return Rates(
        taken_at=rates.taken_at,
        monotonic_s=rates.monotonic_s,
        interval_s=rates.interval_s,
        system=rates.system,
        processes=tuple(chosen.values())[:count],
        process_count=rates.process_count,
        is_complete=rates.is_complete,
        gap=rates.gap,
    )


def _packed(rates: Rates) -> _Moment:
    system = rates.system
    return _Moment(
        taken_at=rates.taken_at,
        monotonic_s=rates.monotonic_s,
        is_complete=rates.is_complete,
        machine_percent=system.machine_percent,
        memory_available_bytes=system.memory_available_bytes,
        network_bytes_per_s=max(system.network_bytes_per_s.values(), default=None),
        unattributed_cpu_percent=system.unattributed_cpu_percent,
        levels=array("d", [level for process in rates.processes for level in _levels(process)]),
    )


def _levels(process: ProcessRates) -> list[float]:
    """A process as numbers; NaN stands for None. Whole numbers up to 2**53 stay exact.

    A list: of short tuples made one by one the interpreter keeps 2,000 for later, 0.2 MB.
    """
    levels = (
        process.key.pid,
        process.key.start_ticks,
        process.rss_bytes,
        process.thread_count,
        process.cpu_percent,
        process.disk_bytes_per_s,
        process.network_bytes_per_s,
        process.fd_count,
    )
    return [math.nan if level is None else level for level in levels]


def _point(moment: _Moment, target: ProcessKey | None) -> HistoryPoint:
    found = _find(moment.levels, target) if target else None
    if found is None:
        return HistoryPoint(
            taken_at=moment.taken_at,
            machine_percent=moment.machine_percent,
            memory_available_bytes=moment.memory_available_bytes,
            cpu_percent=0.0 if target and moment.is_complete else None,
            network_bytes_per_s=moment.network_bytes_per_s,
            unattributed_cpu_percent=moment.unattributed_cpu_percent,
        )
    rss_bytes, threads, cpu, disk, network, fds = found
    return HistoryPoint(
        taken_at=moment.taken_at,
        machine_percent=moment.machine_percent,
        memory_available_bytes=moment.memory_available_bytes,
        cpu_percent=_known(cpu),
        rss_bytes=int(rss_bytes),
        disk_bytes_per_s=_known(disk),
        # The process's own traffic where it is known, else that of the busiest interface.
        network_bytes_per_s=moment.network_bytes_per_s if math.isnan(network) else network,
        thread_count=int(threads),
        fd_count=None if math.isnan(fds) else int(fds),
        unattributed_cpu_percent=moment.unattributed_cpu_percent,
    )


def _find(levels: array[float], target: ProcessKey) -> array[float] | None:
    """What stands beside this process, without its key."""
    for start in range(0, len(levels), _COLUMNS):
        if levels[start] == target.pid and levels[start + 1] == target.start_ticks:
            return levels[start + 2 : start + _COLUMNS]
    return None


def _known(level: float) -> float | None:
    return None if math.isnan(level) else level
