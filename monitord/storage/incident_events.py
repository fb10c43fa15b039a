"""What an incident consists of, as events: its alert, samples before it, captures, and what they found hot.

They stand under the incident's correlation id and are written with its rows, in the same transaction; so
functions, statements and processes can be asked for across incidents. Notes that people left are events too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from monitord.errors import UsageError
from monitord.model import BASELINE_RULE, Event, EventType, HistoryPoint, TriggerMetric
from monitord.storage.cells import time_cell, time_of
from monitord.storage.events.access import DataAccess
from monitord.storage.events.filters import EventFilter
from monitord.storage.events.rows import clipped, row_of
from monitord.storage.facts import Facts

# One sample in so many that this number is left: what stands before an incident in full is its history.
SAMPLES_KEPT = 20
_OF_FACTS = (EventType.SAMPLE, EventType.ALERT, EventType.CAPTURE, EventType.HOTSPOT, EventType.NOTE)
FUNCTIONS_KEPT = 10
STATEMENTS_KEPT = 3
_REASON_LIMIT = 2000
_READINGS = tuple(field.name for field in fields(HistoryPoint))[1:]
_CAPTURE = (
    *("role", "profiler", "status", "duration_seconds", "sample_count", "target_cpu_percent", "late"),
    *("failure_reason",),
)
_FUNCTION = (
    "kind",
    "file",
    "line",
    "self_share",
    "total_share",
    "share_error",
    "func_id",
    "func_hash",
    "samples",
)


def record_incident(connection: Connection, facts: Facts, captures: Sequence[Facts]) -> None:
    """Bring the events of an incident to these facts."""
    access = DataAccess(connection)
    access.forget_incidents([facts["correlation_id"]], _OF_FACTS)
    access.insert([event for event in incident_events(facts, captures) if _is_storable(event)])


def load_annotations(connection: Connection, correlation_id: str) -> list[list[str]]:
    """Load the notes people left on an incident, as pairs of time and text, oldest first."""
    wanted = EventFilter(event_type=EventType.NOTE, correlation_id=correlation_id, order="asc", limit=None)
    return [
        [time_cell(event.taken_at), str(event.payload["text"])]
        for event in DataAccess(connection).query(wanted)
    ]


def forget_incidents(connection: Connection, correlation_ids: Sequence[str]) -> None:
    """Whole incidents went: so do all their events."""
    DataAccess(connection).forget_incidents(correlation_ids)


def forget_samples(connection: Connection, correlation_ids: Sequence[str]) -> None:
    """Delete what stood before incidents that became summaries; what was found stays."""
    DataAccess(connection).forget_incidents(correlation_ids, (EventType.SAMPLE,))


def _is_storable(event: Event) -> bool:
    """An event that can't be kept (a time before 1970) must not keep its incident from being kept."""
    try:
        row_of(event)
    except UsageError:
        return False
    return True


def incident_events(facts: Facts, captures: Sequence[Facts]) -> Iterator[Event]:
    """Yield all events of an incident, oldest kind first."""
    whose = {
        "pid": facts["pid"],
        "start_ticks": facts["started_ticks"],
        "process_name": clipped(facts["process_name"]),
        "correlation_id": facts["correlation_id"],
    }
    for point in _thinned(facts["history"]):
        readings = zip(_READINGS, point[1:], strict=False)
        known = {name: _rounded(value) for name, value in readings if value is not None}
        yield Event(EventType.SAMPLE, time_of(point[0]), **whose, payload=known)
    is_baseline = facts["rule"] == BASELINE_RULE and facts["trigger_metric"] == TriggerMetric.MANUAL.value
    if not is_baseline:
        yield Event(EventType.ALERT, time_of(facts["raised_at"]), **whose, payload=_alert(facts))
    for capture in captures:
        whom = {**whose, "pid": capture["pid"] or None, "start_ticks": capture["started_ticks"]}
        yield Event(EventType.CAPTURE, _captured(capture), **whom, payload=_said(capture, _CAPTURE))
    for at, text in facts.get("annotations", ()):
        yield Event(EventType.NOTE, time_of(at), **whose, payload={"text": text})
    leading = next((capture for capture in captures if capture["is_leading"]), None)
    if leading is not None and not is_baseline:  # what is hot there was so while nothing was wrong
        for spot in facts["hotspots"][:FUNCTIONS_KEPT]:
            counted = {**spot, "samples": leading["sample_count"]}
            yield from _hotspot_events(counted, _captured(leading), whose)


def _thinned(history: Sequence[Any]) -> Sequence[Any]:
    """At most SAMPLES_KEPT of them, evenly spread, the last one among them."""
    step = -(-len(history) // SAMPLES_KEPT) or 1
    return history[::-1][::step][::-1]


def _alert(facts: Facts) -> dict[str, object]:
    names = ("rule", "trigger_metric", "trigger_value", "threshold_value", "threshold_unit", "severity")
    return {**_said(facts, names), "reason": facts["reason"][:_REASON_LIMIT]}


def _hotspot_events(spot: Facts, at: datetime, whose: dict[str, Any]) -> Iterator[Event]:
    """One of the function, and one of each hot statement in it, which has the statement's id."""
    named: dict[str, Any] = {
        "module": clipped(spot.get("module")),
        "function": clipped(spot["function"]),
        "arity": spot.get("arity"),
    }
    yield Event(EventType.HOTSPOT, at, **whose, **named, payload=_said(spot, _FUNCTION))
    for statement in (spot.get("statements") or ())[:STATEMENTS_KEPT]:
        if statement.get("stmt_id"):
            payload = {**_said(statement, ("line", "self_share")), "func_id": spot.get("func_id")}
            node = {"ast_node_id": statement["stmt_id"]}
            yield Event(EventType.HOTSPOT, at, **whose, **named, **node, payload=payload)


def _captured(capture: Facts) -> datetime:
    return time_of(capture["captured_at"])


def _said(facts: Facts, names: Sequence[str]) -> dict[str, object]:
    """What the facts have to say under these names."""
    return {name: _rounded(facts[name]) for name in names if facts.get(name) not in (None, "")}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return value[:_REASON_LIMIT] if isinstance(value, str) else value
