"""CPU of processes that came and went between two looks: no look sees one, their parents pay for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from monitord.detection.consumers import Consumers
from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessKey, ProcessRates, SystemRates

FIRST_PID = 1
"""Collects orphans: what they used is not of its making."""


class ShortLivedMeter:
    """Percent of one core that no living process accounts for and that ended children had used.

    Either alone misleads: interrupts are unaccounted for as well; and a child that lived long was seen while
    it lived, though its parent is charged with all of it at its end.
    """

    def __init__(self, window_s: float, minimum: float) -> None:
        self._minimum = minimum
        self._parents = Consumers(window_s / 2)
        self._last = 0.0

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        if not look.is_complete:
            return
        self._last = self._value(look)
        if self._last >= self._minimum:
            self._parents.add(look, unseen_children_cpu(look))
        elif None not in followed:
            self._parents.clear()
        yield Reading(None, None, self._last, subject="the machine", consumers=self._parents)

    def _value(self, look: Pass) -> float:
        ended = sum(process.children_cpu_percent or 0.0 for process in look.present.values())
        unseen = look.system.unattributed_cpu_percent
        return ended if unseen is None else min(ended, unseen)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return self._last

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Forget processes that ended; what they started still counts."""

    def restart(self) -> None:
        self._parents.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()


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
