"""How evidence goes: rows marked, bytes removed, rows removed; a crash in between is finished at the start.

On a disk so full that no mark can be written, the captures' bytes go first: they were to go anyway, and
without their room nothing could ever be removed again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection, Engine, Select, delete, select, union_all, update

from monitord.errors import DamagedRowError
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import ArtefactError, DiskFullError, StorageManager, is_key
from monitord.storage.cells import MAX_BYTES
from monitord.storage.connection import reading
from monitord.storage.events.of_incidents import forget_incidents, forget_samples
from monitord.storage.evidence import discard_evidence, remove_evidence, store_incident_artefact
from monitord.storage.faults import explained
from monitord.storage.mending import mend
from monitord.storage.records import BARE
from monitord.storage.rows import delete_rows, load_keys, load_records, update_row
from monitord.storage.tables import incident, profile_capture

_BATCH = 20  # short transactions: a save in another process must not wait long behind retention
_REWRITTEN_AT_ONCE = 4  # artefacts in one transaction: each waits for the disk


def delete_incidents(
    engine: Engine, artefact_store: ArtefactStore, correlation_ids: Sequence[str], *, spare_pinned: bool
) -> int:
    """Remove incidents with rows and files; how many. A pin set since they were chosen may spare them."""
    count = 0
    for batch in _batches(correlation_ids):
        count += _with_room(engine, artefact_store, batch, partial(_mark_incidents, batch, spare_pinned))
        _remove_marked(engine, artefact_store, batch)
    return count


def drop_evidence(engine: Engine, artefact_store: ArtefactStore, correlation_ids: Sequence[str]) -> int:
    """Turn incidents into summaries; bytes freed."""
    freed = 0
    for batch in _batches(correlation_ids):
        with reading(engine) as connection:
            before = _stored_bytes(connection, batch)
        for few in _batches(batch, _REWRITTEN_AT_ONCE):
            _with_room(engine, artefact_store, few, partial(_mark_summaries, artefact_store, few))
        _strip_marked(engine, artefact_store, batch)
        with reading(engine) as connection:
            freed += before - _stored_bytes(connection, batch)
    return freed


def finish_deletions(engine: Engine, artefact_store: ArtefactStore) -> int:
    """Finish what was marked when the process ended; how many incidents."""
    with reading(engine) as connection:
        columns = incident.c
        marked = select(columns.correlation_id).where(columns.state == "deleting")
        deleted_ids = dict.fromkeys(connection.execute(marked).scalars())
        half = select(profile_capture.c.correlation_id).where(profile_capture.c.state == "deleting")
        found = dict.fromkeys(connection.execute(half).scalars())
        stripped = [each for each in found if each not in deleted_ids]
    for batch in _batches([*deleted_ids]):
        _remove_marked(engine, artefact_store, batch)
    for batch in _batches(stripped):
        _strip_marked(engine, artefact_store, batch)
    return len(deleted_ids) + len(stripped)


def _batches(correlation_ids: Sequence[str], size: int = _BATCH) -> Iterator[list[str]]:
    for start in range(0, len(correlation_ids), size):
        yield list(correlation_ids[start : start + size])


def _with_room(
    engine: Engine, artefact_store: ArtefactStore, batch: Sequence[str], mark: Callable[[Connection], int]
) -> int:
    """Mark in one transaction; mend a damaged row or make room on a full disk, and try once more.

    Room is made with the captures' bytes.
    """
    try:
        with explained(artefact_store.folder.base_path), engine.begin() as connection:
            return mark(connection)
    except DamagedRowError:
        mend(engine, artefact_store, batch)
        with engine.begin() as connection:
            return mark(connection)
    except DiskFullError:
        with reading(engine) as connection:
            keys = [key for each in batch for key in load_keys(connection, each)]
        discard_evidence(artefact_store.artefacts, keys)
        with engine.begin() as connection:
            return mark(connection)


def _mark_incidents(batch: Sequence[str], spare_pinned: bool, connection: Connection) -> int:
    mark = update(incident).where(incident.c.correlation_id.in_(batch)).values(state="deleting")
    if spare_pinned:
        mark = mark.where(incident.c.pinned == 0)
    marked = connection.execute(mark)
    rows = profile_capture.c.correlation_id.in_(_marked(batch))
    connection.execute(update(profile_capture).where(rows).values(state="deleting"))
    return marked.rowcount


def _marked(batch: Sequence[str]) -> Select[str]:
    columns = incident.c
    return select(columns.correlation_id).where(
        columns.correlation_id.in_(batch) & (columns.state == "deleting")
    )


def _remove_marked(engine: Engine, artefact_store: ArtefactStore, batch: Sequence[str]) -> None:
    with reading(engine) as connection:
        deleted_ids = list(connection.execute(_marked(batch)).scalars())
        held = [
            select(table.c.artefact_key).where(table.c.correlation_id.in_(deleted_ids))
            for table in (profile_capture, incident)
        ]
        keys = connection.execute(union_all(*held)).scalars().all()
    if not all(key is None or is_key(key) for key in keys):  # a damaged row can't say what is its own
        keys = [*keys, *_named_after(artefact_store.artefacts, deleted_ids)]
    with artefact_store.folder.together():
        remove_evidence(artefact_store.artefacts, keys)
    with engine.begin() as connection:
        delete_rows(connection, deleted_ids)
        forget_incidents(connection, deleted_ids)


def _named_after(artefacts: StorageManager, correlation_ids: Sequence[str]) -> Iterator[str]:
    """What would bring these incidents back: artefacts that are called after them, and say so themselves."""
    marks = tuple(f"-{each}-" for each in correlation_ids)
    for key in artefacts.list():
        if any(mark in key for mark in marks):
            with contextlib.suppress(ArtefactError):
                if artefacts.get_metadata(key).tags.get("correlation_id") in correlation_ids:
                    yield key


def _mark_summaries(artefact_store: ArtefactStore, batch: Sequence[str], connection: Connection) -> int:
    """The row that leads stays, without its file; the others are marked, and the artefact says so already."""
    with artefact_store.folder.together():
        marked = [each for each in batch if _mark_summary(artefact_store.artefacts, each, connection)]
    of_them = profile_capture.c.correlation_id.in_(marked)
    connection.execute(update(profile_capture).where(of_them).values(state="deleting"))
    return len(marked)


def _mark_summary(artefacts: StorageManager, correlation_id: str, connection: Connection) -> bool:
    records = load_records(connection, correlation_id)
    if records is None or not records.captures:
        return False
    if records.incident.state != "active" or records.incident.pinned:
        return False
    bare = replace(records.leading, **BARE, state="dropped")
    summary = replace(records, captures=(bare,)).changed(is_summary=True, history=())
    summary = store_incident_artefact(artefacts, summary)
    update_row(connection, summary.incident, ("is_summary", "history", "artefact_key", "stored_bytes"))
    return True


def _strip_marked(engine: Engine, artefact_store: ArtefactStore, batch: Sequence[str]) -> None:
    captures = profile_capture.c
    marked = captures.correlation_id.in_(batch) & (captures.state == "deleting")
    with reading(engine) as connection:
        keys = connection.execute(select(captures.artefact_key).where(marked)).scalars().all()
    with artefact_store.folder.together():
        remove_evidence(artefact_store.artefacts, keys)
    with engine.begin() as connection:
        connection.execute(delete(profile_capture).where(marked & (captures.is_leading == 0)))
        connection.execute(update(profile_capture).where(marked).values(state="dropped", **BARE))
    # On a disk that is still full they stay, small, until their incident goes.
    with (
        contextlib.suppress(DiskFullError),
        explained(artefact_store.folder.base_path),
        engine.begin() as connection,
    ):
        forget_samples(connection, batch)


def _stored_bytes(connection: Connection, batch: Sequence[str]) -> int:
    total = 0
    for table in (incident, profile_capture):
        size = table.c.stored_bytes
        of_them = table.c.correlation_id.in_(batch) & size.between(0, MAX_BYTES)
        total += sum(connection.execute(select(size).where(of_them)).scalars())
    return total
