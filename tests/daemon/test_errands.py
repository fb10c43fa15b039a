"""Errands: real children that end well, badly, never, or talk nonsense; each costs nobody else anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path

import pytest

from monitord.config import Settings, load
from monitord.daemon import errands as room
from monitord.daemon.errands import Errand, Errands
from monitord.scheduling import TaskOutcome
from tests.patience import PATIENCE_S

OK = 'import json; print("noise"); print(json.dumps({"outcome": "ok", "detail": "wrote 3 files"}))'
BAD = 'import json; print(json.dumps({"outcome": "failed", "detail": "cannot reach it; try again"})); exit(1)'
SILENT = "raise SystemExit(3)"
NONSENSE = "print('[' * 100_000)"
NEVER = "import time; time.sleep(600)"
HEARS = 'import sys; sys.stdin.read(); print(\'{"outcome": "ok", "detail": "left off"}\')'


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    return load(None, {}).settings


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> Callable[..., tuple[Errands, list[TaskOutcome]]]:
    def command(code: str) -> tuple[str, ...]:
        return (sys.executable, "-c", code)

    monkeypatch.setattr(room, "own_command", command)

    def start(*errands: Errand) -> tuple[Errands, list[TaskOutcome]]:
        told: list[TaskOutcome] = []
        made = Errands(tmp_path, None, told.append, errands=errands)
        made.use(settings)
        return made, told

    return start


def errand(name: str, code: str, **changes: object) -> Errand:
    shape: dict[str, object] = {
        "every_s": 3600.0, "first_after_s": 0.0, "deadline_s": 120.0, "is_wanted": lambda _settings: True,
    }  # fmt: skip
    return Errand(name, (code,), **shape | changes)  # type: ignore[arg-type]


def until(errands: Errands, is_over: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_over():
        assert time.monotonic() < deadline_s, errands.table()
        errands.poll()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("code", "outcome", "detail"),
    [
        (OK, "ok", "wrote 3 files"),
        (BAD, "failed", "cannot reach it; try again"),
        (SILENT, "failed", "ended with status 3"),
        (NONSENSE, "failed", "ended with status 0"),
    ],
)
def test_what_came_of_it_is_told(run: Callable[..., object], code: str, outcome: str, detail: str) -> None:
    errands, told = run(errand("one", code))  # type: ignore[misc]
    until(errands, lambda: told)
    assert (told[0].name, told[0].outcome, told[0].detail) == ("one", outcome, detail)
    assert errands.table()["one"]["outcome"] == outcome
    assert errands.complaints() == ([] if outcome == "ok" else [f"one: {detail}"])
    errands.close(0.0)


def test_one_that_never_ends_is_ended_and_the_next_has_its_turn(run: Callable[..., object]) -> None:
    errands, told = run(errand("hangs", NEVER, deadline_s=0.5), errand("other", OK))  # type: ignore[misc]
    until(errands, lambda: len(told) == 2)
    assert {one.name: one.outcome for one in told} == {"hangs": "failed", "other": "ok"}
    assert "without a result" in next(one.detail for one in told if one.name == "hangs")


def test_an_incident_makes_it_due(run: Callable[..., object]) -> None:
    errands, told = run(errand("ship", OK, first_after_s=3600.0, after_incident_s=0.0))  # type: ignore[misc]
    errands.poll()
    assert not errands.table()["ship"]["running"]
    errands.settled()
    until(errands, lambda: told)
    assert told[0].outcome == "ok"


def test_none_is_left_when_the_daemon_ends(run: Callable[..., object]) -> None:
    errands, _ = run(errand("hangs", NEVER))  # type: ignore[misc]
    errands.poll()
    child = errands._current._child
    errands.close(0.1)
    assert child.returncode == -9
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_one_that_hears_the_end_may_finish(run: Callable[..., object]) -> None:
    errands, _ = run(errand("hears", HEARS))  # type: ignore[misc]
    errands.poll()
    child = errands._current._child
    errands.close(PATIENCE_S)
    assert child.returncode == 0


def test_every_errand_of_the_table_is_a_module_that_answers_help() -> None:
    """A line in the table that starts nothing would only be noticed hours later."""
    for each in room.ERRANDS:
        command = [*room.own_command(each.command[0]), *each.command[1:], "--help"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, (each.name, done.stderr)
        assert json.dumps(each.name)


@pytest.mark.parametrize("errand", room.ERRANDS, ids=lambda errand: errand.name)
def test_every_errand_ends_with_the_recorder_and_gives_its_rights_up(errand: Errand) -> None:
    """None goes on without a recorder, or holds its capabilities beside a network and others' code."""
    place = util.find_spec(errand.command[0])
    assert place is not None
    assert place.origin is not None
    source = Path(place.origin).read_text()
    assert re.search(
        r"^    (end_with_parent\(\)|threading\.Thread\(target=_end_with_parent, .*)$", source, re.M
    )
    assert "rights.keep_only(())" in source


def test_without_a_setting_nothing_is_started(settings: Settings, tmp_path: Path) -> None:
    """What a recorder does that nobody configured must not change by what it could do."""
    assert [each.name for each in room.ERRANDS if each.is_wanted(settings)] == []


def test_an_answer_of_any_length_and_letters_is_heard(run: Callable[..., object], tmp_path: Path) -> None:
    """An error may hold a long path: cut, and not lost."""
    code = f"import sys; sys.path.insert(0, {str(Path(room.__file__).parents[2])!r}); " + (
        "from monitord.children import answer; answer('failed', chr(0x1F600) * 100_000)"
    )
    errands, told = run(errand("one", code))  # type: ignore[misc]
    until(errands, lambda: told)
    assert (told[0].outcome, told[0].detail) == ("failed", chr(0x1F600) * 1000)
