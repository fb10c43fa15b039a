"""Whoever asks is told in one line when nobody records, when it fell silent, when it is degraded; else nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.cli.app import ASKING
from monitord.daemon.locks import DAEMON_LOCK, hold
from monitord.daemon.status import STATUS_FILE

QUESTIONS = [
    ["recent"], ["recent", "-o", "json"], ["show", "1"], ["explain", "1"], ["events"], ["hot"],
    ["export", "1", "-o", "-"], ["profile", "list"],
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
def test_every_question_tells_what_keeps_its_answer_from_being_whole(words, incident, data_dir, cli) -> None:
    """Nobody records; a hanging one; a refused reload or waiting evidence; and a healthy one, of which nothing."""
    before = cli(*words)
    assert before.code == 0
    (line,) = lines(before.err)
    assert line.startswith("monitord: nobody records here")
    ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    for status, said in (
        ({"taken_at": ago}, "has reported nothing for 10 min; see `monitord service logs`"),
        (
            {"degraded": ["the last reload was refused: x.toml:1: no"]},
            "the last reload was refused: x.toml:1",
        ),
        (
            {"degraded": ["artefacts wait here: no route", "b"]},
            "no route (and 1 more); see `monitord status`",
        ),
    ):
        with recorder(data_dir, **status):
            answer = cli(*words)
        assert answer.code == 0
        (line,) = lines(answer.err)
        assert said in line
    with recorder(data_dir):
        assert lines(cli(*words).err) == []


def test_the_table_of_asking_commands_is_what_was_tried() -> None:
    tried = {" ".join(words[:2]) if words[0] == "profile" else words[0] for words in QUESTIONS}
    assert ASKING - tried == {"compare", "rules test"}  # which need more than one incident to answer at all


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_store_of_somebody_else_is_4_and_one_line(incident, store, data_dir, cli) -> None:
    store.close()
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 12345, 12345)
    for words in QUESTIONS:
        answer = cli(*words)
        assert "Traceback" not in answer.err
        assert answer.code in (0, 4), (words, answer.err)
