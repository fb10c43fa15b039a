"""Whoever asks is told in one line when nobody records, when it fell silent, when it is degraded; else nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import monitord
from monitord.cli.app import ASKING
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import HOW_TO_START, NOBODY, STATUS_FILE
from monitord.storage import open_store

QUESTIONS = [
    ["recent"], ["recent", "-o", "json"], ["show", "1"], ["explain", "1"], ["events", "list"], ["hot"], ["replay"], ["summary", "1"],
    ["export", "1", "-o", "-"], ["profile", "list"], ["reveal", "1"], ["rules", "list"], ["similar", "1"], ["query", "hot-functions"],
]  # fmt: skip


@contextmanager
def recorder(data_dir: Path, **status: Any) -> Iterator[None]:
    """A lock that somebody holds, and what it said last."""
    told = {
        "version": "0",
        "taken_at": datetime.now(UTC).isoformat(),
        "interval_s": 2.0,
        "degraded": [],
        **status,
    }
    (data_dir / STATUS_FILE).write_text(json.dumps(told))
    with hold(data_dir / DAEMON_LOCK, "taken"):
        yield


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("monitord: ")]


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_every_question_tells_what_keeps_its_answer_from_being_whole(words, incident, data_dir, here) -> None:
    """Nobody records; a hanging one; a refused reload or waiting evidence; and a healthy one, of which nothing."""
    before = here(*words)
    assert before.code == 0
    (line,) = lines(before.err)
    assert line.startswith("monitord: nobody records here")
    ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    for status, said in (
        ({"taken_at": ago}, "has reported nothing for 10 min; see `monitord logs`"),
        (
            {"degraded": ["the last reload was refused: x.toml:1: no"]},
            "the last reload was refused: x.toml:1",
        ),
        (
            {"degraded": ["artefacts wait here: no route", "b"]},
            "no route (and 1 more); see `monitord status`",
        ),
        ({"black_box": {"state": "off", "reason": "no ring"}}, "the black box is off: no ring"),
    ):
        with recorder(data_dir, **status):
            answer = here(*words)
        assert answer.code == 0
        (line,) = lines(answer.err)
        assert said in line
    with recorder(data_dir):
        assert lines(here(*words).err) == []


def test_the_table_of_asking_commands_is_what_was_tried() -> None:
    groups = ("events", "profile", "rules", "plan")
    tried = {" ".join(words[:2]) if words[0] in groups else words[0] for words in QUESTIONS}
    needing_more = {"compare", "rules test", "plan list", "plan get", "profile show"}  # to answer at all
    assert ASKING - tried == needing_more


def test_following_waits_for_a_recorder_where_nothing_was_recorded_yet(
    environment, data_dir, new_incident
) -> None:
    """It says so, and shows what the first recorder stores."""
    for words in (["recent", "-f", "-o", "jsonl"], ["events", "-f", "-o", "jsonl"]):
        command = [sys.executable, "-m", "monitord", *words]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as follower:
            assert follower.stdout is not None
            assert follower.stderr is not None
            try:
                assert "nobody records here" in follower.stderr.readline()
                with closing(open_store(data_dir)) as store:
                    store.save_incident(new_incident(at=datetime.now(UTC)))
                assert json.loads(follower.stdout.readline())
            finally:
                follower.send_signal(signal.SIGINT)
                follower.communicate()
            assert follower.returncode == 130
        shutil.rmtree(data_dir)


@pytest.mark.root
def test_a_store_of_somebody_else_is_4_and_one_line(incident, store, data_dir, cli) -> None:
    store.close()
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 12345, 12345)
    for words in QUESTIONS:
        answer = cli(*words)
        assert "Traceback" not in answer.err
        assert answer.code in (0, 4), (words, answer.err)


def test_show_says_that_a_profile_is_still_to_come(store, new_incident, data_dir, here) -> None:
    """While it is taken, and while it waits for its turn; not when it is there, refused, or when nobody records."""
    whole = new_incident()
    early = replace(whole, captures=whole.captures[:1])
    store.save_incident(early)
    name = early.correlation_id
    running = {"capture": {"correlation_id": name, "since": datetime.now(UTC).isoformat()}, "pending": [name]}
    waiting = {"capture": {"correlation_id": "another", "since": ""}, "pending": ["another", name]}
    for status, pending, said in (
        (running, "running", "is being taken now"),
        (waiting, "waiting", "waits for its turn"),
        ({"capture": None, "pending": []}, None, None),
        ({"capture": 7, "pending": name}, None, None),
        ({}, None, None),
    ):
        with recorder(data_dir, **status):
            told = json.loads(here("show", name, "--json").out)
            assert told["pending"] == pending
            assert ("because its profile" in told["verdict"]) is (pending is not None)
            out = here("show", name).out
        assert said is None or said in out
        assert ("ask again" in out) is (said is not None)
    assert json.loads(here("show", name, "--json").out)["pending"] is None, "nobody records any more"
    store.save_incident(whole)
    with recorder(data_dir, **running):
        assert json.loads(here("show", name, "--json").out)["pending"] is None, "it is there"


def test_lists_and_pages_agree_on_when(store, new_incident, here) -> None:
    """The best evidence was taken a quarter of an hour after the alert: both tell of the alert."""
    raised = datetime(2026, 3, 4, 3, 0, 0, tzinfo=UTC)
    made = new_incident(at=raised)
    late = [replace(one, started_at=raised + timedelta(minutes=15)) for one in made.captures]
    store.save_incident(replace(made, captures=tuple(late)))
    assert "03:00:00" in here("recent", "--utc").out
    assert "03:00:00" in here("show", made.correlation_id, "--utc").out
    for words in (["recent", "--utc"], ["show", made.correlation_id, "--utc"]):
        assert "03:15" not in here(*words).out


def test_a_damaged_report_and_one_of_a_time_to_come_end_no_answer(incident, data_dir, here) -> None:
    """The clock was set back, and the recorder hangs since; or a value of the file is of another type."""
    for wrong in (7, True, "x", {"x": 1}, 1e308, None):
        for key in ("degraded", "black_box", "taken_at", "interval_s", "version"):
            with recorder(data_dir, **{key: wrong}):
                answer = here("recent")
            assert (answer.code, lines(answer.err)) == (0, []), (key, wrong)
    ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    with recorder(data_dir, taken_at=ahead):
        (line,) = lines(here("recent").err)
    assert "is of a time to come" in line


@pytest.mark.parametrize(
    "words",
    [
        ("recent",), ("status",), ("snapshot",), ("service", "reload"), ("doctor",), ("storage", "status"),
        ("config", "set", "sampling.interval_s", "3"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_that_nobody_records_is_said_in_one_wording(words: tuple[str, ...], here, incident) -> None:
    answer = here(*words)
    said = " ".join((answer.out + answer.err).split())
    assert re.search(rf"{NOBODY}[^;]*; {re.escape(HOW_TO_START)}", said)


def test_that_wording_stands_in_one_place() -> None:
    sources = Path(monitord.__file__).parent.rglob("*.py")
    holders = [path.name for path in sources if f'"{NOBODY}' in path.read_text()]
    assert holders == ["status.py"]


@pytest.mark.parametrize("taken_at", [None, "2026-11-27T03:00:00+00:00"])
def test_a_silent_recorder_is_not_said_to_record(taken_at, here, incident, data_dir) -> None:
    """The first line is what is read first: one that hangs, or has not looked yet, holds its lock all the same."""
    with recorder(data_dir, pid=os.getpid(), taken_at=taken_at):
        answer = here("status")
    assert answer.out.splitlines()[0] == f"monitord 0 runs, but does not report (pid {os.getpid()})"
    assert answer.code == 5
    assert "has reported nothing" in answer.err
