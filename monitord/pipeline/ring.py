"""The last minutes in memory: what an incident shows of the time before its alert."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from monitord.model import HistoryPoint, ProcessKey, ProcessRates, Rates, SystemRates

_PROCESSES_KEPT = 30  # the busiest and the biggest; an incident's target is among them or was idle


@dataclass(frozen=True, slots=True)
class _Moment:
    rates: Rates
    processes: dict[ProcessKey, ProcessRates]


class Ring:
    """Rates of the last `span_s` seconds, thinned to the processes that matter."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._moments: deque[_Moment] = deque()

    def add(self, rates: Rates) -> None:
        """Remember one pass and forget what is older than the span."""
        kept = thin(rates, _PROCESSES_KEPT)
        self._moments.append(_Moment(kept, {process.key: process for process in kept.processes}))
        while self._moments[0].rates.monotonic_s < rates.monotonic_s - self._span_s:
            self._moments.popleft()

    def points(self, target: ProcessKey | None) -> tuple[HistoryPoint, ...]:
        """The target and the machine at each remembered moment, oldest first.

        A process that a complete pass did not report was unchanged: it used no CPU. On a skipped pass
        nothing is known of it.
        """
        return tuple(_point(moment, target) for moment in self._moments)

    @property
    def newest(self) -> Rates | None:
        """The last pass, thinned."""
        return self._moments[-1].rates if self._moments else None


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


def _point(moment: _Moment, target: ProcessKey | None) -> HistoryPoint:
    rates, system = moment.rates, moment.rates.system
    process = moment.processes.get(target) if target else None
    idle = 0.0 if target and process is None and rates.is_complete else None
    return HistoryPoint(
        taken_at=rates.taken_at,
        machine_percent=system.machine_percent,
        memory_available_bytes=system.memory_available_bytes,
        cpu_percent=process.cpu_percent if process else idle,
        rss_bytes=process.rss_bytes if process else None,
        disk_bytes_per_s=process.disk_bytes_per_s if process else None,
        network_bytes_per_s=_network(process, system),
        thread_count=process.thread_count if process else None,
        fd_count=process.fd_count if process else None,
        unattributed_cpu_percent=system.unattributed_cpu_percent,
    )


def _network(process: ProcessRates | None, system: SystemRates) -> float | None:
    """The process's own traffic where it is known, else that of the busiest interface."""
    if process and process.network_bytes_per_s is not None:
        return process.network_bytes_per_s
    return max(system.network_bytes_per_s.values(), default=None)
