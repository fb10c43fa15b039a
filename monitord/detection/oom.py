"""Processes that the kernel killed for lack of memory, of the machine or of their group."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from monitord.detection.looks import Look
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessKey, ProcessRates, SystemRates

MAX_PROCESSES = 256
LARGE_BYTES = 16 << 20
"""The killer chooses the large; the small that end in the same moment are of no interest."""


def _likelihood(process: ProcessRates, memory_total_bytes: int) -> float:
    """How much it held of what it could have: who filled a small group goes first."""
    return process.rss_bytes / max(1, process.memory_limit_bytes or memory_total_bytes)


class OomKillMeter:
    """Kills since the last pass, and the largest that disappeared: who was killed takes rights to know."""

    def __init__(self) -> None:
        self._large: OrderedDict[ProcessKey, ProcessRates] = OrderedDict()
        self._gone: list[ProcessRates] = []
        self._kills = 0
        self._is_late = False

    def readings(self, look: Look, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        gone = [self._large.pop(key) for key in look.exited if key in self._large]
        victims, self._gone = gone + self._gone, gone
        self._remember(look.present.values())
        self._kills += look.system.oom_kills or 0
        if not self._kills:
            yield Reading(None, None, 0.0, is_held=True)
        elif victims or self._is_late:
            total_bytes = look.system.memory_total_bytes
            victim = max(victims, key=lambda one: _likelihood(one, total_bytes), default=None)
            kills, self._kills, self._is_late, self._gone = self._kills, 0, False, []
            yield Reading(None, victim, float(kills), is_held=True)
        else:
            self._is_late = look.is_complete  # killed, and not gone yet: the next complete pass will know

    def _remember(self, processes: Iterable[ProcessRates]) -> None:
        for process in processes:
            if process.rss_bytes >= LARGE_BYTES:
                self._large[process.key] = process
                self._large.move_to_end(process.key)
        while len(self._large) > MAX_PROCESSES:
            self._large.popitem(last=False)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        return None if system.oom_kills is None else float(system.oom_kills)

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        """Nothing to do: `readings` noted processes that ended."""

    def restart(self) -> None:
        self._gone, self._kills, self._is_late = [], 0, False

    def close_watch(self) -> Iterable[ProcessKey]:
        return ()
