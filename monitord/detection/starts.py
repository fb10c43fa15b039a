"""Starts of processes, so many that starting them is the work; who starts them is who collects them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitord.detection.consumers_meter import ConsumersMeter
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.detection.short_lived import ended_children_percent, unseen_children_cpu
from monitord.model import ProcessRates, SystemRates

LEAST_S = 20e-6
"""CPU of the shortest life of a process, a fork that exits at once. The kernel counts threads as starts,
too, and nobody is charged with an ended thread: starts without as much are threads."""


class SpawnMeter(ConsumersMeter):
    """Processes that were started a second, while ended children have used what so many must have."""

    def __init__(self, window_s: float, minimum: float) -> None:
        super().__init__(window_s, minimum)
        self._last: float | None = None

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        value = look.system.starts_per_s
        if value is None:
            return
        is_high = value >= self._minimum
        if is_high and not look.is_complete:
            return
        self._follow(look, value, followed, unseen_children_cpu(look))
        if is_high and ended_children_percent(look) / 100 < LEAST_S * value:
            value = 0.0
        self._last = value
        yield self._reading(value)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self._last
