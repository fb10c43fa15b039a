"""Events with the shapes of those that incidents leave, and the store's table by sqlite3 alone."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import recording  # noqa: F401  monitord of this checkout
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from monitord.model import Event, EventType
from monitord.storage.events.rows import COLUMNS, row_of
from monitord.storage.events.store import ROOMY
from monitord.storage.tables import event as event_table

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
APART = timedelta(milliseconds=100)
INSERT = f"INSERT INTO event VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  question marks only

Ready = Sequence[Sequence[Any]]


def an_event(number: int, kind: EventType | None = None) -> Event:
    """The event of this number, always the same; of its kind in the mix unless another is asked for."""
    chance = random.Random(number)
    in_thousand = number % 1000
    if kind is None:
        by_place = {500: EventType.ALERT, 501: EventType.CAPTURE}
        kind = by_place.get(in_thousand, EventType.HOTSPOT if 502 <= in_thousand < 520 else EventType.SAMPLE)
    at = FIRST + number * APART
    if kind is EventType.SAMPLE:
        payload: dict[str, object] = {"cpu_percent": round(chance.uniform(0, 400), 1)}
        if number % 2:
            payload["rss_bytes"] = chance.randrange(1 << 20, 8 << 30)
        return Event(kind, at, pid=chance.randrange(1, 400), process_name="postgres", payload=payload)
    whose = random.Random(number // 1000)
    whose = {"pid": whose.randrange(1, 400), "start_ticks": whose.randrange(10**7), "process_name": "python3"}
    incident = {**whose, "correlation_id": f"v2bscm{number // 1000:06d}"}
    if kind is EventType.ALERT:
        return Event(kind, at, **incident, payload=ALERT)
    if kind is EventType.CAPTURE:
        return Event(kind, at, **incident, payload=CAPTURE)
    function = chance.randrange(2_000)
    named = {
        "module": f"app.module_{function % 100}",
        "function": f"function_{function}",
        "arity": function % 5,
    }
    node = {"ast_node_id": f"{chance.randrange(5_000):016x}"}
    payload = {"line": 214, "self_share": round(chance.random(), 4), "func_id": f"{function:016x}"}
    return Event(kind, at, **incident, **named, **node, payload=payload)


ALERT = {
    "rule": "cpu-high",
    "trigger_metric": "cpu_percent",
    "trigger_value": 97.5,
    "threshold_value": 80.0,
    "severity": "warning",
    "reason": "cpu_percent 97.5 above 80 for 10 s",
}
CAPTURE = {"profiler": "py-spy", "format": "folded", "duration_s": 5.0, "bytes": 48_213, "status": "complete"}


def table_statements(*, with_indexes: bool) -> list[str]:
    """The store's own table, as SQL."""
    dialect = sqlite.dialect()
    made = [str(CreateTable(event_table).compile(dialect=dialect))]
    if with_indexes:
        made += [str(CreateIndex(index).compile(dialect=dialect)) for index in event_table.indexes]
    return made


def raw_database(path: Path, *, with_indexes: bool = True, is_new: bool = True) -> sqlite3.Connection:
    """The same file by sqlite3 alone: durable like ours, with the same cache and WAL."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", *ROOMY):
        connection.execute(f"PRAGMA {pragma}")
    for statement in table_statements(with_indexes=with_indexes) if is_new else ():
        connection.execute(statement)
    return connection


def store_raw(connection: sqlite3.Connection, rows: Ready) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, rows)
    connection.execute("COMMIT")


def ready_rows(events: Sequence[Event]) -> Ready:
    return [row_of(event) for event in events]
