"""Reading and writing facts as rows, inside a transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from monitord.storage.facts import CAPTURE_COLUMNS, INCIDENT_COLUMNS, Facts, cells_of, facts_of, mark_leading
from monitord.storage.incident_events import load_annotations, record_incident
from monitord.storage.tables import incident, profile_capture


def insert_incident(connection: Connection, facts: Facts, captures: Sequence[Facts]) -> list[int]:
    """Store an incident with its rows, instead of what was there under its id; the rows' ids.

    A row keeps its id when the incident is saved again with more evidence: somebody may have noted it.
    """
    known = load_captures(connection, facts["correlation_id"])
    delete_rows(connection, [facts["correlation_id"]])
    connection.execute(insert(incident).values(cells_of(facts, INCIDENT_COLUMNS)))
    kept = {_step(row): row["id"] for row in known}
    if len(known) == 1 and known[0]["profiler"] is None and captures:
        # What stood there was only the place of evidence to come: the leading row takes it over.
        kept[_step(next(row for row in captures if row["is_leading"]))] = known[0]["id"]
    ids = [insert_capture(connection, row, kept.pop(_step(row), None)) for row in captures]
    record_incident(connection, facts, captures)
    return ids


def _step(row: Facts) -> tuple[str, str | None, str]:
    """What tells the captures of one incident apart."""
    return row["role"], row["profiler"], row["captured_at"]


def insert_capture(connection: Connection, facts: Facts, row_id: int | None = None) -> int:
    """Store one row, under an id it had before if there is one; its id."""
    cells = cells_of(facts, CAPTURE_COLUMNS)
    if row_id is not None:
        cells["id"] = row_id
    done = connection.execute(insert(profile_capture).values(cells))
    key = done.inserted_primary_key
    assert key is not None  # noqa: S101 - a single-row insert always has one
    return int(key[0])


def delete_rows(connection: Connection, correlation_ids: Sequence[str]) -> int:
    """Remove incidents with all their rows; how many rows of profile_capture."""
    gone = connection.execute(
        delete(profile_capture).where(profile_capture.c.correlation_id.in_(correlation_ids))
    )
    connection.execute(delete(incident).where(incident.c.correlation_id.in_(correlation_ids)))
    return gone.rowcount


def load_incident(connection: Connection, correlation_id: str) -> Facts | None:
    """Load the incident's own facts, with the notes that people left on it (`annotations`)."""
    row = connection.execute(select(incident).where(incident.c.correlation_id == correlation_id)).first()
    if row is None:
        return None
    return {**facts_of(dict(row._mapping)), "annotations": load_annotations(connection, correlation_id)}


def load_captures(connection: Connection, correlation_id: str) -> list[Facts]:
    """Load the facts of all its rows, each with its `id`, oldest first."""
    query = select(profile_capture).where(profile_capture.c.correlation_id == correlation_id)
    rows = connection.execute(query.order_by(profile_capture.c.captured_at, profile_capture.c.id))
    return [facts_of(dict(row._mapping)) for row in rows]


def update_incident(connection: Connection, correlation_id: str, **values: Any) -> int:
    """Set columns of one incident; 0 when there is none."""
    done = connection.execute(
        update(incident).where(incident.c.correlation_id == correlation_id).values(**values)
    )
    return done.rowcount


def choose_leading(connection: Connection, correlation_id: str) -> None:
    """Choose again which row stands for an incident, after one was added."""
    facts, captures = load_incident(connection, correlation_id), load_captures(connection, correlation_id)
    if facts is None or not captures:
        return
    mark_leading(facts, captures)
    for capture in captures:
        chosen = update(profile_capture).where(profile_capture.c.id == capture["id"])
        connection.execute(chosen.values(is_leading=capture["is_leading"]))
    update_incident(connection, correlation_id, late=facts["late"])
