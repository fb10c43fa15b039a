"""Every asking command on a store that is missing, refused or not recorded into: one line, the right exit code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.cli.app import ASKING
from monitord.cli.terminal import display_width
from tests.cli.test_recorder import recorder

QUESTIONS = (
    "recent", "recent -o json", "recent -o csv", "show 1", "show 1 -o json", "explain 1", "explain 1 -o json", "events list",
    "events -o jsonl", "similar 1", "similar 1 -o json", "replay", "replay 1h", "replay -S 1h --step 5min", "replay -S 1h -o json", "hot", "hot -o csv", "query hot-functions", "query hot-functions -o json", "export 1 -o -", "compare 1 1", "compare 1 1 -o json", "summary 1", "reveal 1",
)  # fmt: skip
State = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def incident(store, new_incident):
    """One whose profile can be read, so that it compares."""
    made = new_incident()
    context, profile, failed = made.captures
    profile = replace(
        profile, format="folded", payload=b"main (/srv/main.py:3);fibonacci (/srv/n.py:12) 98\n"
    )
    store.save_incident(replace(made, captures=(context, profile, failed)))
    return made


def gone(data_dir: Path) -> AbstractContextManager[None]:
    for path in sorted(data_dir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    data_dir.rmdir()
    return nullcontext()


def open_to_all(data_dir: Path) -> AbstractContextManager[None]:
    """What root and everybody else must refuse: others can write there."""
    data_dir.chmod(0o777)
    return nullcontext()


def silent(data_dir: Path) -> AbstractContextManager[None]:
    return recorder(data_dir, taken_at=(datetime.now(UTC) - timedelta(hours=1)).isoformat())


@pytest.mark.parametrize("words", QUESTIONS)
@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        (gone, 3, "monitord run"),
        (open_to_all, 4, "chmod 700"),
        (silent, 0, "has reported nothing for"),
    ],
)
def test_a_store_that_can_not_answer_wholly_is_one_line_and_its_exit_code(
    words: str, state: State, code: int, said: str, incident, store, data_dir, here
) -> None:
    """Nothing but the answer on stdout, one line on stderr that says what to do, no trace."""
    store.close()
    with state(data_dir):
        answer = here(*words.split())
    assert answer.code == code, answer.err
    lines = [line for line in answer.err.splitlines() if line.startswith("monitord: ")]
    assert len(lines) == 1, answer.err
    assert said in lines[0]
    assert "Traceback" not in answer.err
    if code:
        assert answer.out in ("", "[]\n") or answer.out.startswith(("id,", "function,"))


# A summary is pasted elsewhere: its lines are not broken.
@pytest.mark.parametrize("words", [one for one in QUESTIONS if " -o " not in one and one != "summary 1"])
def test_forty_columns_are_enough(words: str, incident, here, monkeypatch) -> None:
    """No line of a page is wider than the screen, but those that one copies whole."""
    monkeypatch.setenv("COLUMNS", "40")
    answer = here(*words.split())
    assert answer.code == 0, answer.err
    copied = ("fix: ", "monitord ", "/")
    wide = [line for line in answer.out.splitlines() if display_width(line) > 40]
    assert [line for line in wide if not any(word in line for word in copied)] == []


def test_every_asking_command_is_in_the_matrix() -> None:
    tried = {name for words in QUESTIONS for name in (words.split()[0], " ".join(words.split()[:2]))}
    of_settings = {"rules list", "plan list", "plan get"}  # which need no store to answer
    assert ASKING - tried == {"profile list", "profile show", "rules test"} | of_settings
