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

    def give_back(self) -> None:
        """What was granted last came to nothing."""
        if self._granted:
            self._granted.pop()

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


FUTILE_COUNT = 5
FUTILE_PAUSE_S = 60.0
FUTILE_MEMORY_S = 600.0
_MAX_NAMES = 256


class LookPace:
    """How often first looks are worth it: five that came to nothing make a name wait a minute for the next.

    Without it a build whose compilers each burn for two seconds was looked at 2,053 times an hour, each time
    in vain. Forgotten after ten minutes, and at once when a crossing of that name holds.
    """

    __slots__ = ("_futile",)

    def __init__(self) -> None:
        self._futile: dict[str, tuple[int, float]] = {}  # name → looks in vain, when the last one was

    def grant(self, name: str, now_s: float) -> bool:
        """Whether a process of this name is to be looked at now; if so, that counts as the last look."""
        count, last_s = self._futile.get(name, (0, now_s))
        if count >= FUTILE_COUNT and now_s - last_s < FUTILE_PAUSE_S:
            return False
        if count:
            self._futile[name] = (count, now_s)
        return True

    def lost(self, name: str, now_s: float) -> None:
        """A look at a process of this name was thrown away."""
        count, last_s = self._futile.pop(name, (0, now_s))
        if len(self._futile) >= _MAX_NAMES:
            del self._futile[next(iter(self._futile))]  # the longest without one
        self._futile[name] = (1 if now_s - last_s > FUTILE_MEMORY_S else count + 1, now_s)

    def held(self, name: str) -> None:
        self._futile.pop(name, None)
