"""When the next look is due: a steady beat on the monotonic clock; beats that were missed are skipped."""

from __future__ import annotations

import time


class Ticker:
    """Beats every `interval_s` seconds, however long a pass took."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next_s = time.monotonic()

    def wait_s(self) -> float:
        """Return the seconds until the next beat; call it once after each pass."""
        now_s = time.monotonic()
        self._next_s += self.interval_s
        if self._next_s <= now_s:
            self._next_s = now_s + self.interval_s - (now_s - self._next_s) % self.interval_s
        return self._next_s - now_s
