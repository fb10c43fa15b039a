"""`events copy` and `events … --of URL`: a second home of events, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine

from monitord.actions import event_copy
from monitord.actions.workspace import Workspace
from monitord.fleet.ship_state import read_state
from monitord.model import Event, EventType
from monitord.storage.events import access
from tests.patience import PATIENCE_S

HOUR = timedelta(hours=1)
SECRET = "hunter2hunter2"


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Give a URL of a place with nothing in it, a new one each time."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").url
    counter = iter(range(1000))
    return lambda: f"sqlite:///{tmp_path}/far-{next(counter)}.db"


@pytest.fixture
def url(places) -> str:
    return places()


@pytest.fixture
def loose(store) -> list[Event]:
    """Events of no incident, one an hour, oldest first."""
    now = datetime.now(UTC)
    made = [Event(EventType.JOB, now - number * HOUR, payload={"job": "x"}) for number in range(30, 0, -1)]
    return [store.events.store_event(event) for event in made]


def asked_directly(url: str) -> Connection:
    """A connection that is gone when it is closed: a server waits for all of them before it stops."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool).connect()


def listed(here, *words: str) -> list[dict[str, Any]]:
    answer = here("events", "-n", "5000", "-o", "json", *words)
    assert answer.code == 0, answer
    return json.loads(answer.out)


def same_as_here(here, url: str) -> None:
    """What both say is the same; in the copy the start of a process is there, too."""
    assert listed(here, "--of", url) == listed(here)


def test_a_copy_answers_as_the_store_does(here, store, incident, loose, url) -> None:
    """Once copied, and once more, each event is there once; get, stats and the filters agree."""
    said = json.loads(here("events", "copy", "--to", url, "-o", "json").out)
    assert said["copied"] == len(listed(here)) > len(loose)
    assert said["host_id"] == read_state(_data(here)).host_id
    assert json.loads(here("events", "copy", "--to", url, "-o", "json").out)["copied"] == 0
    same_as_here(here, url)
    for one in listed(here)[:5]:
        assert json.loads(here("events", "get", one["id"], "--of", url, "-o", "json").out) == one
    both = [json.loads(here("events", "stats", *of, "-o", "json").out) for of in ((), ("--of", url))]
    for key in ("total", "per_type", "oldest", "newest"):
        assert both[0][key] == both[1][key]
    assert both[1]["total_bytes"] > 0
    for words in (
        ("--type", "alert"), ("--process", "python*"), ("--grep", '"x"'), ("-n", "3"), ("--pid", "4321"),
        ("--incident", incident.correlation_id[:6]), ("--type", "job", "-n", "2"),
    ):  # fmt: skip
        assert listed(here, *words) == listed(here, *words, "--of", url), words


def test_a_name_is_looked_for_where_the_copy_lies(here, store, incident, url, monkeypatch) -> None:
    """As here, and no event comes from there that is not in the answer; an incident is found by its beginning."""
    now = datetime.now(UTC)
    names = ("web", "Web-2", "we_b%1", "größe", "\udcff\0", None)
    kinds = [kind for kind in EventType if kind is not EventType.SAMPLE]
    store.events.store_events([
        Event(
            kinds[number % len(kinds)], now - number * timedelta(seconds=1), process_name=names[number % len(names)],
            correlation_id=f"webcopy{number % 7}aaaa", payload={"job": "x"},
        )
        for number in range(2_400)
    ])  # fmt: skip
    assert here("events", "copy", "--to", url).code == 0
    made: list[object] = []
    event_of = access.event_of
    monkeypatch.setattr(access, "event_of", lambda row: made.append(row) or event_of(row))
    for words in (
        ("--process", "nobody"), ("--process", "WEB*"), ("--process", "we_b%1", "--type", "job"), ("--process", "größe"),
        ("--process", "python"), ("--incident", incident.correlation_id), ("--incident", incident.correlation_id[:8]),
    ):  # fmt: skip
        expected = listed(here, *words)
        made.clear()
        assert listed(here, *words, "--of", url) == expected, words
        assert len(made) == len(expected), words
        assert listed(here, *words, "-n", "3", "--of", url) == expected[:3]
    # Of these there is no incident here any more.
    expected = [one for one in listed(here, "--type", "note") if one["correlation_id"] == "webcopy3aaaa"]
    assert listed(here, "--type", "note", "--incident", "webcopy3", "--of", url) == expected != []
    monkeypatch.setattr("monitord.storage.event_search._FEW", 0)
    assert listed(here, "--process", "web", "--of", url) == listed(here, "--process", "web")
    several = here("events", "--incident", "webcopy", "--of", url)
    assert (several.code, several.out) == (2, "")
    assert "webcopy0" in several.err
    assert here("events", "--incident", "x'%", "--of", url).code == 3


