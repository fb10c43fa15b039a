"""SQLite opened for reading, in a way that never changes the database file; without SQLAlchemy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monitord.errors import DamagedRowError, SchemaTooNewError, StorageError
from monitord.storage.cells import MAX_BYTES, time_of
from monitord.storage.faults import SEEN_BY, DamagedError, explained
from monitord.storage.schema import HEAD, REVISIONS

_BUSY_TIMEOUT_S = 2.0
_SOUND = f"WHERE stored_bytes BETWEEN 0 AND {MAX_BYTES}"  # the sum of others may be too large to be had
_STORED = (
    f"SELECT (SELECT coalesce(sum(stored_bytes), 0) FROM incident {_SOUND})"  # noqa: S608  our words
    f" + (SELECT coalesce(sum(stored_bytes), 0) FROM profile_capture {_SOUND})"
)
_OURS = frozenset(("incident", "profile_capture", "history", "state", "event"))
# What has no pages may run for ever: a trigger, a virtual table, a view under a name that is asked for.
# A view of another name is somebody's own, and nobody asks it.
_SCHEMA = (
    "SELECT version_num, (SELECT group_concat(name) FROM sqlite_master WHERE type = 'table'),"
    " (SELECT name FROM sqlite_master WHERE coalesce(rootpage, 0) = 0"
    " AND (type <> 'view' OR name LIKE 'sqlite%' OR name LIKE 'pragma%'"
    " OR lower(name) IN ('alembic_version', 'dbstat', 'json_each')) LIMIT 1)"
    " FROM alembic_version LIMIT 2"
)
_BROUGHT = {
    "0002": "incident", "0003": "idx_state_expiry", "0004": "event",
    "0005": "idx_event_pid_type", "0006": "incident.cause",
    "0007": "idx_history_step", "0008": "idx_event_name",
}  # fmt: skip
"""What each revision made: where it is there, an older revision is a digit that has changed on the disk."""
_MADE = (
    "SELECT name FROM sqlite_master UNION ALL SELECT 'incident.' || name FROM pragma_table_info('incident')"
)


def open_readonly(database: Path) -> tuple[sqlite3.Connection, str | None]:
    """Open a read-only connection; return it and the schema's revision (None: none of our tables is there).

    Statements stand alone, so no read transaction outlives its query. On a full or read-only disk SQLite
    can't make the shared memory file that WAL wants; without changes waiting in the WAL, the file itself
    is the whole truth and is read as immutable. Raises SchemaTooNewError for a revision we don't know.
    """
    address = _address(database)
    with explained(database):
        connection = _connect(address)
    try:
        with explained(database):
            try:
                revision = _revision(connection)
            except sqlite3.OperationalError as error:
                if not _is_shut_out(error) or _has_waiting_changes(database):
                    raise
                connection.close()
                connection = _connect(f"{address}&immutable=1")
                revision = _revision(connection)
            if revision is not None and revision not in REVISIONS:
                _check_unknown(connection, revision, database)
        return connection, known_revision(revision, database)
    except StorageError:
        connection.close()
        raise


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        rows = connection.execute(_SCHEMA).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        if _OURS & _tables(connection):
            raise DamagedError(f"cannot find the table alembic_version; {SEEN_BY}") from error
        return None
    if len(rows) != 1:
        raise DamagedError(f"invalid alembic_version: {len(rows)} rows, expected one; {SEEN_BY}")
    revision, tables, strange = str(rows[0][0]), str(rows[0][1]), rows[0][2]
    if strange is not None:
        raise DamagedError(f"invalid schema: {str(strange)[:40]!r} does not belong there; {SEEN_BY}")
    if revision == HEAD and (gone := _OURS - set(tables.split(","))):
        raise DamagedError(f"cannot find table {', '.join(sorted(gone))}; {SEEN_BY}")
    if revision in REVISIONS and revision != HEAD:
        _check_older(connection, revision)
    return revision


def _check_older(connection: sqlite3.Connection, revision: str) -> None:
    """To upgrade what is upgraded fails, and for ever."""
    made = {name for (name,) in connection.execute(_MADE)}
    if any(later > revision and name in made for later, name in _BROUGHT.items()):
        raise DamagedError(f"invalid alembic_version: {revision}, expected a later one; {SEEN_BY}")


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _check_unknown(connection: sqlite3.Connection, revision: str, database: Path) -> None:
    """A revision that no monitord can have written is damage."""
    is_word_of_ours = len(revision) == len(HEAD) and revision.isascii() and revision.isdigit()
    is_newer = is_word_of_ours and revision > HEAD
    if not is_newer or connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        raise DamagedError(f"cannot read {database}: schema {revision[:20]!r}; {SEEN_BY}")


def connect_readonly(database: Path) -> sqlite3.Connection:
    """A read-only connection to whatever lies there."""
    return _connect(_address(database))


def _address(database: Path) -> str:
    return f"file:{quote(str(database))}?mode=ro"


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _is_shut_out(error: sqlite3.OperationalError) -> bool:
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith(("SQLITE_CANTOPEN", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR"))


def _has_waiting_changes(database: Path) -> bool:
    try:
        return database.with_name(database.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def stored_revision(database: Path) -> str | None:
    """The revision of a database that exists; None when it is empty. Refuses a file of somebody else's."""
    connection, revision = open_readonly(database)
    try:
        with explained(database):
            if revision is None and connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise StorageError(
                    f"cannot use {database}: monitord did not make it; choose another --data-dir"
                )
    finally:
        connection.close()
    return revision


def check_soundness(database: Path) -> tuple[str | None, list[str]]:
    """The schema's revision, and what SQLite's check of the whole file finds wrong: [] when it is sound."""
    revision, found = _asked(database, "PRAGMA integrity_check(10)")
    return revision, [words for (words,) in found if words != "ok"]


def newest_incident(database: Path) -> tuple[str, datetime] | None:
    """Correlation id and time of the incident with the latest time; None: there is none."""
    _revision, found = _asked(
        database, "SELECT correlation_id, raised_at FROM incident ORDER BY raised_at DESC LIMIT 1"
    )
    try:
        return (str(found[0][0]), time_of(str(found[0][1]))) if found else None
    except ValueError as error:
        raise DamagedRowError(f"cannot read {database}: invalid time ({error})") from error


def stored_bytes(database: Path) -> int:
    """What all artefacts take, wherever they lie, as the rows tell it; raises StorageError."""
    return int(_asked(database, _STORED)[1][0][0])


def _asked(database: Path, sql: str) -> tuple[str | None, list[Any]]:
    connection, revision = open_readonly(database)
    with closing(connection), explained(database):
        return revision, connection.execute(sql).fetchall()


def known_revision(revision: str | None, database: Path) -> str | None:
    """The revision, if this monitord knows it."""
    if revision is not None and revision not in REVISIONS:
        raise SchemaTooNewError(
            f"cannot read {database}: schema {revision} is newer than this monitord ({HEAD}); "
            "it was left as it is: upgrade monitord"
        )
    return revision
