"""CPU of processes that came and went between two looks: no look sees one, their parents pay for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from monitord.detection.consumers_meter import ConsumersMeter
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessRates, SystemRates

FIRST_PID = 1
"""Collects orphans: what they used is not of its making."""


class ShortLivedMeter(ConsumersMeter):
    """Percent of one core that no living process accounts for and that ended children had used.

    Either alone misleads: interrupts are unaccounted for as well; and a child that lived long was seen while
    it lived, though its parent is charged with all of it at its end.
    """

    def __init__(self, window_s: float, minimum: float) -> None:
        super().__init__(window_s, minimum)
        self._last = 0.0

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        if not look.is_complete:
            return
        self._last = self._value(look)
        self._follow(look, self._last, followed, unseen_children_cpu(look))
        yield self._reading(self._last)

    def _value(self, look: Pass) -> float:
        ended = ended_children_percent(look)
        unseen = look.system.unattributed_cpu_percent
        return ended if unseen is None else min(ended, unseen)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self._last


def ended_children_percent(look: Pass) -> float:
    """What children that ended had used in their lives, in percent of one core."""
    return sum(process.children_cpu_percent or 0.0 for process in look.present.values())


def unseen_children_cpu(look: Pass) -> Callable[[ProcessRates], float | None]:
    """What a process is charged with for its ended children, as far as nobody saw it being used.

    At the end of a child that lived long all that it ever used comes at once: no more than what nobody
    alive accounts for, or than the machine can do. The first process collects the children of others.
    """
    unseen = look.system.unattributed_cpu_percent
    most = 100.0 * look.system.cpu_count if unseen is None else unseen

    def charged(process: ProcessRates) -> float | None:
        used = process.children_cpu_percent
        return None if used is None or process.key.pid == FIRST_PID else min(used, most)

    return charged