def test_a_question_to_a_copy_waits_for_nobody_who_writes_there(here, store, incident, loose, url) -> None:
    """Another recorder, or the copy of this one, may be in the middle of a round."""
    assert here("events", "copy", "--to", url).code == 0
    questions = (("events",), ("events", "stats"), ("events", "index"), ("events", "--process", "python"))
    before = [here(*words, "--of", url, "-o", "json").out for words in questions]
    with asked_directly(url) as writer:
        if url.startswith("sqlite"):
            writer.exec_driver_sql("BEGIN IMMEDIATE")
            writer.exec_driver_sql("DELETE FROM event")
        else:
            schema = f"monitord_{read_state(_data(here)).host_id.replace('-', '_')}"
            writer.exec_driver_sql(f'LOCK TABLE "{schema}".event, "{schema}".event_mark IN EXCLUSIVE MODE')
            writer.exec_driver_sql(f'DELETE FROM "{schema}".event')  # noqa: S608  a host's id
        assert [here(*words, "--of", url, "-o", "json").out for words in questions] == before
        writer.rollback()


def _data(_here) -> Path:
    return Path(os.environ["MONITORD_DATA_DIR"])


def test_an_incident_that_changes_is_true_there_as_well(here, store, new_incident, loose, url) -> None:
    """What it said before its evidence came is not left there beside what it says now."""
    made = new_incident()
    store.save_incident(made)
    assert here("events", "copy", "--to", url).code == 0
    assert here("note", made.correlation_id, "it was the backup").code == 0
    later = made.__class__(**{name: getattr(made, name) for name in made.__slots__} | {"captures": ()})
    store.save_incident(later)
    assert here("events", "copy", "--to", url).code == 0
    same_as_here(here, url)


def test_what_the_store_forgets_the_copy_keeps(here, store, incident, loose, url) -> None:
    assert here("events", "copy", "--to", url).code == 0
    before = listed(here)
    assert here("events", "prune", "--max", "0", "--yes").code == 0
    assert len(listed(here)) < len(before)
    assert here("events", "copy", "--to", url).code == 0
    assert listed(here, "--of", url) == before


def test_what_is_pruned_there_does_not_come_back(here, store, incident, loose, url) -> None:
    """By age and by number, of all events; a later copy brings what is new."""
    assert here("events", "copy", "--to", url).code == 0
    refused = here("events", "prune", "--of", url, "--older-than", "10h30min")
    assert (refused.code, refused.out) == (2, "")
    assert (
        here("events", "prune", "--of", url, "--older-than", "10h30min", "--yes").out == "20 events deleted\n"
    )
    assert here("events", "copy", "--to", url).code == 0
    left = listed(here, "--of", url)
    assert left == [one for one in listed(here) if one["taken_at"] >= left[-1]["taken_at"]]
    assert here("events", "prune", "--of", url, "--max", "5", "--yes").code == 0
    assert here("events", "copy", "--to", url).code == 0
    assert listed(here, "--of", url) == listed(here)[:5]
    assert here("events", "prune", "--of", url, "--max", "0", "--yes").code == 0
    store.events.store_event(Event(EventType.DAEMON, datetime.now(UTC), payload={"what": "new"}))
    assert here("events", "copy", "--to", url).code == 0
    assert [one["payload"] for one in listed(here, "--of", url)] == [{"what": "new"}]


