"""What a crash or a loss left, put right: nothing complete is ever thrown away.

Half-done deletions are finished, rows without bytes are marked missing, complete artefacts without a row
come back as rows (a whole lost database does so too), incomplete ones go to `quarantine/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Engine, exc, select, update

from monitord.errors import DamagedRowError
from monitord.logs import get_logger
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import (
    PLANS_KEY,
    AccessDeniedError,
    ArchivedElsewhereError,
    ArtefactError,
    MissingArtefactError,
    StorageManager,
    WrongKeyError,
    has_no_row,
    is_key,
)
from monitord.storage.deletion import finish_deletions
from monitord.storage.events.of_incidents import record_incident
from monitord.storage.evidence import (
    KIND_INCIDENT,
    kind_of,
    read_capture_artefact,
    read_incident_artefact,
    store_incident_artefact,
)
from monitord.storage.plans import names_of
from monitord.storage.records import BARE, IncidentRecords, StoredCapture
from monitord.storage.rows import (
    choose_leading,
    insert_capture,
    insert_records,
    load_records,
    update_row,
)
from monitord.storage.state import NamespacedStorage
from monitord.storage.state.sql import SqlBackend
from monitord.storage.tables import incident, profile_capture

# What an artefact can hold that no monitord wrote: wrong types, unknown words, what no column takes.
_SENSELESS = (
    *(ArtefactError, ValueError, TypeError, KeyError, IndexError, OverflowError),
    *(exc.InterfaceError, exc.ProgrammingError, exc.IntegrityError, exc.DataError),
)
# Nothing is wrong with these artefacts: they can't be read by us, now, or their incident's rows can't.
_UNREADABLE = (AccessDeniedError, ArchivedElsewhereError, DamagedRowError, WrongKeyError)


def adopt(engine: Engine, artefact_store: ArtefactStore) -> int:
    """Make rows and artefacts agree again; how many incidents and captures came back."""
    artefacts = artefact_store.artefacts
    removed = artefact_store.folder.remove_parts()
    finished = finish_deletions(engine, artefact_store)
    state = NamespacedStorage(SqlBackend(engine.begin))
    if names_of(state) or artefacts.exists(PLANS_KEY):
        from monitord.storage.kept_plans import agree_on_plans

        agree_on_plans(artefacts, state)
    with engine.begin() as connection:
        # Listed under the write lock: another process's rows are committed after their files are there.
        present = {key for key in artefacts.list() if not has_no_row(key)}
        missing = _mark_missing(connection, present, artefact_store.can_see_remote)
        for keys in _known_keys(connection):
            present.difference_update(keys)
    orphans = sorted(present)
    adopted, quarantined = _take_in(engine, artefact_store, orphans)
    if removed or finished or missing or adopted or quarantined:
        get_logger().warning(
            "store.recovered",
            adopted=adopted,
            quarantined=quarantined,
            missing=missing,
            deletions_finished=finished,
            temporary_files_removed=removed,
        )
    return adopted


def _mark_missing(connection: Connection, present: set[str], can_see_remote: bool) -> int:
    """Rows whose artefact is gone are marked, and unmarked when it is back."""
    columns = profile_capture.c
    query = select(columns.id, columns.artefact_key, columns.state).where(columns.artefact_key.is_not(None))
    changed: dict[int, str] = {}
    for row_id, key, state in connection.execute(query):
        if not is_key(key) or (not can_see_remote and key not in present):
            continue  # the row is damaged, or the artefact may lie where we can't look
        actual = "active" if key in present else "missing"
        if state != actual and state in ("active", "missing"):
            changed[row_id] = actual
    for row_id, actual in changed.items():
        connection.execute(update(profile_capture).where(columns.id == row_id).values(state=actual))
    return sum(actual == "missing" for actual in changed.values())


def known_keys(connection: Connection) -> set[str]:
    """Return the keys of all artefacts that a row names."""
    return {key for keys in _known_keys(connection) for key in keys}


def _known_keys(connection: Connection) -> Iterator[Iterable[str]]:
    for column in (profile_capture.c.artefact_key, incident.c.artefact_key):
        yield connection.execute(select(column).where(column.is_not(None))).scalars()


def _take_in(engine: Engine, artefact_store: ArtefactStore, orphans: Sequence[str]) -> tuple[int, int]:
    """Incidents' own artefacts first (they know all), then captures; how many came back, how many did not."""
    kinds: dict[str, str] = {}
    refused: list[tuple[str, str]] = []
    for key in orphans:
        try:
            kinds[key] = kind_of(artefact_store.artefacts.get_metadata(key))
        except _UNREADABLE as error:
            get_logger().warning("store.artefact_unreadable", artefact=key, reason=str(error))
        except ArtefactError as error:
            refused.append((key, str(error)))
    adopted = 0
    for key in sorted(kinds, key=lambda key: (kinds[key] != KIND_INCIDENT, key)):
        adopt_one = _adopt_incident if kinds[key] == KIND_INCIDENT else _adopt_capture
        try:
            with engine.begin() as connection:
                adopted += adopt_one(connection, artefact_store, key)
        except _UNREADABLE as error:
            get_logger().warning("store.artefact_unreadable", artefact=key, reason=str(error))
        except _SENSELESS as error:
            refused.append((key, str(error)))
    with engine.begin() as connection:  # under the write lock: what another process is about to own stays
        known = known_keys(connection)
        strange = [(key, reason) for key, reason in refused if key not in known]
        return adopted, sum(_quarantine(artefact_store.artefacts, key, reason) for key, reason in strange)


