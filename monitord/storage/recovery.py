"""What a crash or a loss left, put right: nothing complete is ever thrown away.

Half-done deletions are finished, rows without bytes are marked missing, complete artefacts without a row
come back as rows (a whole lost database does so too), incomplete ones go to `quarantine/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, exc, select, update

from monitord.logs import get_logger
from monitord.storage.answers import incident_view
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import (
    AccessDeniedError,
    ArchivedElsewhereError,
    ArtefactError,
    MissingArtefactError,
    StorageManager,
    WrongKeyError,
    is_key,
    is_probe,
)
from monitord.storage.deletion import finish_deletions
from monitord.storage.evidence import (
    KIND_INCIDENT,
    kind_of,
    read_capture_artefact,
    read_incident_artefact,
    store_incident_artefact,
)
from monitord.storage.facts import Facts, mark_leading
from monitord.storage.incident_events import record_incident
from monitord.storage.rows import (
    choose_leading,
    insert_capture,
    insert_incident,
    load_captures,
    load_incident,
    update_incident,
)
from monitord.storage.tables import incident, profile_capture

# What an artefact can hold that no monitord wrote: wrong types, unknown words, what no column takes.
_SENSELESS = (
    *(ArtefactError, ValueError, TypeError, KeyError, IndexError, OverflowError),
    *(exc.InterfaceError, exc.ProgrammingError, exc.IntegrityError, exc.DataError),
)
# Nothing is wrong with these artefacts: they can't be read by us, now.
_UNREADABLE = (AccessDeniedError, ArchivedElsewhereError, WrongKeyError)


def adopt(engine: Engine, holdings: ArtefactStore) -> int:
    """Make rows and artefacts agree again; how many incidents and captures came back."""
    artefacts = holdings.artefacts
    removed = holdings.folder.remove_parts()
    finished = finish_deletions(engine, holdings)
    with engine.begin() as connection:
        # Listed under the write lock: another process's rows are committed after their files are there.
        present = {key for key in artefacts.list() if not is_probe(key)}
        missing = _mark_missing(connection, present, holdings.can_see_remote)
        for keys in _known_keys(connection):
            present.difference_update(keys)
    strangers = sorted(present)
    adopted, quarantined = _take_in(engine, holdings, strangers)
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
        if not can_see_remote and key not in present:
            continue  # it may lie where we can't look
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


def _take_in(engine: Engine, holdings: ArtefactStore, strangers: Sequence[str]) -> tuple[int, int]:
    """Incidents' own artefacts first (they know all), then captures; how many came back, how many did not."""
    kinds: dict[str, str] = {}
    refused: list[tuple[str, str]] = []
    for key in strangers:
        try:
            kinds[key] = kind_of(holdings.artefacts.get_metadata(key))
        except _UNREADABLE as error:
            get_logger().warning("store.artefact_unreadable", artefact=key, reason=str(error))
        except ArtefactError as error:
            refused.append((key, str(error)))
    adopted = 0
    for key in sorted(kinds, key=lambda key: (kinds[key] != KIND_INCIDENT, key)):
        adopt_one = _adopt_incident if kinds[key] == KIND_INCIDENT else _adopt_capture
        try:
            with engine.begin() as connection:
                adopted += adopt_one(connection, holdings, key)
        except _UNREADABLE as error:
            get_logger().warning("store.artefact_unreadable", artefact=key, reason=str(error))
        except _SENSELESS as error:
            refused.append((key, str(error)))
    with engine.begin() as connection:  # under the write lock: what another process is about to own stays
        known = known_keys(connection)
        strange = [(key, reason) for key, reason in refused if key not in known]
        return adopted, sum(_quarantine(holdings.artefacts, key, reason) for key, reason in strange)


def _quarantine(artefacts: StorageManager, key: str, reason: str) -> int:
    try:
        artefacts.set_aside(key)
    except MissingArtefactError:
        return 0
    get_logger().error("store.quarantined", artefact=key, reason=reason)
    return 1


def _adopt_incident(connection: Connection, holdings: ArtefactStore, key: str) -> int:
    artefacts = holdings.artefacts
    facts, captures = read_incident_artefact(artefacts, key)
    existing = load_incident(connection, facts["correlation_id"])
    if existing is not None and existing["artefact_key"] == key:
        return 0  # another process committed it while we waited for the lock
    if existing is not None and existing["artefact_key"] and artefacts.exists(existing["artefact_key"]):
        raise ArtefactError(f"{key} describes an incident that is stored already")
    if existing is not None:
        values = {"artefact_key": key, "stored_bytes": facts["stored_bytes"]}
        update_incident(connection, facts["correlation_id"], **values)
        return 0
    for capture in captures:
        if capture["artefact_key"] and holdings.can_see_remote:
            is_there = artefacts.exists(capture["artefact_key"])
            capture["state"] = capture["state"] if is_there else "missing"
    insert_incident(connection, facts, captures)
    _prove_readable(connection, facts["correlation_id"])
    return 1


def _adopt_capture(connection: Connection, holdings: ArtefactStore, key: str) -> int:
    """Add a capture's row, unless its incident's own artefact brought it back a moment ago."""
    artefacts = holdings.artefacts
    about, capture = read_capture_artefact(artefacts, key)
    correlation_id = about["correlation_id"]
    stored = load_captures(connection, correlation_id)
    if any(row["artefact_key"] == key for row in stored):
        return 0
    if (lost := _row_without_file(artefacts, stored, capture)) is not None:
        names = ("artefact_key", "profile_path", "size_bytes", "stored_bytes", "checksum", "state")
        values = {name: capture[name] for name in names}
        connection.execute(update(profile_capture).where(profile_capture.c.id == lost).values(**values))
        return 1
    if load_incident(connection, correlation_id) is None:
        mark_leading(about, [capture])
        insert_incident(connection, about, [capture])
    else:
        insert_capture(connection, capture)
        choose_leading(connection, correlation_id)
    facts = _prove_readable(connection, correlation_id)
    record_incident(connection, facts, load_captures(connection, correlation_id))
    rewrite_incident(connection, artefacts, facts)
    return 1


def _row_without_file(artefacts: StorageManager, stored: Sequence[Facts], capture: Facts) -> int | None:
    """The row that this artefact's capture has already, under a key that nothing lies under."""
    same = ("role", "profiler", "captured_at")
    for row in stored:
        key = row["artefact_key"]
        if all(row[name] == capture[name] for name in same) and not (
            key and is_key(key) and artefacts.exists(key)
        ):
            return int(row["id"])
    return None


def _prove_readable(connection: Connection, correlation_id: str) -> Facts:
    """Refuse what front rooms could not show, before it is committed; the incident's facts."""
    facts = load_incident(connection, correlation_id)
    if facts is None or not is_key(correlation_id) or "/" in correlation_id:  # it becomes part of keys
        raise ArtefactError(f"no incident {correlation_id!r}")
    incident_view(facts, load_captures(connection, correlation_id), Path())
    return facts


def rewrite_incident(connection: Connection, artefacts: StorageManager, facts: Facts) -> None:
    """Bring the incident's own artefact and its row to these facts."""
    captures = load_captures(connection, facts["correlation_id"])
    store_incident_artefact(artefacts, facts, captures)
    names = ("pinned", "is_summary", "artefact_key", "stored_bytes")
    update_incident(connection, facts["correlation_id"], **{name: facts[name] for name in names})
