"""How much of what is stored, and from when to when there is history: questions and answers."""

from __future__ import annotations

from datetime import datetime

from monitord.storage.asking import CAUSE
from monitord.storage.cells import Row, text_of, time_cell, time_of
from monitord.storage.views import CauseTally, NewestOfRule, OutcomeTally, RuleTally

SPAN = "SELECT min(taken_from) AS first, max(taken_until) AS last FROM history GROUP BY NULL"
_BY_RULE = (
    "SELECT rule, count(*) AS incidents, max(raised_at) AS last_at, max(severity) AS severity FROM incident "
    "WHERE state = 'active' AND NOT (rule = 'baseline' AND trigger_metric = 'manual') "
    "AND raised_at >= ? AND raised_at < ? GROUP BY rule ORDER BY incidents DESC, rule"
)

_OF_RULES = "i.state = 'active' AND NOT (i.rule = 'baseline' AND i.trigger_metric = 'manual')"
BY_CAUSE = (
    f"SELECT i.rule, {CAUSE} AS cause, count(*) AS count FROM incident i "  # noqa: S608  our own words
    f"WHERE {_OF_RULES} GROUP BY 1, 2"
)
BY_OUTCOME = (
    "SELECT c.profiler, c.status, count(*) AS count FROM profile_capture c "  # noqa: S608  our own words
    f"JOIN incident i ON i.correlation_id = c.correlation_id WHERE {_OF_RULES} AND c.state <> 'deleting' "
    "GROUP BY 1, 2"
)
# With one max() and nothing else SQLite takes the other columns from the row that holds it.
NEWEST = (
    "SELECT i.rule, i.correlation_id, max(i.raised_at) AS raised_at FROM incident i "  # noqa: S608  our own words
    f"WHERE {_OF_RULES} GROUP BY 1"
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


def cause_tally_of(row: Row) -> CauseTally:
    """Return one cause's number from its row."""
    return CauseTally(text_of(row["rule"]) or "", text_of(row["cause"]), row["count"])


def outcome_tally_of(row: Row) -> OutcomeTally:
    """Return one outcome's number from its row."""
    return OutcomeTally(text_of(row["profiler"]) or "", text_of(row["status"]) or "", row["count"])


def newest_of(row: Row) -> NewestOfRule:
    """Return a rule's newest incident from its row."""
    return NewestOfRule(text_of(row["rule"]) or "", row["correlation_id"], time_of(row["raised_at"]))