def _quarantine(artefacts: StorageManager, key: str, reason: str) -> int:
    try:
        artefacts.set_aside(key)
    except MissingArtefactError:
        return 0
    get_logger().error("store.quarantined", artefact=key, reason=reason)
    return 1


def _adopt_incident(connection: Connection, artefact_store: ArtefactStore, key: str) -> int:
    artefacts = artefact_store.artefacts
    found = read_incident_artefact(artefacts, key)
    existing = load_records(connection, found.incident.correlation_id)
    if existing is None:
        captures = tuple(_with_its_state(artefact_store, capture) for capture in found.captures)
        insert_records(connection, replace(found, captures=captures))
        _prove_readable(connection, found.incident.correlation_id)
        return 1
    known = existing.incident.artefact_key
    if known == key:
        return 0  # another process committed it while we waited for the lock
    if known and artefacts.exists(known):
        raise ArtefactError(f"{key} describes an incident that is stored already")
    update_row(connection, found.incident, ("artefact_key", "stored_bytes"))
    return 0


def _with_its_state(artefact_store: ArtefactStore, capture: StoredCapture) -> StoredCapture:
    """What an artefact says of another one is old: perhaps that one is gone."""
    key = capture.artefact_key
    if key and artefact_store.can_see_remote and not artefact_store.artefacts.exists(key):
        return replace(capture, state="missing")
    return capture


def _adopt_capture(connection: Connection, artefact_store: ArtefactStore, key: str) -> int:
    """Add a capture's row, unless its incident's own artefact brought it back a moment ago."""
    artefacts = artefact_store.artefacts
    about, capture = read_capture_artefact(artefacts, key)
    stored = load_records(connection, about.correlation_id)
    captures = stored.captures if stored else ()
    if any(row.artefact_key == key for row in captures):
        return 0
    if (lost := _row_without_file(artefacts, captures, capture)) is not None:
        update_row(connection, replace(capture, id=lost), (*BARE, "state"))
        return 1
    if stored is None:
        insert_records(connection, IncidentRecords(about, (capture,)).led())
    else:
        insert_capture(connection, capture)
        choose_leading(connection, about.correlation_id)
    records = _prove_readable(connection, about.correlation_id)
    record_incident(connection, records)
    rewrite_incident(connection, artefacts, records)
    return 1


def _row_without_file(
    artefacts: StorageManager, stored: Sequence[StoredCapture], capture: StoredCapture
) -> int | None:
    """The row that this artefact's capture has already, under a key that nothing lies under."""
    for row in stored:
        key = row.artefact_key
        if row.step == capture.step and not (key and artefacts.exists(key)):
            return row.id
    return None


def _prove_readable(connection: Connection, correlation_id: str) -> IncidentRecords:
    """Refuse what can't be read again, before it is committed; the incident as it reads."""
    records = load_records(connection, correlation_id)
    if records is None:
        raise ArtefactError(f"cannot find incident {correlation_id!r}")
    return records


def rewrite_incident(connection: Connection, artefacts: StorageManager, records: IncidentRecords) -> None:
    """Bring the incident's own artefact and its row to these records."""
    stored = store_incident_artefact(artefacts, records).incident
    update_row(connection, stored, ("reason", "pinned", "is_summary", "artefact_key", "stored_bytes"))
