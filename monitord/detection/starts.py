"""Starts of processes, so many that starting them is the work; who starts them is who collects them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from monitord.detection.consumers import Consumers
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.detection.short_lived import unseen_children_cpu
from monitord.model import ProcessKey, ProcessRates, SystemRates

LEAST_S = 20e-6
"""CPU of the shortest life of a process, a fork that exits at once. The kernel counts threads as starts,
too, and nobody is charged with an ended thread: starts without as much are threads."""


class SpawnMeter:
    """Processes that were started a second, while ended children have used what so many must have."""

    def __init__(self, window_s: float, minimum: float) -> None:
        self._minimum = minimum
        self._parents = Consumers(window_s / 2)
        self._last: float | None = None

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        value = look.system.starts_per_s
        if value is None:
            return
        if value >= self._minimum:
            if not look.is_complete:
                return
            self._parents.add(look, unseen_children_cpu(look))
            if _ended_cpu_s(look) < LEAST_S * value:
                value = 0.0
        elif None not in followed:
            self._parents.clear()
        self._last = value
        yield Reading(None, None, value, subject="the machine", consumers=self._parents)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self._last

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Forget processes that ended; what they started still counts."""

    def restart(self) -> None:
        self._parents.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


def _ended_cpu_s(look: Pass) -> float:
    """CPU that children ended with, a second."""
    return sum(process.children_cpu_percent or 0.0 for process in look.present.values()) / 100
