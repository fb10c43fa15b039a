"""Which row an alert belongs to that a limit suppressed: the one of the same process and rule before it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.model import Alert, ProcessKey

_KEPT = 256
_SOON = timedelta(seconds=600)
Owner = tuple[str, ProcessKey | None]


class Rows:
    """The last row of each rule and process; bounded, the oldest is forgotten first."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Owner, tuple[str, datetime]] = OrderedDict()

    def note(self, alert: Alert, correlation_id: str) -> None:
        """A row was opened."""
        owner = (alert.rule, alert.target)
        self._rows.pop(owner, None)
        self._rows[owner] = (correlation_id, alert.raised_at)
        while len(self._rows) > _KEPT:
            self._rows.popitem(last=False)

    def repeated(self, alert: Alert) -> str | None:
        """Return the row that a suppressed alert repeats: of a cooldown any, of a budget one of a moment ago.

        What is part of the whole machine's trouble counts with the last row of that rule.
        """
        if alert.suppressed_by is None:
            return None
        if alert.counts_with is not None:
            of_rule = (
                row for (rule, _), (row, _at) in reversed(self._rows.items()) if rule == alert.counts_with
            )
            return next(of_rule, None)
        row = self._rows.get((alert.rule, alert.target))
        if row is None:
            return None
        correlation_id, raised_at = row
        is_soon = timedelta(0) <= alert.raised_at - raised_at < _SOON
        return correlation_id if alert.is_repeat or is_soon else None

    def remember(self) -> list[list[object]]:
        """Return all rows as values for JSON."""
        return [
            [
                rule,
                target.pid if target else None,
                target.start_ticks if target else None,
                row,
                at.isoformat(),
            ]
            for (rule, target), (row, at) in self._rows.items()
        ]

    def restore(self, values: Sequence[object]) -> None:
        """Take over what an earlier run of this boot remembered; what is damaged is left out."""
        for value in values[-_KEPT:]:
            try:
                rule, pid, ticks, row, at = _five(value)
                target = None if pid is None else ProcessKey(int(pid), int(ticks))
                self._rows[str(rule), target] = (str(row), datetime.fromisoformat(at).astimezone(UTC))
            except (TypeError, ValueError):
                continue


def _five(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) != 5:
        raise TypeError("expected five values")
    return value
