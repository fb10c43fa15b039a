"""`events index`: one index is made and dropped on request, here and in a copy, and outlives upkeep."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine

from monitord.actions import event_indexes
from monitord.actions.doctor import diagnose
from monitord.actions.workspace import Workspace
from monitord.cli.terminal import display_width
from monitord.model import Event, EventType
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.storage import open_store
from monitord.storage.events.slow_questions import count_slow
from monitord.storage.events.statements import ARITY, BUILT_IN
from monitord.storage.migrate import migrate

T0 = datetime.now(UTC) - timedelta(hours=2)


@pytest.fixture
def events(store) -> list[Event]:
    made = [
        Event(EventType.HOTSPOT, T0 + timedelta(seconds=n), pid=n, module="m", function=f"f{n}", arity=n % 5)
        for n in range(500)
    ]
    store.events.store_events(made)
    return made


def indexes(here, *words: str) -> dict[str, Any]:
    answer = here("events", "index", *words, "-o", "json")
    assert answer.code == 0, answer
    return {each["name"]: each for each in json.loads(answer.out)["indexes"]}


def has_index(database: Path) -> bool:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        asked = "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND name = ?"
        return bool(connection.execute(asked, [ARITY.name]).fetchone()[0])


def test_it_is_made_and_dropped_by_name(here, store, events, data_dir) -> None:
    """Once made it is there, again made it stays; dropped it is gone, and again dropped it is not found."""
    known = indexes(here)
    assert [name for name, each in known.items() if each["is_built_in"]] == [
        each.short_name for each in BUILT_IN
    ]
    assert (known["arity"]["is_there"], known["arity"]["size_bytes"]) == (False, None)
    assert here("events", "index", "create", "arity").out.startswith("index arity created, ")
    assert indexes(here)["arity"]["size_bytes"] == store.events.get_stats().index_bytes[ARITY.name] > 0
    assert "is there already" in here("events", "index", "create", "idx_event_arity").out
    assert "arity" in here("events", "stats").out
    assert here("events", "--arity", "2", "-o", "json").code == 0
    said = json.loads(here("events", "index", "drop", "arity", "-o", "json").out)
    assert (said["is_changed"], said["is_there"]) == (True, False)
    assert not has_index(data_dir / "monitord.db")
    answer = here("events", "index", "drop", "arity")
    assert (answer.code, answer.out, answer.err.count("\n")) == (3, "", 1)


@pytest.mark.parametrize("verb", ["create", "drop"])
def test_no_other_index_is_touched(verb, here, store, events, data_dir) -> None:
    """A built-in one is refused by name, anything else is a wrong call: nothing typed reaches SQL."""
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        before = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    for built_in in BUILT_IN:
        for name in (built_in.name, built_in.short_name):
            answer = here("events", "index", verb, name)
            assert (answer.code, "it is built in" in answer.err, answer.err.count("\n")) == (2, True, 1)
    for name in (
        "",
        "x",
        "ARITY",
        "arity; DROP TABLE event",
        "event",
        "idx_incident_time",
        "a\nb\x1b[2J",
        "é" * 9999,
    ):
        answer = here("events", "index", verb, "--", name)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1), name
        assert "\x1b" not in answer.err
        assert len(answer.err) < 300
    for words in ([verb], ["list", "arity"], ["make", "arity"], [verb, "arity", "arity"]):
        assert here("events", "index", *words).code == 2
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        assert connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before


def test_without_a_store_nothing_is_made(here, data_dir) -> None:
    for words in ([], ["create", "arity"], ["drop", "arity"]):
        assert here("events", "index", *words).code == 3
    assert not data_dir.exists()


def test_it_is_made_while_somebody_records(here, store, events, data_dir, monkeypatch) -> None:
    """Within the time that a recorder waits for the write lock; what would take longer leaves nothing."""
    store.events.store_events([replace(event, pid=n) for n in range(20) for event in events])
    with hold(data_dir / DAEMON_LOCK, "taken"):
        monkeypatch.setattr(event_indexes, "_WITHIN_S", -1.0)
        answer = here("events", "index", "create", "arity")
        assert (answer.code, answer.out, answer.err.count("\n")) == (75, "", 1)
        assert "monitord service stop" in answer.err
        assert not has_index(data_dir / "monitord.db")
        store.events.store_event(events[0])
        monkeypatch.setattr(event_indexes, "_WITHIN_S", 60.0)
        assert here("events", "index", "create", "arity").code == 0
        store.events.store_event(events[0])
        assert here("events", "index", "drop", "arity").code == 0


def test_slow_questions_are_listed_and_doctor_names_the_index(here, store, events, data_dir) -> None:
    """Nothing before the tenth, nothing once the index is there; and --strict does not fail for it."""
    for _ in range(9):
        count_slow(data_dir / "monitord.db", [("arity", "since"), ("grep",)])
    workspace = Workspace(data_dir)
    assert not [check for check in diagnose(workspace) if check.name == "questions to events"]
    count_slow(data_dir / "monitord.db", [("arity", "type"), ("grep",)])
    [check] = [check for check in diagnose(workspace) if check.name == "questions to events"]
    assert (check.outcome, check.fix) == ("ok", "monitord events index create arity")
    assert "\n             try: monitord events index create arity" in "\n" + "\n".join(
        f"             {line.strip()}" for line in here("doctor").out.splitlines()
    )
    said = json.loads(here("events", "index", "-o", "json").out)["slow_questions"]
    assert [(each["by"], each["times"], each["index"]) for each in said] == [
        (["grep"], 10, None), (["arity", "since"], 9, "arity"), (["arity", "type"], 1, "arity"),
    ]  # fmt: skip
    for columns in ("40", "80"):
        page = here("events", "index", COLUMNS=columns).out
        assert "arity since" in page
        assert max(map(display_width, page.splitlines())) <= int(columns)
    assert here("events", "index", "create", "arity").code == 0
    assert not [check for check in diagnose(workspace) if check.name == "questions to events"]


def test_upkeep_keeps_it_and_a_rebuilt_database_is_without(here, store, events, data_dir, tmp_path) -> None:
    """VACUUM, retention, pruning, a backup and what is restored of it have it; only a new database does not."""
    database = data_dir / "monitord.db"
    assert here("events", "index", "create", "arity").code == 0
    for words in (
        ["db", "vacuum"], ["db", "upgrade"], ["db", "check"], ["retention", "run"], ["storage", "verify"],
        ["events", "prune", "--max", "400", "--yes"], ["storage", "gc"],
    ):  # fmt: skip
        assert here(*words).code == 0, words
        assert has_index(database), words
    assert here("storage", "backup", str(tmp_path / "backup")).code == 0
    assert has_index(tmp_path / "backup" / "monitord.db")
    assert (
        here("storage", "restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "again")).code == 0
    )
    assert has_index(tmp_path / "again" / "monitord.db")
    store.close()
    assert here("storage", "rebuild", "--yes").code == 0
    assert not has_index(database)
    assert json.loads(here("events", "stats", "-o", "json").out)["total"] == 400


@pytest.mark.parametrize("revision", ["0004", "0007"])
def test_a_migration_keeps_it(revision, data_dir) -> None:
    data_dir.mkdir(mode=0o700)
    migrate(data_dir, revision)
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        connection.execute("CREATE INDEX idx_event_arity ON event(arity) WHERE arity IS NOT NULL")
        connection.commit()
    with closing(open_store(data_dir)) as store:
        store.events.store_event(Event(EventType.HOTSPOT, T0, function="f", arity=7))
        assert store.events.explain(arity=7).index == ARITY.name
        assert store.verify() == []
    assert has_index(data_dir / "monitord.db")


def engine(url: str) -> Engine:
    """A connection that is gone when it is closed: a server waits for all of them before it stops."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)


