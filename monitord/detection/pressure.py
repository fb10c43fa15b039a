"""The machine's processors as a whole: how long nothing more could have run without waiting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from monitord.detection.consumers import Consumers
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessKey, ProcessRates, SystemRates


class PressureMeter:
    """Percent of the time in which all cores worked and somebody waited for a turn, and who used them."""

    def __init__(self, window_s: float, minimum: float) -> None:
        self._minimum = minimum
        self._consumers = Consumers(window_s / 2)

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        value = crowding_percent(look.system)
        if value >= self._minimum:
            self._consumers.add(look)
        elif None not in followed:
            self._consumers.clear()
        yield Reading(None, None, value, subject="the machine", consumers=self._consumers)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return crowding_percent(system)

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Forget processes that ended; what they used still counts."""

    def restart(self) -> None:
        self._consumers.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


def crowding_percent(system: SystemRates) -> float:
    """Return the lesser of use and stall: neither one crowded core of many nor full cores without a queue
    count.

    Without pressure stall information: how busy all cores are.
    """
    return min(system.machine_percent, system.pressure_percent.get("cpu_some", 100.0))
