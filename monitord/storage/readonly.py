"""SQLite opened for reading, in a way that never changes the database file; standard library only."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from monitord.errors import SchemaTooNewError, StorageError
from monitord.storage.faults import explained
from monitord.storage.schema import HEAD, REVISIONS

_BUSY_TIMEOUT_S = 2.0


def open_readonly(database: Path) -> tuple[sqlite3.Connection, str | None]:
    """A read-only connection and the schema's revision (None: not one of our tables is there).

    Statements stand alone, so no read transaction outlives its query. On a full or read-only disk SQLite
    can't make the shared memory file that WAL wants; without changes waiting in the WAL, the file itself
    is the whole truth and is read as immutable. Raises SchemaTooNewError for a revision we don't know.
    """
    address = f"file:{quote(str(database))}?mode=ro"
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
        return connection, known_revision(revision, database)
    except StorageError:
        connection.close()
        raise


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    return None if row is None else str(row[0])


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
                raise StorageError(f"{database} was not made by monitord; choose another --data-dir")
    finally:
        connection.close()
    return revision


def known_revision(revision: str | None, database: Path) -> str | None:
    """The revision, if this monitord knows it."""
    if revision is not None and revision not in REVISIONS:
        raise SchemaTooNewError(
            f"{database} has schema {revision}, newer than this monitord ({HEAD}); "
            "it was left as it is: upgrade monitord"
        )
    return revision
