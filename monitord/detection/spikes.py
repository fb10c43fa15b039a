"""Processes that worked hard and are gone before a window is over: what they used in their last seconds."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping

from monitord.detection.passes import Pass
from monitord.detection.readings import Reading, Target
from monitord.model import ProcessKey, ProcessRates, SystemRates

MAX_PROCESSES = 512
LEAST_PERCENT = 5.0
"""Of a core: who used less in a pass adds nothing that matters to core-seconds."""


class SpikeMeter:
    """CPU seconds that a process used within `window_s` before its end, as far as looks saw it."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._used: OrderedDict[ProcessKey, deque[tuple[float, float]]] = OrderedDict()
        self._last: dict[ProcessKey, ProcessRates] = {}

    def readings(self, look: Pass, followed: Mapping[Target, ProcessRates | None]) -> Iterator[Reading]:
        for key in look.exited:
            if key in self._used:
                yield Reading(key, self._last[key], self._sum(key, look.now_s), is_held=True)
        for key, process in look.present.items():
            if (process.cpu_percent or 0.0) >= LEAST_PERCENT:
                self._add(key, process, look)
        self.forget(look.exited)
        while len(self._used) > MAX_PROCESSES:
            self.forget([next(iter(self._used))])

    def _add(self, key: ProcessKey, process: ProcessRates, look: Pass) -> None:
        spans = self._used.setdefault(key, deque())
        self._used.move_to_end(key)
        self._last[key] = process
        spans.append((look.now_s, (process.cpu_percent or 0.0) / 100 * look.interval_s))
        while spans[0][0] <= look.now_s - self._window_s:
            spans.popleft()

    def _sum(self, key: ProcessKey, now_s: float) -> float:
        return sum(used for at_s, used in self._used[key] if at_s > now_s - self._window_s)

    def peek(self, process: ProcessRates | None, now_s: float, system: SystemRates) -> float | None:
        if process is None or process.key not in self._used:
            return None
        return self._sum(process.key, now_s)

    def forget(self, keys: Iterable[ProcessKey]) -> None:
        for key in keys:
            self._used.pop(key, None)
            self._last.pop(key, None)

    def restart(self) -> None:
        self._used.clear()
        self._last.clear()

    def close_watch(self) -> Iterable[ProcessKey]:
        """Who is at work is read every pass: a look that was left out would hide its last seconds."""
        return tuple(self._used)[-64:]
