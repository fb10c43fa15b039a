"""What stands in no artefact, read out of a damaged database: plans, other state, history, loose events."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from monitord.logs import get_logger
from monitord.storage.cells import lenient_text
from monitord.storage.readonly import connect_readonly
from monitord.storage.soundness import TABLES, damage_in

# Events of an incident come back with it.
_TABLES = {"state": "", "history": "", "event": "WHERE correlation_id IS NULL"}


def salvage(damaged: Path, engine: Engine) -> Mapping[str, int]:
    """Copy every sound row that can be read into the new database; how many by table."""
    counts: dict[str, int] = {}
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - what `open_engine` makes
        for table, where in _TABLES.items():
            names = _columns(damaged, table)
            marks = ", ".join("?" * len(names))
            sql = f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  our names
            rows = ([row[name] for name in names] for row in _readable(damaged, table, names, where))
            before = driver.total_changes
            driver.executemany(sql, rows)
            counts[table] = driver.total_changes - before
    get_logger().warning("store.salvaged", source=str(damaged), rows=counts)
    return counts


def _columns(damaged: Path, table: str) -> list[str]:
    """Of ours those that the database has: it may be of an earlier version."""
    try:
        with closing(connect_readonly(damaged)) as connection:
            held = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    except sqlite3.Error:
        held = set()
    return [name for name in TABLES[table] if name in held] or list(TABLES[table])


def _readable(damaged: Path, table: str, names: Sequence[str], where: str) -> Iterator[Mapping[str, Any]]:
    """The sound rows from the front, and where the way is blocked from the back."""
    for order in ("ASC", "DESC"):
        try:
            yield from _rows(damaged, table, names, f"{where} ORDER BY rowid {order}")
        except (sqlite3.Error, OverflowError):
            continue
        return


def _rows(damaged: Path, table: str, names: Sequence[str], rest: str) -> Iterator[Mapping[str, Any]]:
    with closing(connect_readonly(damaged)) as connection:
        connection.text_factory = lenient_text
        connection.row_factory = sqlite3.Row
        sql = f"SELECT {', '.join(names)} FROM {table} {rest}"  # noqa: S608  our names
        for found in connection.execute(sql):
            row = dict(found)
            if not damage_in(table, row):
                yield row
