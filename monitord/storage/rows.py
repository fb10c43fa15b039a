"""Reading and writing records as rows, inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from monitord.best_evidence import rank
from monitord.model import TriggerMetric
from monitord.storage.artefacts import is_key
from monitord.storage.cells import cells, read_row
from monitord.storage.events.of_incidents import load_notes, record_incident
from monitord.storage.records import IncidentRecords, StoredCapture, StoredIncident
from monitord.storage.tables import incident, profile_capture
from monitord.storage.views import Note

_JUDGED = ("id", "role", "status", "late", "sample_count", "trigger_metric")
_STEP = ("role", "profiler", "captured_at")  # what tells the captures of one incident apart


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a save keeps of the rows that it replaces, or removes with them; damaged rows say it as well."""

    pinned: bool
    own_key: str | None
    capture_keys: tuple[str, ...]
    notes: tuple[Note, ...]


def load_replaced(connection: Connection, correlation_id: str) -> Replaced:
    """Load what is stored under an id that is saved (again)."""
    columns = incident.c
    of_it = select(columns.pinned, columns.artefact_key).where(columns.correlation_id == correlation_id)
    row = connection.execute(of_it).first()
    return Replaced(
        pinned=row is not None and row.pinned == 1,
        own_key=row.artefact_key if row is not None and is_key(row.artefact_key) else None,
        capture_keys=load_keys(connection, correlation_id),
        notes=load_notes(connection, correlation_id, only_sound=True) if row is not None else (),
    )


def load_keys(connection: Connection, correlation_id: str) -> tuple[str, ...]:
    """Load the keys that an incident's captures have; other values name nothing."""
    keys = select(profile_capture.c.artefact_key).where(profile_capture.c.correlation_id == correlation_id)
    return tuple(filter(is_key, connection.execute(keys).scalars()))


def numbered(connection: Connection, records: IncidentRecords) -> IncidentRecords:
    """Return the records with the ids that their rows get; the caller holds the write lock until they do.

    A row keeps its id when the incident is saved again with more evidence, and when it comes back from an
    artefact: somebody may have noted it. One that another row has by now is not taken away.
    """
    columns = profile_capture.c
    kept = _ids_to_keep(connection, records)
    others = columns.correlation_id.is_distinct_from(records.incident.correlation_id)
    wanted = [each.id for each in records.captures if each.id is not None]
    taken = set(connection.execute(select(columns.id).where(others, columns.id.in_(wanted))).scalars())
    taken.update(kept.values())
    free = max(connection.execute(select(func.coalesce(func.max(columns.id), 0))).scalar_one(), *wanted, 0)
    captures = []
    for each in records.captures:
        row_id = kept.pop(_step_of(each), None) or (each.id if each.id not in taken else None)
        if row_id is None:
            row_id = free = free + 1
        taken.add(row_id)
        captures.append(replace(each, id=row_id))
    return replace(records, captures=tuple(captures))


def insert_records(connection: Connection, records: IncidentRecords) -> IncidentRecords:
    """Store an incident with its rows, instead of what was there under its id; with the rows' ids."""
    records = numbered(connection, records)
    delete_rows(connection, [records.incident.correlation_id])
    connection.execute(insert(incident).values(cells(records.incident)))
    for each in records.captures:
        insert_capture(connection, each)
    record_incident(connection, records)
    return records


def _ids_to_keep(connection: Connection, records: IncidentRecords) -> dict[Sequence[Any], int]:
    columns = profile_capture.c
    steps = select(columns.id, *(columns[name] for name in _STEP))
    found = steps.where(columns.correlation_id == records.incident.correlation_id)
    known = connection.execute(found.order_by(columns.captured_at, columns.id)).all()
    kept: dict[Sequence[Any], int] = {tuple(row[1:]): row.id for row in known}
    if len(known) == 1 and known[0].profiler is None and records.captures:
        # What stood there was only the place of evidence to come: the leading row takes it over.
        kept[_step_of(records.leading)] = known[0].id
    return kept


def _step_of(capture: StoredCapture) -> tuple[Any, ...]:
    return tuple(cells(capture, _STEP).values())


def insert_capture(connection: Connection, capture: StoredCapture) -> int:
    """Store one row, under an id it had before if there is one; its id."""
    row = cells(capture)
    if capture.id is None:
        del row["id"]
    key = connection.execute(insert(profile_capture).values(row)).inserted_primary_key
    assert key is not None  # noqa: S101 - a single-row insert always has one
    return int(key[0])


def delete_rows(connection: Connection, correlation_ids: Sequence[str]) -> None:
    """Remove incidents with all their rows."""
    for table in (profile_capture, incident):
        connection.execute(delete(table).where(table.c.correlation_id.in_(correlation_ids)))


def load_records(connection: Connection, correlation_id: str) -> IncidentRecords | None:
    """Load all that is kept of an incident; raises DamagedRowError."""
    row = connection.execute(select(incident).where(incident.c.correlation_id == correlation_id)).first()
    if row is None:
        return None
    return IncidentRecords(
        read_row(StoredIncident, dict(row._mapping)),
        load_captures(connection, correlation_id),
        load_notes(connection, correlation_id),
    )


def load_captures(connection: Connection, correlation_id: str) -> tuple[StoredCapture, ...]:
    """Load its captures, oldest first; raises DamagedRowError."""
    query = select(profile_capture).where(profile_capture.c.correlation_id == correlation_id)
    rows = connection.execute(query.order_by(profile_capture.c.captured_at, profile_capture.c.id))
    return tuple(read_row(StoredCapture, dict(row._mapping)) for row in rows)


def update_row(connection: Connection, record: StoredIncident | StoredCapture, names: Iterable[str]) -> None:
    """Bring these columns of a record's row to what the record says."""
    table = incident if isinstance(record, StoredIncident) else profile_capture
    (key,) = table.primary_key
    of_it = update(table).where(key == getattr(record, key.name))
    connection.execute(of_it.values(cells(record, names)))


def _rank_of(row: Any) -> int:
    samples = row.sample_count if isinstance(row.sample_count, int) else None
    is_hang = row.trigger_metric == TriggerMetric.HANG.value
    metric = TriggerMetric.HANG if is_hang else None
    return rank(row.role, row.status, late=row.late == 1, sample_count=samples, metric=metric)


def choose_leading(connection: Connection, correlation_id: str) -> bool:
    """Choose again which row stands for an incident; whether it has any. Also of damaged rows."""
    columns = profile_capture.c
    of_it = columns.correlation_id == correlation_id
    judged = select(*(columns[name] for name in _JUDGED)).where(of_it)
    rows = connection.execute(judged.order_by(columns.captured_at, columns.id)).all()
    if not rows:
        return False
    best = min(rows, key=_rank_of)
    connection.execute(update(profile_capture).where(of_it).values(is_leading=columns.id == best.id))
    changed = update(incident).where(incident.c.correlation_id == correlation_id)
    connection.execute(changed.values(late=int(best.late == 1)))
    return True
