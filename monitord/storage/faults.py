"""What SQLite complains of, as one line that says what happened and what to type."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitord.errors import StorageError
from monitord.storage.artefacts import DiskFullError


class DamagedError(StorageError):
    """The database file is not what SQLite wrote: bytes were changed or cut off."""


SEEN_BY = "`monitord db check` sets it aside and rebuilds it from the artefacts"
# What SQLite reports as a wrong statement: our tables and columns are not there, or hold no JSON.
_DAMAGE = ("decode to UTF-8", "no such table", "no such column", "malformed JSON")


def cause_of(error: Exception) -> str:
    """A database's own words, one line of them, also behind SQLAlchemy's wrapper."""
    return (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]


def storage_error(error: Exception, database: Path) -> StorageError | None:
    """Return the StorageError for an error of the file system or of sqlite3, wrapped or not; else None."""
    if isinstance(error, OSError):
        return StorageError(f"cannot use {error.filename or database.parent}: {error.strerror or error}")
    cause = getattr(error, "orig", None) or error
    return _sqlite_error(cause, database) if isinstance(cause, sqlite3.Error) else None


def _sqlite_error(cause: sqlite3.Error, database: Path) -> StorageError:
    name = getattr(cause, "sqlite_errorname", None) or ""
    # A byte flipped inside a text is seen by nobody but the decoder (facts: reliability, 1).
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or any(words in str(cause) for words in _DAMAGE):
        return DamagedError(f"cannot read {database}: damaged ({cause}); {SEEN_BY}")
    if name.startswith("SQLITE_FULL"):
        return DiskFullError(
            f"cannot write {database}: no room left; free space, or run `monitord retention run`"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(
            f"cannot use {database}: another process has locked it; try again when it is done"
        )
    if name.startswith("SQLITE_READONLY"):
        return StorageError(f"cannot write {database}: the file or its folder is read-only")
    if name.startswith("SQLITE_CANTOPEN"):
        return StorageError(f"cannot open {database}; check that {database.parent} is yours and has room")
    return StorageError(
        f"cannot use {database}: {cause} ({name or type(cause).__name__}); try `monitord db check`"
    )


@contextmanager
def explained(database: Path) -> Iterator[None]:
    """Let errors of sqlite3, SQLAlchemy and the file system out as StorageError only."""
    try:
        yield
    except Exception as error:
        known = storage_error(error, database)
        if known is None:
            raise
        raise known from error
