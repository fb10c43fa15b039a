"""What an incident consists of, as events: its alert, samples before it, captures, and what they found hot.

They stand under the incident's correlation id and are written with its rows, in the same transaction; so
functions, statements and processes can be asked for across incidents. Notes that people left are events too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from sqlalchemy import Connection

from monitord.errors import DamagedRowError, StorageError, UsageError
from monitord.model import (
    BASELINE_RULE,
    ONLY_WAITED,
    Event,
    EventType,
    HistoryPoint,
    Hotspot,
    TriggerMetric,
)
from monitord.storage.cells import MENDED_BY, SENSELESS
from monitord.storage.events.access import DataAccess
from monitord.storage.events.filters import EventFilter
from monitord.storage.events.rows import clipped, event_of, row_of
from monitord.storage.records import IncidentRecords, StoredCapture, StoredIncident
from monitord.storage.views import Note

_T = TypeVar("_T")
# One sample in so many that this number is left: what stands before an incident in full is its history.
SAMPLES_KEPT = 20
_OF_RECORDS = (EventType.SAMPLE, EventType.ALERT, EventType.CAPTURE, EventType.HOTSPOT, EventType.NOTE)
FUNCTIONS_KEPT = 10
STATEMENTS_KEPT = 3
_REASON_LIMIT = 2000
_READINGS = tuple(field.name for field in fields(HistoryPoint))[1:]
_ALERT = ("rule", "trigger_metric", "trigger_value", "threshold_value", "threshold_unit", "severity")
_CAPTURE = (
    *("role", "profiler", "status", "duration_seconds", "sample_count", "target_cpu_percent", "late"),
    *("failure_reason",),
)
_FUNCTION = ("kind", "file", "line", "self_share", "total_share", "share_error", "func_id", "func_hash")


def record_incident(connection: Connection, records: IncidentRecords) -> None:
    """Bring the events of an incident to these records."""
    access = DataAccess(connection)
    access.forget_incidents([records.incident.correlation_id], _OF_RECORDS)
    access.insert([event for event in incident_events(records) if _is_storable(event)])


def load_notes(connection: Connection, correlation_id: str, *, only_sound: bool = False) -> tuple[Note, ...]:
    """Load the notes that people left on an incident, oldest first; raises DamagedRowError, or leaves out."""
    wanted = EventFilter(event_type=EventType.NOTE, correlation_id=correlation_id, order="asc", limit=None)
    notes: list[Note] = []
    for row in DataAccess(connection).rows(wanted):
        try:
            event = event_of(row)
            notes.append(Note(event.taken_at, str(event.payload["text"])))
        except (StorageError, *SENSELESS) as error:
            if not only_sound:
                raise DamagedRowError(f"cannot read note {row[0]!r}; {MENDED_BY}") from error
    return tuple(notes)


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


def incident_events(records: IncidentRecords) -> Iterator[Event]:
    """Yield all events of an incident, oldest kind first."""
    incident = records.incident
    whose = Event(
        EventType.SAMPLE, incident.raised_at, pid=incident.pid, start_ticks=incident.started_ticks,
        process_name=clipped(incident.process_name), correlation_id=incident.correlation_id,
    )  # fmt: skip
    for point in _thinned(incident.history):
        yield replace(whose, taken_at=point.taken_at, payload=_said(point, _READINGS))
    is_baseline = incident.rule == BASELINE_RULE and incident.trigger_metric is TriggerMetric.MANUAL
    if not is_baseline:
        said = {**_said(incident, _ALERT), "reason": incident.reason[:_REASON_LIMIT], **_cause_of(incident)}
        yield replace(whose, event_type=EventType.ALERT, payload=said)
    for capture in records.captures:
        yield _capture_event(capture, whose)
    for note in records.notes:
        yield replace(whose, event_type=EventType.NOTE, taken_at=note.taken_at, payload={"text": note.text})
    if not is_baseline and any(capture.is_leading for capture in records.captures):
        for spot in incident.hotspots[
            :FUNCTIONS_KEPT
        ]:  # what is hot in a baseline was so while nothing was wrong
            yield from _hotspot_events(spot, records.leading, whose)


def _cause_of(incident: StoredIncident) -> dict[str, str]:
    """Its class and sentence; what speaks for it is the incident's."""
    cause = incident.cause
    return {"cause": cause.kind, "cause_sentence": cause.sentence} if cause else {}


def _thinned(history: Sequence[_T]) -> Sequence[_T]:
    """At most SAMPLES_KEPT of them, evenly spread, the last one among them."""
    step = -(-len(history) // SAMPLES_KEPT) or 1
    return history[::-1][::step][::-1]


def _capture_event(capture: StoredCapture, whose: Event) -> Event:
    return replace(
        whose,
        event_type=EventType.CAPTURE,
        taken_at=capture.captured_at,
        pid=capture.pid or None,
        start_ticks=capture.started_ticks,
        payload=_said(capture, _CAPTURE),
    )


def _hotspot_events(spot: Hotspot, leading: StoredCapture, whose: Event) -> Iterator[Event]:
    """One of the function, and one of each hot statement in it, which has the statement's id."""
    samples = {} if leading.sample_count is None else {"samples": leading.sample_count}
    samples |= {"waited": 1} if ONLY_WAITED in (leading.notes or {}) else {}
    of_function = replace(
        whose, event_type=EventType.HOTSPOT, taken_at=leading.captured_at, module=clipped(spot.module),
        function=clipped(spot.function), arity=spot.arity, payload=_said(spot, _FUNCTION) | samples,
    )  # fmt: skip
    yield of_function
    for statement in spot.statements[:STATEMENTS_KEPT]:
        if statement.stmt_id:
            payload = {**_said(statement, ("line", "self_share")), "func_id": spot.func_id}
            yield replace(of_function, ast_node_id=statement.stmt_id, payload=payload)


def _said(source: object, names: Sequence[str]) -> dict[str, object]:
    """What a value has to say under these names."""
    found = ((name, getattr(source, name)) for name in names)
    return {name: _rounded(value) for name, value in found if value not in (None, "")}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, bool):
        return int(value)
    return value[:_REASON_LIMIT] if isinstance(value, str) else value
