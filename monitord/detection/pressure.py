"""The machine as a whole: how long nothing more could have run without waiting for CPU, memory or disks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

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


SEVERAL = 2.0
"""Of the load: one process alone that waits for a disk of its own keeps nobody waiting."""


def stalled(name: str, least_load: float = 0.0) -> Callable[[SystemRates], tuple[str, float] | None]:
    """Make the reader of the percent of time in which all who wanted to run waited; None: the kernel counts
    no stalls.

    With a load below `least_load` nobody is stalled. (load_1 counts who runs and who waits for a disk.)
    """

    def read(system: SystemRates) -> tuple[str, float] | None:
        value = system.pressure_percent.get(name)
        if value is None:
            return None
        return "the machine", value if system.load_1 >= least_load else 0.0

    return read
