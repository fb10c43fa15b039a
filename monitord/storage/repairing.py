"""Damage put right as far as it can be: what is damaged is set aside, never deleted; what is known is kept.

A capture's bytes that are damaged are lost, and its row says missing. An incident's own artefact is written
anew from its rows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import Engine, select

from monitord.model import short_id
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import (
    ArtefactError,
    DamagedArtefactError,
    MissingArtefactError,
    StorageManager,
    WrongKeyError,
)
from monitord.storage.evidence import (
    FIXED_OF_CAPTURE,
    FIXED_OF_INCIDENT,
    difference_of_capture,
    difference_of_incident,
    is_same_checksum,
    read_incident_artefact,
    rewrite_capture_header,
)
from monitord.storage.mending import keep_as_text
from monitord.storage.records import IncidentRecords, StoredIncident
from monitord.storage.recovery import rewrite_incident
from monitord.storage.rows import (
    choose_leading,
    delete_rows,
    load_captures,
    load_records,
    update_row,
)
from monitord.storage.tables import incident, profile_capture
from monitord.storage.verifying import each_capture, each_incident


def repair(engine: Engine, artefact_store: ArtefactStore) -> list[str]:
    """What was done, in words. What can't be read now (a key that is not at hand) is left alone.

    `recovery.adopt` has to follow: it marks what is missing, and takes in what has no row.
    """
    done = [*_lead_anew(engine, artefact_store)]
    done += _set_damaged_aside(engine, artefact_store.artefacts)
    done += _rewrite_incidents(engine, artefact_store)
    done += _agree(engine, artefact_store)
    return done


def _lead_anew(engine: Engine, artefact_store: ArtefactStore) -> Iterator[str]:
    """Incidents that no row stands for: one is chosen; without any, its artefact is taken in again."""
    columns = profile_capture.c
    led = select(columns.correlation_id).where(columns.is_leading == 1)
    with engine.begin() as connection:
        query = select(incident).where(incident.c.correlation_id.not_in(led))
        for row in connection.execute(query).all():
            name = row.correlation_id
            if choose_leading(connection, name):
                yield f"incident {short_id(name)}: a row leads again"
            else:
                keep_as_text(artefact_store, "incident", dict(row._mapping))
                delete_rows(connection, [name])
                yield f"incident {short_id(name)} had no row: taken from its artefact, if it has one"


def _set_damaged_aside(engine: Engine, artefacts: StorageManager) -> Iterator[str]:
    for row in each_capture(engine):
        key = row.artefact_key
        reason = _damage(artefacts, key, row.checksum) if key and row.state == "active" else None
        if key is None or reason is None:
            continue
        try:
            artefacts.set_aside(key)
        except MissingArtefactError:
            continue
        yield f"quarantined {key}: {reason}"


def _damage(artefacts: StorageManager, key: str, checksum: str | None) -> str | None:
    try:
        found = artefacts.verify(key)
    except DamagedArtefactError as error:
        return str(error)
    except ArtefactError:
        return None
    return None if is_same_checksum(found.checksum, checksum) else "its checksum is not the row's"


def _rewrite_incidents(engine: Engine, artefact_store: ArtefactStore) -> Iterator[str]:
    artefacts = artefact_store.artefacts
    for row in each_incident(engine):
        key, correlation_id = row.artefact_key, row.correlation_id
        if key is None or row.state != "active":
            continue
        try:
            read_incident_artefact(artefacts, key)
            continue
        except WrongKeyError:
            continue
        except MissingArtefactError:
            if not artefact_store.can_see_remote:
                continue  # it may lie where we can't look
        except ArtefactError:
            artefacts.set_aside(key)
        with engine.begin() as connection:
            records = load_records(connection, correlation_id)
            if records is None or records.incident.state != "active":
                continue  # deleted since
            rewrite_incident(connection, artefacts, records)
        yield f"written anew from its rows: incident {short_id(correlation_id)}"


def _agree(engine: Engine, artefact_store: ArtefactStore) -> Iterator[str]:
    """Where rows and headers differ: the incident's own artefact knows, because its bytes have a checksum."""
    for row in each_incident(engine):
        if row.state == "active" and row.artefact_key:
            with contextlib.suppress(ArtefactError):
                stored = read_incident_artefact(artefact_store.artefacts, row.artefact_key)
                yield from _agree_on(engine, artefact_store, row, stored)


def _agree_on(
    engine: Engine, artefact_store: ArtefactStore, row: StoredIncident, held: IncidentRecords
) -> Iterator[str]:
    name, artefacts = row.correlation_id, artefact_store.artefacts
    if held.incident.correlation_id != name:
        return  # another incident's: nothing here tells what is true
    if difference_of_incident(artefacts, row):
        with engine.begin() as connection:
            update_row(connection, held.incident, FIXED_OF_INCIDENT[1:])
            if (now := load_records(connection, name)) is not None:
                rewrite_incident(connection, artefacts, now)
        yield f"incident {short_id(name)}: its row says again what its artefact says"
    with engine.connect() as connection:
        captures = [each for each in load_captures(connection, name) if each.state == "active"]
    told = {capture.artefact_key: capture for capture in held.captures}
    for capture in captures:
        key = capture.artefact_key
        if not key or not difference_of_capture(artefacts.get_metadata(key), capture):
            continue
        fixed = {each: getattr(told.get(key, capture), each) for each in FIXED_OF_CAPTURE}
        true = replace(capture, **fixed)
        with engine.begin() as connection:
            update_row(connection, true, FIXED_OF_CAPTURE)
        if difference_of_capture(artefacts.get_metadata(key), true):
            rewrite_capture_header(artefacts, replace(held.incident, pinned=row.pinned), true)
        yield f"{key}: it says again what was stored of it"
