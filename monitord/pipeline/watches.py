"""Whose page faults are recorded: of few processes at once, from a crossing to the look at its alert."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Collection

from monitord.capture.fault_watch import Unwatched, Watch
from monitord.model import ProcessKey

_AT_MOST = 4  # half a megabyte each, of memory that the kernel locks
_LASTS_S = 900.0  # by then a window of ten minutes has held, or has broken


class Watches:
    """What is open, by process. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[ProcessKey, tuple[Watch, float]] = {}  # and until when
        self._claimed: set[ProcessKey | None] = set()  # by alerts that are not observed yet

    def begin(self, target: ProcessKey, opened: Callable[[], Watch | None]) -> None:
        """Record it, unless it is recorded or there is no room."""
        with self._lock:
            is_room = target not in self._open and len(self._open) < _AT_MOST
            if is_room and (watch := opened()) is not None:
                self._open[target] = watch, time.monotonic() + _LASTS_S

    def of(self, target: ProcessKey) -> Watch:
        """What is recorded of it; without room, or after too long, that nothing is."""
        with self._lock:
            return self._open[target][0] if target in self._open else Unwatched(errno.EBUSY)

    def claim(self, target: ProcessKey | None) -> None:
        """Keep it until it is settled: an alert is still to be observed."""
        with self._lock:
            if target in self._open:
                self._claimed.add(target)

    def keep(self, armed: Collection[ProcessKey | None], settled: Collection[ProcessKey | None]) -> None:
        """End all others, and what is too old."""
        now_s = time.monotonic()
        with self._lock:
            self._claimed.difference_update(settled)
            for target, (watch, until_s) in [*self._open.items()]:
                if until_s <= now_s or target not in (*armed, *self._claimed):
                    self._claimed.discard(target)
                    del self._open[target]
                    watch.close()

    def rests_s(self) -> list[float]:
        """How long each may still last."""
        with self._lock:
            return [until_s - time.monotonic() for _watch, until_s in self._open.values()]

    def close(self) -> None:
        self.keep((), [*self._claimed])
