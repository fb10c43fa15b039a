"""Every table's rows have its columns, in types that it can hold, and say what the store says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.analytics.rows import rows_of
from monitord.analytics.tables import (
    EVENTS,
    HOTSPOTS,
    INCIDENTS,
    MACHINE_MINUTES,
    PROCESS_MINUTES,
    TABLES,
    Table,
)
from monitord.model import Event, EventType, Incident
from monitord.storage import SQLiteProfileStore
from monitord.storage.past import PastReader
from tests.pasts import BEGAN, Past

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
PLAIN: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "text": str,
    "int64": int,
    "float64": (float, int),
    "bool": bool,
    "time": datetime,
}


def rows(data_dir: Path, table: Table, since: datetime | None = None, until: datetime | None = None) -> Any:
    names = [name for name, _kind in table.columns]
    with PastReader(data_dir) as reader:
        return [dict(zip(names, row, strict=True)) for row in rows_of(reader, table, since, until, "host-1")]


@pytest.fixture
def filled(store: SQLiteProfileStore, data_dir: Path, make_incident: Callable[..., Incident]) -> Path:
    for minutes in (0, 10, 70):
        store.save_incident(make_incident(at=AT + timedelta(minutes=minutes)))
    store.events.store_event(Event(EventType.DAEMON, AT, payload={"what": "started"}))
    for batch in Past().looks(600, percent=5.0).looks(600, percent=50.0).batches(20):
        store.add_history(batch)
    return data_dir


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_has_the_columns_of_its_table_and_values_of_their_kinds(table: Table, filled: Path) -> None:
    found = rows(filled, table)
    assert found
    keys = [tuple(row[name] for name in table.key) for row in found]
    assert len(keys) == len(set(keys))
    for row in found:
        assert row["host_id"] == "host-1"
        for name, kind in table.columns:
            assert row[name] is None or isinstance(row[name], PLAIN[kind]), (name, row[name])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_periods_that_touch_have_each_row_once(table: Table, filled: Path) -> None:
    whole = rows(filled, table)
    times = [row[table.at] for row in whole]
    middle = sorted(times)[len(times) // 2].replace(minute=0, second=0, microsecond=0)
    parts = rows(filled, table, None, middle) + rows(filled, table, middle, None)
    assert sorted(map(str, parts)) == sorted(map(str, whole))


def test_an_incident_says_what_the_store_says(filled: Path) -> None:
    first = rows(filled, INCIDENTS)[0]
    assert first["raised_at"] == AT
    assert first["ended_at"] == AT + timedelta(seconds=11)
    assert (first["process"], first["command"], first["user"]) == ("burner", "burner --x", "ann")
    assert (first["function"], first["file"], first["line"], first["self_share"]) == (
        "burn",
        "burner.py",
        3,
        0.97,
    )
    assert (first["profiler"], first["status"], first["captures"]) == ("py-spy", "ok", 3)
    assert first["version"] is None


def test_a_function_is_counted_by_the_hour(filled: Path) -> None:
    found = rows(filled, HOTSPOTS)
    assert [
        (row["hour"], row["incidents"], row["self_samples"], row["process_samples"]) for row in found
    ] == [
        (AT, 2, 194, 200),
        (AT + timedelta(hours=1), 1, 97, 100),
    ]


def test_a_minute_is_the_same_before_and_after_it_was_thinned(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    past = Past()
    for hour in range(3):
        past.looks(1200, percent=5.0 + hour).looks(15, percent=90.0).looks(785, percent=6.0)
    batches = list(past.batches(40))
    for batch in batches[:10]:
        store.add_history(batch)
    first = rows(data_dir, MACHINE_MINUTES)
    for batch in batches[10:]:
        store.add_history(batch)
    later = {row["taken_at"]: row for row in rows(data_dir, MACHINE_MINUTES)}
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        assert connection.execute("SELECT count(*) FROM history WHERE step_s > 2").fetchone()[0]
    for row in first[:-1]:  # the last minute was not whole yet
        assert later[row["taken_at"]]["machine_percent"] == row["machine_percent"]


def test_a_clock_that_was_set_back_gives_no_minute_twice(store: SQLiteProfileStore, data_dir: Path) -> None:
    past = Past().looks(1200, percent=5.0)
    again = [replace(rates, taken_at=rates.taken_at + timedelta(seconds=0.5)) for rates in past.passes]
    store.add_history(past.passes)
    store.add_history(again)
    minutes = [row["taken_at"].replace(second=0, microsecond=0) for row in rows(data_dir, MACHINE_MINUTES)]
    assert len(minutes) == len(set(minutes))
    assert minutes[0] == BEGAN.replace(second=0, microsecond=0)


def test_damaged_rows_are_left_out_and_told_of(filled: Path) -> None:
    with sqlite3.connect(filled / "monitord.db") as connection:
        connection.execute("UPDATE incident SET raised_at = '2026-03-01 99' WHERE rowid = 2")
        connection.execute("UPDATE incident SET severity = 'much' WHERE rowid = 1")
        connection.execute("UPDATE history SET rates = x'00' WHERE id = 1")
        connection.execute("UPDATE event SET payload = '{' WHERE event_type = 7")
    told: list[str] = []
    with PastReader(filled, on_damage=told.append) as reader:
        for table in TABLES:
            found = list(rows_of(reader, table, None, None, "h"))
            assert found, table.name
    assert len(told) >= 4


def test_an_event_keeps_its_payload_as_json(filled: Path) -> None:
    found = [row for row in rows(filled, EVENTS) if row["event_type"] == "daemon"]
    assert [row["payload"] for row in found] == ['{"what":"started"}']


def test_processes_of_a_minute_are_those_of_its_pass(filled: Path) -> None:
    minutes = {row["taken_at"] for row in rows(filled, MACHINE_MINUTES)}
    processes = {row["taken_at"] for row in rows(filled, PROCESS_MINUTES)}
    assert processes
    assert processes <= minutes
