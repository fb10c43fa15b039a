"""The machine as a whole: how long nothing more could have run without waiting for CPU, memory or disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from monitord.detection.consumers_meter import ConsumersMeter
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessRates, SystemRates


class PressureMeter(ConsumersMeter):
    """Percent of the time in which all cores worked and somebody waited for a turn, and who used them."""

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        value = crowding_percent(look.system)
        self._follow(look, value, followed)
        yield self._reading(value)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return crowding_percent(system)


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
