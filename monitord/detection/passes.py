"""One pass as detection sees it: the rates, and the time on the detector's own clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates, changed

ReadValue = Callable[[ProcessRates, SystemRates], float | None]


@dataclass(frozen=True, slots=True)
class Pass:
    """`now_s` never runs backwards within a run. `present` are the processes the pass reported."""

    now_s: float
    taken_at: datetime
    interval_s: float
    system: SystemRates
    present: Mapping[ProcessKey, ProcessRates]
    is_complete: bool
    exited: frozenset[ProcessKey] = frozenset()
    peaks: dict[ReadValue, float] = field(default_factory=dict)

    def peak(self, read: ReadValue) -> float:
        """The highest value of all that are present; read once for all rules of a metric."""
        found = self.peaks.get(read)
        if found is None:
            values = (read(process, self.system) for process in self.present.values())
            found = max((value for value in values if value is not None), default=float("-inf"))
            self.peaks[read] = found
        return found

    @classmethod
    def of(cls, rates: Rates, now_s: float) -> Pass:
        ended = frozenset([process.key for process in rates.processes if has_ended(process)])
        return cls(
            now_s,
            rates.taken_at,
            rates.interval_s,
            rates.system,
            {process.key: process for process in rates.processes if process.key not in ended},
            rates.is_complete,
            rates.exited | ended if ended else rates.exited,
        )

    def process(self, key: ProcessKey, last: ProcessRates | None) -> ProcessRates | None:
        """The process in this pass, as read or (in a complete pass) as it rested; None: unknown."""
        process = self.present.get(key)
        if process is not None or last is None or not self.is_complete or key in self.exited:
            return process
        return resting(last)


def has_ended(process: ProcessRates) -> bool:
    """A zombie whose parent has not collected it yet. One with other threads goes on in them."""
    return process.state == "Z" and process.thread_count <= 1


def resting(process: ProcessRates) -> ProcessRates:
    """What is true of a process that a complete pass did not report: nothing used, all levels as before."""
    return changed(
        process,
        cpu_percent=0.0,
        waited_percent=None,
        throttled_percent=None,
        children_cpu_percent=None if process.children_cpu_percent is None else 0.0,
        disk_bytes_per_s=None if process.disk_bytes_per_s is None else 0.0,
        network_bytes_per_s=None if process.network_bytes_per_s is None else 0.0,
    )
