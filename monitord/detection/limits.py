"""How often a rule may ask for evidence: so many times an hour, whatever happens."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

HOUR_S = 3600.0


class HourBudget:
    """Counts what was granted in the last hour of the detector's clock."""

    __slots__ = ("_granted", "limit")

    def __init__(self, limit: int, granted_s: Iterable[float] = ()) -> None:
        self.limit = limit
        self._granted: deque[float] = deque(sorted(granted_s)[-max(limit, 1) :])

    def remaining(self, now_s: float) -> int:
        while self._granted and now_s - self._granted[0] >= HOUR_S:
            self._granted.popleft()
        return max(0, self.limit - len(self._granted))

    def grant(self, now_s: float) -> None:
        self._granted.append(now_s)

    def refusal(self, now_s: float) -> str | None:
        """Why nothing more may be taken now, in words; None when it may."""
        if self.remaining(now_s):
            return None
        if not self.limit:
            return "captures_per_hour of this rule is 0"
        wait_s = HOUR_S - (now_s - self._granted[0])
        return f"{self.limit} captures of this rule in the last hour is its limit; the next in {wait_s:.0f} s"

    def ages(self, now_s: float) -> list[float]:
        self.remaining(now_s)
        return [round(now_s - granted, 3) for granted in self._granted]
