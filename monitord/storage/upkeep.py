"""What the store takes, by incident and by what was set aside, and how old things set aside go."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, select, update

from monitord.logs import get_logger
from monitord.storage.artefacts import is_key
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.cells import SENSELESS, time_cell, time_of
from monitord.storage.schema import DATABASE_NAME, QUARANTINE_NAME
from monitord.storage.tables import event, history, profile_capture
from monitord.storage.thinning import LEVELS, Level, thinned
from monitord.storage.usage import abandoned_files, set_aside_files, usage_of

_DAMAGED = re.compile(rf"{re.escape(DATABASE_NAME)}\.damaged-[^-]*")
_DATABASES_KEPT = 3  # damaged ones, for a person to look at
_PAGE = 500
_ROWS_THINNED = 80  # at once: an hour of minutes, and some
_LOOSE_EVENT_BYTES = 160  # a row with its indexes


def history_bytes(connection: Connection) -> int:
    """What history and the events of no incident take in the database, about."""
    rates = connection.execute(select(func.coalesce(func.sum(func.length(history.c.rates)), 0))).scalar_one()
    return int(rates) + _LOOSE_EVENT_BYTES * _loose_events(connection)


def drop_history_before(connection: Connection, when: datetime) -> int:
    """Remove history that ends before a time; how many rows."""
    return connection.execute(delete(history).where(history.c.taken_until < time_cell(when))).rowcount


def shorten_history(connection: Connection, keep_share: float) -> int:
    """Keep so large a share of history's bytes; how many events of no incident have to go, too."""
    if newest := _newest_beyond(connection, keep_share):
        connection.execute(delete(history).where(history.c.id <= newest[0]))
    return int((1 - keep_share) * _loose_events(connection))


def history_from(connection: Connection, keep_share: float) -> datetime | None:
    """Before when history goes if this share of its bytes stays; None where that is not known."""
    newest = _newest_beyond(connection, keep_share)
    return _time_or_none(newest[1]) if newest else None


def _newest_beyond(connection: Connection, keep_share: float) -> tuple[int, Any] | None:
    """Number and end of the last row that goes when so large a share of the bytes stays, the newest."""
    size = func.length(history.c.rates)
    held, of_all = func.sum(size).over(order_by=history.c.id.desc()), func.sum(size).over()
    rows = select(history.c.id, history.c.taken_until, held.label("held"), of_all.label("of_all")).subquery()
    query = select(rows.c.id, rows.c.taken_until).where(rows.c.held > keep_share * rows.c.of_all)
    found = connection.execute(query.order_by(rows.c.id.desc()).limit(1)).first()
    return (found.id, found.taken_until) if found else None


def _loose_events(connection: Connection) -> int:
    """How many events belong to no incident."""
    query = select(func.count() - func.count(event.c.correlation_id)).select_from(event)
    return int(connection.execute(query).scalar_one())


def thin_history(connection: Connection, now: datetime) -> None:
    """Thin the oldest rows that are due, one row's worth of each level: what is behind catches up in time."""
    for level in LEVELS:
        due_s = (now.timestamp() - level.age_s) // level.row_s * level.row_s
        rows = list(_rows_due(connection, level, due_s))
        if not rows:
            continue
        first, last = rows[0], rows[-1]
        changes: dict[str, object] = {"step_s": level.step_s}
        try:
            changes["rates"] = thinned((row.rates for row in rows), level.step_s)
        except SENSELESS:  # damaged: it stays as it is, for who mends it, and is not tried again
            last = first
        else:
            changes["taken_until"] = last.taken_until
        connection.execute(update(history).where(history.c.id == first.id).values(changes))
        others = [row.id for row in rows[1 : rows.index(last) + 1]]
        if others:
            connection.execute(delete(history).where(history.c.id.in_(others)))


