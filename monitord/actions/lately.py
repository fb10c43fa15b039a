"""Answers that cost much, kept for a minute and made one at a time: the same question has the same answer."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

KEPT_S = 60.0
_MOST = 16


class Lately:
    """At most sixteen answers of the last minute; errors are never kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turn = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def answer(self, question: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` gave for this question within the last minute, or what it gives now."""
        with self._turn:
            now = self._clock()
            found = self._held.get(question)
            if found is not None and now - found[0] < KEPT_S:
                return found[1]
            made = make()
            self._held[question] = (now, made)
            self._held.move_to_end(question)
            while len(self._held) > _MOST:
                self._held.popitem(last=False)
            return made
