"""What grows with the store is written as it comes: rows held at once, counted, and the bytes of every form."""

from __future__ import annotations

import gc
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from monitord.model import Incident, ProfileRecord
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.storage import SQLiteProfileStore, asking
from monitord.storage.migrate import migrate
from monitord.storage.queries import StoreReader
from monitord.storage.schema import DATABASE_NAME, REVISIONS
from monitord.storage.views import RecentFilter
from tests.cli.conftest import ROOT, Cli

Maker = Callable[..., Incident]


def test_a_long_list_holds_one_page_of_rows_at_once(
    store: SQLiteProfileStore, new_incident: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: what was handed over is not kept."""
    monkeypatch.setattr("monitord.storage.queries.PAGE", 5)
    monkeypatch.setattr(asking, "PAGE", 5)
    for _ in range(40):
        store.save_incident(new_incident())
    held = []
    with StoreReader(store.data_dir) as reader:
        count = 0
        for record in reader.each_recent(RecentFilter(limit=None)):
            count += 1
            del record
            held.append(sum(isinstance(each, ProfileRecord) for each in gc.get_objects()))
    assert count == 40
    assert max(held) <= 5


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_streamed_list_says_the_same_as_one_that_was_held(
    form: str, store: SQLiteProfileStore, new_incident: Maker, here: Cli
) -> None:
    for _ in range(3):
        store.save_incident(new_incident())
    store.close()
    streamed = here("recent", "-o", form).out
    held = here("recent", "-o", form, "--reverse").out
    assert len(streamed) == len(held)
    if form == "json":
        assert streamed == json.dumps(json.loads(streamed), indent=2) + "\n"
        assert json.loads(streamed) == json.loads(held)[::-1]
    assert here("recent", "-o", "json", "--process", "nobody").out == "[]\n"


def test_a_newer_command_leaves_the_schema_to_the_recorder_that_runs(
    tmp_path: Path, here: Cli, data_dir: Path
) -> None:
    """It would save nothing from then on: every command that writes refuses, with what to type."""
    data_dir.mkdir(mode=0o700)
    migrate(data_dir, REVISIONS[-2])
    before = (data_dir / DATABASE_NAME).read_bytes()
    with hold(data_dir / DAEMON_LOCK, "a recorder"):
        for words in (
            ("db", "upgrade"),
            ("keep", "abc"),
            ("note", "abc", "text"),
            ("retention", "run"),
            ("db", "vacuum"),
        ):
            answer = here(*words)
            assert answer.code != 0
            assert "monitord service restart" in answer.err or "monitord db upgrade" in answer.err, words
        assert "monitord service restart" in here("db", "upgrade").err
    assert (data_dir / DATABASE_NAME).read_bytes() == before
    assert here("db", "upgrade").code == 0


_NUMBERS = "WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"
PEAK = """
import resource, sys
from monitord.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}")
"""


def peak_kib(data_dir: Path, *words: str) -> int:
    command = [sys.executable, "-c", PEAK, *words, "--data-dir", str(data_dir)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return int(done.stderr.rsplit("peak ", 1)[1])


def test_all_as_json_takes_no_more_memory_for_twenty_thousand_incidents_than_for_one(
    store: SQLiteProfileStore, new_incident: Maker
) -> None:
    store.save_incident(new_incident())
    store.close()
    few = peak_kib(store.data_dir, "recent", "-o", "json", "-n", "20001")
    multiply(store.data_dir / DATABASE_NAME, 20_000)
    many = peak_kib(store.data_dir, "recent", "-o", "json", "-n", "20001")
    assert many < few + 16 * 1024


def multiply(database: Path, count: int) -> None:
    """So many copies of the first incident's rows."""
    with closing(sqlite3.connect(database)) as connection:
        for table, only in (("incident", ""), ("profile_capture", "WHERE t.is_leading = 1")):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
            copied = "'copy' || printf('%08d', n.value)"
            shown = ", ".join(copied if name == "correlation_id" else f't."{name}"' for name in names)
            quoted = ", ".join(f'"{name}"' for name in names)
            sql = f"{_NUMBERS} INSERT INTO {table} ({quoted}) SELECT {shown} FROM n, {table} t {only}"  # noqa: S608
            connection.execute(sql, [count])
        connection.commit()


def test_verify_takes_no_more_memory_for_twenty_thousand_incidents_than_for_one(
    store: SQLiteProfileStore, new_incident: Maker
) -> None:
    """What is wrong with them is held, and not one row more than a page: here nothing is wrong."""
    store.save_incident(new_incident())
    store.close()
    few = peak_kib(store.data_dir, "storage", "verify")
    with closing(sqlite3.connect(store.data_dir / DATABASE_NAME)) as connection:
        keys = connection.execute("SELECT artefact_key FROM incident").fetchone()
    multiply(store.data_dir / DATABASE_NAME, 20_000)
    with closing(sqlite3.connect(store.data_dir / DATABASE_NAME)) as connection:
        for table in ("incident", "profile_capture"):
            sql = f"UPDATE {table} SET artefact_key = NULL WHERE correlation_id LIKE 'copy%'"  # noqa: S608
            connection.execute(sql)
        connection.commit()
    many = peak_kib(store.data_dir, "storage", "verify")
    assert keys[0]
    assert many < few + 16 * 1024
