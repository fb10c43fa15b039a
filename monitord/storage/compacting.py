"""Free pages and the WAL's room given back to the disk; what it brought is measured, never assumed.

Python steps a statement without columns once, and SQLite frees one page a step: such a statement goes through
`executescript`, which steps it to its end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitord.storage.holders import database_holder

_PAGES_A_STEP = 2048  # short transactions, and a WAL that stays small
_WAIT_MS = 500  # for readers of ours, which are done in no time
_UNKNOWN = "another program uses the database at this moment"


def compact(connection: sqlite3.Connection, database: Path) -> str | None:
    """Fold the WAL back and give the free pages to the disk; None, or who keeps that from happening.

    While somebody reads an old state, whatever is written only makes the WAL longer: then nothing is tried.
    """
    held_by = fold(connection, database)
    free = _number(connection, "freelist_count")
    while held_by is None and free:
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_A_STEP})")
        held_by = fold(connection, database)
        left = _number(connection, "freelist_count")
        if left >= free:
            break  # a database that was made without auto_vacuum: only VACUUM makes it smaller
        free = left
    return held_by


def fold(connection: sqlite3.Connection, database: Path) -> str | None:
    """Move what is in the WAL into the database and empty the WAL; None, or who keeps that from happening."""
    with _waiting_briefly(connection):
        busy, _in_wal, _moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return (database_holder(database) or _UNKNOWN) if busy else None


def vacuum(connection: sqlite3.Connection) -> None:
    """Rewrite the database without its holes, and so that free pages can be given back from then on."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")


@contextmanager
def _waiting_briefly(connection: sqlite3.Connection) -> Iterator[None]:
    before = _number(connection, "busy_timeout")
    connection.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