def do(url: str, statement: str) -> None:
    with engine(url).begin() as connection:
        connection.exec_driver_sql(statement)


def told(url: str, question: str) -> str:
    with engine(url).begin() as connection:
        return str(connection.exec_driver_sql(question).scalar_one())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_copy_gets_its_own(kind, here, store, events, tmp_path, request) -> None:
    """Of one host's events at a URL, and not those here; copying, asking and pruning go on with it."""
    is_server = kind == "postgresql"
    url = request.getfixturevalue("postgres").url() if is_server else f"sqlite:///{tmp_path}/far.db"
    assert here("events", "copy", "--to", url).code == 0
    if is_server:  # what was broken off while it was made has the name, and serves nobody
        schema = told(url, "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'monitord_')")
        do(url, f'CREATE INDEX idx_event_arity ON "{schema}".event(pid)')
        do(
            url,
            "UPDATE pg_index SET indisvalid = false FROM pg_class WHERE oid = indexrelid AND relname = 'idx_event_arity'",
        )
    assert not indexes(here, "--of", url)["arity"]["is_there"]
    assert here("events", "index", "create", "arity", "--of", url).out.startswith("index arity created, ")
    assert indexes(here, "--of", url)["arity"]["size_bytes"] > 0
    assert not indexes(here)["arity"]["is_there"]
    if is_server:
        definition = told(url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_event_arity'")
        assert "(arity) WHERE (arity IS NOT NULL)" in definition
    assert "is there already" in here("events", "index", "create", "arity", "--of", url).out
    store.events.store_event(Event(EventType.HOTSPOT, datetime.now(UTC), function="f", arity=3))
    assert here("events", "copy", "--to", url).code == 0
    for words in (["--arity", "3"], ["--arity", "3", "--type", "hotspot"], ["--arity", "9"]):
        both = [here("events", *words, "-o", "json", *of).out for of in ([], ["--of", url])]
        assert both[0] == both[1]
    assert here("events", "prune", "--max", "10", "--of", url, "--yes").code == 0
    assert here("events", "index", "drop", "arity", "--of", url).out.startswith("index arity dropped, ")
    assert here("events", "index", "drop", "arity", "--of", url).code == 3
    assert here("events", "index", "drop", "process", "--of", url).code == 2
