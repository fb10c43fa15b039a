"""So many requests at once, refilled with time; what was refused, counted and logged ever more rarely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from monitord.logs import get_logger

REQUESTS_PER_MINUTE = 600
BURST = 120


class Allowance:
    """So many requests at once, refilled with time. Given the time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left = float(BURST)
        self._refilled_s = clock()

    def take(self) -> bool:
        """Use one up; False when there is none."""
        now_s = self._clock()
        self._left = min(float(BURST), self._left + (now_s - self._refilled_s) * REQUESTS_PER_MINUTE / 60)
        self._refilled_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Refusals:
    """Counts refused requests by status, and logs the 1st, 2nd, 4th, 8th … of each under an event's name."""

    def __init__(self, event: str) -> None:
        self._event = event
        self.counts: Counter[int] = Counter()

    def note(self, status: int) -> None:
        """Count one."""
        self.counts[status] += 1
        if self.counts[status] & (self.counts[status] - 1) == 0:
            get_logger().warning(self._event, status=status, count=self.counts[status])
