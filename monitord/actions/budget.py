"""So many actions an hour: an assistant that goes in circles must not fill the store."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from monitord.errors import BusyError
from monitord.model import counted

ACTIONS_PER_HOUR = 20
_HOUR_S = 3600.0


class Budget:
    """So many actions an hour, over all clients. Given the time."""

    def __init__(self, per_hour: int = ACTIONS_PER_HOUR, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_hour = per_hour
        self._clock = clock
        self._spent: deque[float] = deque()
        self._lock = threading.Lock()

    def spend(self) -> None:
        """Raise BusyError when the hour's budget is spent."""
        with self._lock:
            now_s = self._clock()
            while self._spent and self._spent[0] <= now_s - _HOUR_S:
                self._spent.popleft()
            if len(self._spent) >= self._per_hour:
                wait = (self._spent[0] + _HOUR_S - now_s) / 60
                most = counted(self._per_hour, "action")
                raise BusyError(
                    f"cannot act now: the limit of {most} an hour is reached; the next in {wait:.0f} min"
                )
            self._spent.append(now_s)
