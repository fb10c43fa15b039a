"""Incidents as stretches of time: from the first crossing to the end of the leading evidence."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitord.storage.cells import Row, read_cells, time_cell
from monitord.storage.records import StoredCapture, StoredIncident
from monitord.storage.views import IncidentSpan

_NEAR = timedelta(minutes=10)  # an incident is raised after its window, and its evidence ends after that
_OF_INCIDENT = (
    "correlation_id", "rule", "trigger_metric", "process_name", "pid", "reason", "cause", "crossed_at",
    "raised_at", "hotspots",
)  # fmt: skip
_OF_CAPTURE = ("captured_at", "duration_seconds", "profiler", "command_line")
_CHOSEN = ", ".join((*(f"i.{name}" for name in _OF_INCIDENT), *(f"c.{name}" for name in _OF_CAPTURE)))
_SQL = (
    f"SELECT {_CHOSEN} FROM incident i CROSS JOIN profile_capture c ON i.correlation_id = c.correlation_id "  # noqa: S608  our words
    "WHERE i.raised_at >= ? AND i.raised_at < ? AND i.crossed_at <= ? AND c.is_leading = 1 "
    "AND i.state = 'active' AND NOT (i.rule = 'baseline' AND i.trigger_metric = 'manual') "
    "ORDER BY i.raised_at DESC LIMIT ?"
)


def spans_statement(since: datetime, until: datetime, limit: int) -> tuple[str, list[Any]]:
    """Return the question for those that may have gone on in [since, until], and its values."""
    near = [time_cell(since - _NEAR), time_cell(until + _NEAR), time_cell(until)]
    return _SQL, [*near, limit]


def span_of(row: Row) -> IncidentSpan:
    """Return one incident's stretch from its row."""
    incident = read_cells(StoredIncident, {name: row[name] for name in _OF_INCIDENT})
    capture = read_cells(StoredCapture, {name: row[name] for name in _OF_CAPTURE})
    evidence_ends = capture["captured_at"] + timedelta(seconds=capture["duration_seconds"] or 0)
    return IncidentSpan(
        **{name: incident[name] for name in _OF_INCIDENT},
        ends_at=max(incident["raised_at"], evidence_ends),
        profiler=capture["profiler"],
        command_line=capture["command_line"],
    )