@pytest.mark.parametrize("redacts", [True, False])
def test_secrets_and_names_leave_only_when_told_to(here, store, incident, url, redacts) -> None:
    text = f"curl -H 'Authorization: Bearer {SECRET}' https://x.example"
    store.events.store_event(Event(EventType.STORAGE, datetime.now(UTC), payload={"text": text}))
    words = {} if redacts else {"MONITORD_EVENTS__REDACT": "false"}
    assert here("events", "copy", "--to", url, **words).code == 0
    assert (SECRET in json.dumps(listed(here, "--of", url))) is not redacts
    assert SECRET in json.dumps(listed(here))


def test_rounds_are_bounded_and_go_on(here, store, loose, url, monkeypatch) -> None:
    """A round copies a batch, the next one the rest; a clock that was behind costs no event."""
    monkeypatch.setattr(event_copy, "BATCH", 7)
    workspace = Workspace(_data(here))
    rounds = []
    while not rounds or not rounds[-1].is_whole:
        rounds.append(event_copy.copy_events(workspace, url, at_most=10))
        assert len(rounds) < 20
    assert len(rounds) > 1
    assert all(10 <= one.copied < 10 + 7 for one in rounds[:-1])
    assert sum(one.copied for one in rounds) == len(listed(here))
    same_as_here(here, url)
    behind = datetime.now(UTC) - 25 * HOUR
    store.events.store_event(Event(EventType.DAEMON, behind, payload={"what": "behind"}))
    assert event_copy.copy_events(workspace, url, at_most=1000).copied == 0  # a day later, or by hand
    assert event_copy.copy_events(workspace, url).copied == 1
    ahead = datetime.now(UTC) + 48 * HOUR
    store.events.store_event(Event(EventType.DAEMON, ahead, payload={"what": "ahead"}))
    assert event_copy.copy_events(workspace, url, at_most=1000).copied == 1
    store.events.store_event(Event(EventType.DAEMON, datetime.now(UTC), payload={"what": "right again"}))
    assert event_copy.copy_events(workspace, url, at_most=1000).copied == 1
    same_as_here(here, url)


