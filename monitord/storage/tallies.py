"""How many incidents each rule made, and from when to when there is history: questions and answers."""

from __future__ import annotations

from datetime import datetime

from monitord.storage.cells import Row, text_of, time_cell, time_of
from monitord.storage.views import RuleTally

SPAN = "SELECT min(taken_from) AS first, max(taken_until) AS last FROM history GROUP BY NULL"
_BY_RULE = (
    "SELECT rule, count(*) AS incidents, max(raised_at) AS last_at, max(severity) AS severity FROM incident "
    "WHERE state = 'active' AND NOT (rule = 'baseline' AND trigger_metric = 'manual') "
    "AND raised_at >= ? AND raised_at < ? GROUP BY rule ORDER BY incidents DESC, rule"
)


def span_of_history(row: Row) -> tuple[datetime, datetime]:
    """Return both ends from the one row."""
    return time_of(row["first"]), time_of(row["last"])


def by_rule_statement(since: datetime | None, until: datetime | None) -> tuple[str, list[str]]:
    """Return the question and its values."""
    return _BY_RULE, [time_cell(since) if since else "", time_cell(until) if until else "~"]


def tally_of(row: Row) -> RuleTally:
    """Return one rule's numbers from its row."""
    return RuleTally(
        text_of(row["rule"]) or "", row["incidents"], time_of(row["last_at"]), float(row["severity"])
    )