def _rows_due(connection: Connection, level: Level, due_s: float) -> Iterator[Row[Any]]:
    """The oldest rows of this level that lie in one row's time, as they were recorded one after the other."""
    columns = history.c
    is_due = (columns.step_s == level.of_s) & (columns.taken_until < time_cell(_utc(due_s)))
    oldest = select(columns.id, columns.taken_until).where(is_due).order_by(columns.taken_until).limit(1)
    found = connection.execute(oldest).first()
    if found is None:
        return
    following = select(history).where(columns.id >= found.id).order_by(columns.id).limit(_ROWS_THINNED)
    rows = iter(connection.execute(following))
    first = next(rows)
    yield first
    if not _has_times(first):
        return  # damaged: thinned alone, so that no other row becomes a part of it
    ends_s = (time_of(first.taken_until).timestamp() // level.row_s + 1) * level.row_s
    end, before = time_cell(_utc(min(ends_s, due_s))), first.taken_until
    for row in rows:
        is_next = row.step_s == level.of_s and _has_times(row)
        if not is_next or row.taken_from < before or row.taken_until >= end:
            return  # another level's, one of a clock that was set back, or of the next row
        yield row
        before = row.taken_until


def _has_times(row: Row[Any]) -> bool:
    return None not in (_time_or_none(row.taken_from), _time_or_none(row.taken_until))


def _time_or_none(cell: Any) -> datetime | None:
    """Read the time in a cell; None where it is damaged."""
    try:
        return time_of(cell)
    except SENSELESS:
        return None


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def drop_abandoned(data_dir: Path) -> int:
    """Remove what killed captures left; bytes freed."""
    freed = 0
    for path, size in abandoned_files(data_dir):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        freed += size
    if freed:
        get_logger().warning("store.abandoned_removed", size_bytes=freed)
    return freed


def bound_set_aside(data_dir: Path, budget_bytes: int | None, *, is_remote: bool) -> None:
    """Of databases set aside the newest stay, and as many as the budget has room for."""
    databases = [path for path, _size in set_aside_files(data_dir) if _DAMAGED.fullmatch(path.name)]
    for path in databases[:-_DATABASES_KEPT]:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        get_logger().warning("store.set_aside_removed", path=str(path))
    if budget_bytes is not None:
        drop_set_aside(data_dir, usage_of(data_dir, is_remote=is_remote).total_bytes - budget_bytes)


def drop_set_aside(data_dir: Path, wanted_bytes: int) -> int:
    """Remove what killed captures left, databases set aside and quarantined files, the oldest first.

    Until so much is freed; the bytes freed.
    """
    freed = drop_abandoned(data_dir) if wanted_bytes > 0 else 0
    for path, size in set_aside_files(data_dir):
        if freed >= wanted_bytes:
            break
        path.unlink(missing_ok=True)
        get_logger().warning("store.set_aside_removed", path=str(path), size_bytes=size)
        freed += size
    return freed


class StoredFile:
    """One file of a folder as it was when the folder was listed."""

    __slots__ = ("path", "stat")

    def __init__(self, path: Path, status: os.stat_result) -> None:
        self.path, self.stat = path, status


def files_in(folder: Path) -> Iterator[StoredFile]:
    """What lies in a folder, links followed nowhere; none when there is no folder."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield StoredFile(Path(entry.path), entry.stat(follow_symlinks=False))


def note_sizes(engine: Engine, folder: FileStorageProvider) -> int:
    """Note in the rows what captures take here by now, less than before once archived; how many changed.

    What is not in the folder keeps what its row says: it may lie elsewhere.
    """
    columns = profile_capture.c
    held = columns.artefact_key.is_not(None) & (columns.state == "active")
    query = select(columns.id, columns.artefact_key, columns.stored_bytes).where(held).order_by(columns.id)
    note = update(profile_capture).where(columns.id == bindparam("row"))
    count, last = 0, 0
    while True:
        with engine.connect() as connection:
            rows = connection.execute(query.where(columns.id > last).limit(_PAGE)).all()
        if not rows:
            return count
        last = rows[-1][0]
        sizes = ((row[0], folder.stored_bytes(row[1]) if is_key(row[1]) else 0, row[2]) for row in rows)
        changed = [{"row": row_id, "size": size} for row_id, size, before in sizes if size and size != before]
        if changed:
            with engine.begin() as connection:
                connection.execute(note.values(stored_bytes=bindparam("size")), changed)
        count += len(changed)


def drop_quarantine_before(data_dir: Path, when: datetime) -> int:
    """Remove quarantined files by the time of their last change; bytes freed."""
    freed = 0
    for name, size in quarantined_before(data_dir, when):
        (data_dir / QUARANTINE_NAME / name).unlink(missing_ok=True)
        freed += size
    return freed


def quarantined_before(data_dir: Path, when: datetime) -> list[tuple[str, int]]:
    """Names and sizes of the quarantined files that were put there before `when`."""
    return [
        (file.path.name, file.stat.st_size)
        for file in files_in(data_dir / QUARANTINE_NAME)
        if datetime.fromtimestamp(file.stat.st_ctime, UTC) < when and stat.S_ISREG(file.stat.st_mode)
    ]