def test_a_kill_at_any_step_loses_nothing_and_doubles_nothing(here, store, incident, loose, url) -> None:
    """Killed before a statement, commit and change of a file, the next round has each event once."""
    command = [sys.executable, "-m", "tests.cli.event_copy_steps", str(_data(here)), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps, killed = map(int, done.stdout.split())
    assert 20 < steps < 80
    assert killed > 6  # every third; MONITORD_COPY_KILLS=1 tries each
    same_as_here(here, url)


def test_the_errand_says_how_it_went(here, store, incident, loose, url) -> None:
    command = [sys.executable, "-m", "monitord.actions.event_copy", "--data-dir", str(_data(here))]
    environment = {**os.environ, "MONITORD_EVENTS__URL": url}
    if "host=" in url:  # it has given up root's rights
        os.chmod(url.partition("host=")[2], 0o711)  # noqa: PTH101, S103
    reading, writing = os.pipe()  # its parent is there as long as its stdin is open
    done = subprocess.run(
        command, env=environment, stdin=reading, capture_output=True, text=True, check=False
    )
    os.close(reading)
    os.close(writing)
    assert done.returncode == 0
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["outcome"] == "ok"
    assert f"{len(listed(here))} new events" in said["detail"]
    for of in (("--of", "events.url"), ("--of", url)):
        answer = here("events", "-n", "5000", "-o", "json", *of, MONITORD_EVENTS__URL=url)
        assert json.loads(answer.out) == listed(here)


def test_hosts_share_a_server_and_no_table(here, store, incident, loose, postgres, tmp_path) -> None:
    """Each has its own schema; a clone takes a name of its own; who asks names a host or gets its own."""
    url = postgres.url()
    first = json.loads(here("events", "copy", "--to", url, "-o", "json").out)["host_id"]
    clone = tmp_path / "clone"
    shutil.copytree(_data(here), clone)
    assert here("events", "copy", "--to", url).code == 0
    said = json.loads(here("events", "copy", "--to", url, "-o", "json", MONITORD_DATA_DIR=str(clone)).out)
    assert said["host_id"] != first
    assert "another host does" in said["note"]
    assert read_state(clone).previous == [first]
    assert len(listed(here, "--of", url)) == len(listed(here))
    stranger = {"MONITORD_DATA_DIR": str(tmp_path / "nothing")}
    answer = here("events", "--of", url, **stranger)
    assert answer.code == 2
    assert first in answer.err
    assert said["host_id"] in answer.err
    found = here("events", "-n", "5000", "-o", "json", "--of", url, "--host", first, **stranger)
    assert json.loads(found.out) == listed(here)
    assert here("events", "--of", url, "--host", "nobody-1", **stranger).code == 3
    schema = "monitord_" + first.replace("-", "_")
    with asked_directly(url) as connection:
        count = connection.exec_driver_sql(f"SELECT count(*) FROM {schema}.event").scalar()  # noqa: S608
    assert count == len(listed(here))


def test_a_file_is_one_hosts(here, store, loose, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    assert here("events", "copy", "--to", url).code == 0
    assert (tmp_path / "one.db").stat().st_mode & 0o077 == 0
    clone = tmp_path / "clone"
    shutil.copytree(_data(here), clone)
    (clone / "ship" / "state.json").unlink()
    answer = here("events", "copy", "--to", url, MONITORD_DATA_DIR=str(clone))
    assert answer.code == 2
    assert "it holds those of" in answer.err


@pytest.mark.parametrize("ails", ["locked", "silent"])
def test_a_server_that_does_not_answer_costs_the_deadline(here, store, loose, postgres, ails) -> None:
    url = postgres.url()
    assert here("events", "copy", "--to", url).code == 0
    store.events.store_event(Event(EventType.DAEMON, datetime.now(UTC), payload={"what": "later"}))
    schema = "monitord_" + read_state(_data(here)).host_id.replace("-", "_")
    with asked_directly(url) as connection:
        if ails == "locked":
            connection.exec_driver_sql(f"UPDATE {schema}.event_mark SET since = since")  # noqa: S608
        else:
            postgres.process.send_signal(signal.SIGSTOP)
        try:
            began_s = time.monotonic()
            answer = here("events", "copy", "--to", url, MONITORD_EVENTS__DEADLINE_S="1")
            took_s = time.monotonic() - began_s
        finally:
            postgres.process.send_signal(signal.SIGCONT)
        connection.rollback()
    assert answer.code == 1
    assert "no answer within 1 s" in answer.err
    assert took_s < PATIENCE_S
    assert json.loads(here("events", "copy", "--to", url, "-o", "json").out)["copied"] == 1
    same_as_here(here, url)


def test_no_password_is_told_and_a_file_may_hold_the_url(here, store, loose, postgres, tmp_path) -> None:
    file = tmp_path / "url"
    file.write_text(postgres.url().replace("monitord@", f"monitord:{SECRET}@") + "\n")
    assert here("events", "copy", "--to", f"file:{file}").code == 4  # others may read it
    file.chmod(0o600)
    assert here("events", "copy", "--to", f"file:{file}").code == 0
    assert len(listed(here, "--of", f"file:{file}")) == len(loose)
    assert here("events", "stats", "--of", "environment:PLACE", PLACE=file.read_text()).code == 0
    for words in (
        ("copy", "--to", f"postgresql://me:{SECRET}@localhost:1/x"),
        ("copy", "--to", f"postgresql://me:{SECRET}@localhost:port/x"),
        ("copy", "--to", f"mysql://me:{SECRET}@localhost/x"),
        ("stats", "--of", f"me:{SECRET}@localhost"),
        ("prune", "--max", "1", "--of", f"postgresql://me:{SECRET}@localhost:1/x"),
    ):
        answer = here("events", *words)
        assert answer.code in (1, 2, 6), (words, answer)
        assert answer.err.count("\n") == 1, answer.err
        assert SECRET not in answer.err + answer.out, words
    answer = here("config", "show", MONITORD_EVENTS__URL=f"postgresql://me:{SECRET}@localhost/x")
    assert SECRET not in answer.out


def test_a_place_that_cannot_be_is_refused_with_what_can(here, store, loose, tmp_path) -> None:
    config = tmp_path / "config.toml"
    for wrong, said in {
        "mysql://localhost/x": "expected one of postgresql://…, sqlite:////FOLDER/FILE",
        "sqlite:///events.db": "an absolute path",
        "file:///etc/passwd": "expected one of postgresql://",
        "no url": "postgresql://host/database",
    }.items():
        config.write_text(f'[events]\nurl = "{wrong}"\n')
        answer = here("--config", str(config), "config", "validate")
        assert answer.code == 6, wrong
        assert re.search(rf"config.toml:2: .*{re.escape(said)}", answer.err), answer.err
    config.write_text('[events]\nurl = "environment:PLACE"\n')
    assert here("--config", str(config), "config", "validate").code == 0
    assert here("events", "copy").code == 6
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE event (id INTEGER)")
    own = _data(here) / "monitord.db"
    for path in (foreign, own):
        answer = here("events", "copy", "--to", f"sqlite:///{path}")
        assert (answer.code, "holds something else" in answer.err) == (2, True), answer
        assert here("events", "--of", f"sqlite:///{path}").code == 3
    assert here("events", "stats", "--of", f"sqlite:///{tmp_path}/none.db").code == 3
    assert not (tmp_path / "none.db").exists()
    assert here("events", "copy", "--to", f"sqlite:///{tmp_path}/no/folder.db").code == 1
    assert here("events", "--host", "x").code == 2
    assert here("events", "-f", "--of", f"sqlite:///{own}").code == 2


ENDLESS = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT"
A_MARK = (
    "CREATE VIEW event_mark AS SELECT 'h' AS host_id, 1 AS through, 1 AS whole_us, 0 AS since, 'r' AS round"
)
SENSELESS = {
    "a mark without an end": (f"CREATE VIEW event_mark AS {ENDLESS} n AS host_id FROM r WHERE n < 0",),
    "events without an end": (A_MARK, f"CREATE VIEW event AS {ENDLESS} n AS id, n AS event_type FROM r"),
    "a cell of a gigabyte": ("CREATE VIEW event_mark AS SELECT zeroblob(900000000) AS host_id",),
}


@pytest.mark.parametrize("what", SENSELESS)
def test_a_file_that_others_made_is_given_up_in_its_time(here, tmp_path: Path, what: str) -> None:
    file = tmp_path / "theirs.db"
    with sqlite3.connect(file) as made:
        for statement in SENSELESS[what]:
            made.execute(statement)
    made.close()
    began_s = time.monotonic()
    answer = here("events", "stats", "--of", f"sqlite:///{file}", MONITORD_EVENTS__DEADLINE_S="1")
    assert time.monotonic() - began_s < PATIENCE_S
    assert answer.code == 1, answer
    assert answer.err.startswith("monitord: ")
    assert answer.err.count("\n") == 1
    assert "too big" in answer.err if "cell" in what else "no answer within 1 s" in answer.err
