"""More alerts at once than anybody reads become one row that counts them; the worst still get their own."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace

from monitord.model import Alert

ROWS_AT_ONCE = 20
"""Rows of their own within `WITHIN_S`; what comes beyond them shares one."""

WITHIN_S = 60.0
_WORSE_ROWS = 10  # further rows in a flood, each of an alert worse than every one before it
_TOLD_EVERY_S = 5.0
_NAMES_TOLD = 10
_NAME_LIMIT = 64


@dataclass(slots=True)
class Flood:
    """One stretch of too many alerts: whom its row is about, and what else the row stands for."""

    alert: Alert
    last_s: float
    highest: float
    correlation_id: str | None = None
    told_s: float = float("-inf")
    is_told: bool = False
    worse_rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    worst: list[Alert] = field(default_factory=list)

    def add(self, alert: Alert, now_s: float) -> None:
        """Count one more alert that shares the row."""
        self.counts[alert.rule] += 1
        self.last_s, self.is_told = now_s, False
        self.highest = max(self.highest, alert.severity)
        self.worst = sorted([*self.worst, alert], key=lambda one: -one.severity)[:_NAMES_TOLD]

    def described(self) -> Alert:
        """The row's alert, which says what else it stands for."""
        total = self.counts.total()
        if not total:
            return self.alert
        rules = ", ".join(f"{count} of {rule}" for rule, count in self.counts.most_common(_NAMES_TOLD))
        names = ", ".join(_named(one) for one in self.worst)
        what = "1 further alert shares" if total == 1 else f"{total} further alerts share"
        told = f"too many alerts at once: {what} this row ({rules}; worst: {names})"
        return replace(self.alert, reason=f"{self.alert.reason}; {told}")


class Floods:
    """Says which alerts get a row of their own. Given the seconds of the passes' clock."""

    def __init__(self) -> None:
        self._rows_s: deque[float] = deque()
        self._flood: Flood | None = None

    def admits(self, alert: Alert, now_s: float) -> bool:
        """Whether this alert gets a row of its own; if not, it shares the flood's."""
        while self._rows_s and now_s - self._rows_s[0] >= WITHIN_S:
            self._rows_s.popleft()
        if len(self._rows_s) >= ROWS_AT_ONCE and not self._is_worst(alert, now_s):
            self._share(alert, now_s)
            return False
        self._rows_s.append(now_s)
        return True

    def due(self, now_s: float) -> Flood | None:
        """The flood whose row says less than is known by now, at once and then every few seconds."""
        flood = self._flood
        if flood is None or flood.is_told or now_s - flood.told_s < _TOLD_EVERY_S:
            return None
        flood.told_s, flood.is_told = now_s, True
        return flood

    def _share(self, alert: Alert, now_s: float) -> None:
        if self._flood is None or now_s - self._flood.last_s >= WITHIN_S:
            self._flood = Flood(alert, now_s, alert.severity)
        else:
            self._flood.add(alert, now_s)

    def _is_worst(self, alert: Alert, now_s: float) -> bool:
        """Worse than all that share the row of a flood that lasts: decoys must not hide it."""
        flood = self._flood
        if flood is None or now_s - flood.last_s >= WITHIN_S or flood.worse_rows >= _WORSE_ROWS:
            return False
        if alert.severity <= flood.highest:
            return False
        flood.highest = alert.severity
        flood.worse_rows += 1
        return True


def _named(alert: Alert) -> str:
    pid = f" (pid {alert.target.pid})" if alert.target else ""
    return f"{alert.process_name[:_NAME_LIMIT]}{pid}"
