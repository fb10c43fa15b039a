"""One damaged value, in any column of any table, hides nothing else: it is told with the cure, and the cure helps."""

from __future__ import annotations

import functools
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.model import Event, EventType, NamedPlan
from monitord.storage import open_store
from monitord.storage.plans import store_capture_plan
from monitord.storage.soundness import REQUIRED, TABLES
from monitord.storage.tables import metadata
from tests.cli.conftest import Cli, make_incident
from tests.fakes import START, a_process, some_rates

VALUES: dict[str, Any] = {
    "null": None,
    "text": "x",
    "number": 7,
    "real": -1e300,
    "empty blob": b"",
    "invalid UTF-8": "CAST(x'fffe80' AS TEXT)",
    "huge text": "y" * 300_000,
    "huge number": 2**62,
}
ASKING = (
    ("recent",),
    ("recent", "-n", "900"),
    ("recent", "-o", "json", "-n", "900"),
    ("recent", "--process", "py", "-n", "900"),
    ("recent", "--grep", "python", "-n", "900"),
    ("show", "GOOD"),
    ("explain", "GOOD"),
    ("hot",),
    ("replay",),
    ("replay", "-S", "2d", "--step", "1h"),
    ("events",),
    ("events", "-o", "json"),
    ("plan", "list"),
    ("status",),
    ("storage", "ls"),
    ("doctor",),
)


def test_every_column_of_every_table_has_its_check() -> None:
    """A column that is added must say what it may hold, and whether it may be empty."""
    for table in metadata.tables.values():
        assert set(TABLES[table.name]) == {column.name for column in table.columns}, table.name
        must = {column.name for column in table.columns if not column.nullable}
        assert must <= REQUIRED[table.name], table.name


# Of each table more rows than it has columns; what a call costs goes by the incidents that there are.
INCIDENTS = {"incident": 40, "profile_capture": 14}
FEW = 6
Whole = Callable[[int], str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[str, Path]]:
    """A store with so many incidents, each made once: its folder, and the incident that stays whole."""

    @functools.cache
    def build(count: int) -> tuple[str, Path]:
        folder = tmp_path_factory.mktemp("whole") / "data"
        return _build(folder, count), folder

    return build


@pytest.fixture
def whole(built: Callable[[int], tuple[str, Path]], data_dir: Path) -> Whole:
    """Make a store with so many incidents, history, events and plans; gives the incident that stays whole."""

    def copy(count: int) -> str:
        name, folder = built(count)
        shutil.copytree(folder, data_dir)
        return name

    return copy


def _build(folder: Path, count: int) -> str:
    store = open_store(folder)
    for number in range(count - 1):
        store.save_incident(make_incident(name=f"python{number}"))
    store.save_incident(whole := make_incident(name="python-good"))
    for number in range(12):
        at = START + timedelta(minutes=number)
        store.add_history([some_rates(number, [a_process()])])
        store_capture_plan(store.state, NamedPlan(f"plan{number}", profiler="perf"))
        store.events.store_event(Event(EventType.DAEMON, at, payload={"what": "started"}))
        store.add_note(whole.correlation_id, f"note {number}", at)
    store.compact()
    store.close()
    return whole.correlation_id


def damage(database: Path, table: str, value: Any, spared: str) -> None:
    """Put the value into each column of another row each, past every constraint."""
    columns = [column.name for column in metadata.tables[table].columns]
    spare = f"WHERE correlation_id IS NOT '{spared}'" if "correlation_id" in columns else ""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        found = connection.execute(f"SELECT rowid FROM {table} {spare} ORDER BY rowid DESC")  # noqa: S608
        rows = [row[0] for row in found]
        assert len(rows) >= len(columns), "a row for each column"
        schema = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [table]).fetchone()[0]
        _alter(connection, table, schema.replace(" NOT NULL", ""))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for column, row in zip(columns, rows, strict=False):  # more rows than columns
            if column == "id" and not isinstance(value, int):
                continue  # the row's own number: SQLite itself refuses anything else
            cell, given = (value, ()) if isinstance(value, str) and "CAST" in value else ("?", (value,))
            sql = f'UPDATE OR IGNORE {table} SET "{column}" = {cell} WHERE rowid = ?'  # noqa: S608
            connection.execute(sql, [*given, row])
        _alter(connection, table, schema)


def _alter(connection: sqlite3.Connection, table: str, schema: str) -> None:
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [schema, table])
    version = connection.execute("PRAGMA schema_version").fetchone()[0]
    connection.execute(f"PRAGMA schema_version = {version + 1}")


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("table", TABLES)
def test_a_value_hides_nothing_else(table: str, kind: str, whole: Whole, here: Cli, data_dir: Path) -> None:
    """Every command answers without a traceback, the sound incident is there, and after the cure all is well."""
    good = whole(INCIDENTS.get(table, FEW))
    damage(data_dir / "monitord.db", table, VALUES[kind], good)
    told = False
    for words in ASKING:
        answer = here(*(word.replace("GOOD", good) for word in words))
        assert "Traceback" not in answer.err, words
        told |= "storage verify --repair" in answer.err
        if words[0] in ("recent", "show", "explain"):
            assert "python-good" in answer.out, (words, answer.err)
    problems = here("storage", "verify")
    if problems.code:
        assert "storage verify --repair" in problems.err or "db check" in problems.err
    here("storage", "verify", "--repair")
    after = here("storage", "verify")
    assert after.code == 0, after.out + after.err
    for words in ASKING:
        answer = here(*(word.replace("GOOD", good) for word in words))
        assert "left out" not in answer.err, (words, answer.err)
    assert "python-good" in here("recent", "-n", "900").out
    assert here("retention", "run").code == 0


def test_hotspots_that_are_damaged_or_none_leave_the_function_unknown(
    whole: Whole, here: Cli, data_dir: Path
) -> None:
    """`recent` shows the row; its function is null, whatever stands where the hotspots should."""
    whole(FEW)
    with closing(sqlite3.connect(data_dir / "monitord.db")) as database:
        for held in ("{", "[]", '[{"function": 7}]', "[7]", b"\xff"):
            database.execute("UPDATE incident SET hotspots = ?", (held,))
            database.commit()
            rows = json.loads(here("recent", "--json").out)
            assert [row["hottest_function"] for row in rows] == [None] * len(rows), held
