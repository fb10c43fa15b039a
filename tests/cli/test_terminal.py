"""`top` and `replay` in a real terminal: keys, its size, and the terminal as it was at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.actions.times import parse_time
from monitord.cli.terminal import display_width
from monitord.errors import UsageError
from monitord.model import Incident
from monitord.storage import SQLiteProfileStore
from tests.cli.conftest import ROOT
from tests.cli.terminals import Terminal, terminal
from tests.pasts import BURNER, Past

MONITORD = (sys.executable, "-m", "monitord")
FIRST = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


def at(seconds: float) -> str:
    return f"{FIRST + timedelta(seconds=seconds):%H:%M:%S}"


@pytest.fixture
def past(store: SQLiteProfileStore, new_incident: Callable[..., Incident]) -> Past:
    """Ten minutes, an hour asleep, ten minutes more with an incident in them."""
    past = Past(at=FIRST).looks(600).sleeps(3600).looks(600, percent=20.0)
    for batch in past.batches():
        store.add_history(batch)
    store.save_incident(new_incident(pid=BURNER, at=FIRST + timedelta(seconds=4500)))
    store.close()
    return past


@pytest.fixture
def window(tmp_path: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    with terminal(tmp_path, {**environment, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}) as opened:
        yield opened


def head(shown: str) -> str:
    return shown.splitlines()[0]


def test_replay_goes_through_the_past_by_keys(past: Past, window: Terminal) -> None:
    window.run([*MONITORD, "replay", f"{FIRST:%Y-%m-%d %H:%M:%S}"])
    shown = window.until("q quit")
    assert at(0) in head(shown)
    assert "CPU unknown" in head(shown), "the first look has no rate"
    window.press("Right")
    assert "CPU 10 % of 4 cores" in head(window.until(at(15)))
    window.press("t")
    window.until(at(30))
    window.press("Left")
    window.until(at(15))
    window.press("T", "T")
    assert "nothing earlier is stored" in window.until("nothing earlier")
    window.press("PageDown")
    shown = window.until("the machine was asleep")
    assert at(585) in shown, "the last look before it slept"
    assert at(4200) in shown, "the first one after it"
    window.press("Right")
    window.until(lambda shown: at(4200) in head(shown) and "unknown from" not in shown)
    window.press("Left")
    window.until("the machine was asleep")


def test_replay_leaps_to_incidents_and_to_a_time_that_is_typed(past: Past, window: Terminal) -> None:
    window.run([*MONITORD, "replay", f"{FIRST:%Y-%m-%d %H:%M:%S}"])
    window.until("q quit")
    window.press("i")
    shown = window.until("cpu was above 90 % of one core")
    assert at(4500) in head(shown)
    assert "fibonacci" in shown
    window.press("i")
    window.until("there is no later incident")
    window.press("Home")
    window.until(lambda shown: at(0) in head(shown))
    window.press("End")
    window.until(lambda shown: at(4785) in head(shown))
    window.press("I")
    window.until("fibonacci")
    window.press("g")
    window.until("time: _")
    window.type(at(60) + "x")
    window.press("BSpace", "Enter")
    window.until(lambda shown: at(60) in head(shown))
    window.press("g")
    window.type("teatime")
    window.press("Enter")
    assert at(60) in head(window.until('invalid time "teatime"'))
    window.press("g")
    window.until("time: _")
    window.press("Escape")
    window.until("q quit")


def test_a_narrow_screen_says_how_to_end_it_and_what_was_expected(past: Past, window: Terminal) -> None:
    """Of 40 columns: keys give way to the one that ends it, and an error is whole, with what to type instead."""
    window.resize(40, 24)
    window.run([*MONITORD, "replay", f"{FIRST:%Y-%m-%d %H:%M:%S}"])
    assert "→ next" in window.until("q quit")
    window.press("g")
    window.until("time: _")
    window.type("teatime")
    window.press("Enter")
    shown = window.until('invalid time "teatime"').split()
    with pytest.raises(UsageError) as refused:
        parse_time("teatime", datetime.now(UTC))
    assert "".join(str(refused.value).split()) in "".join(shown)
    window.press("q")
    window.until(lambda shown: "q quit" not in shown and "PROCESS" not in shown)


@pytest.mark.parametrize("word", ["replay", "top"])
def test_another_size_is_another_screen(word: str, past: Past, window: Terminal) -> None:
    """Nothing wraps: the head stays the first line, and no line is wider than the window."""
    window.run([*MONITORD, word])
    window.until("PROCESS")
    for columns, lines in ((40, 10), (120, 30), (30, 5)):
        window.resize(columns, lines)
        shown = window.until(
            lambda shown, lines=lines: len(shown.splitlines()) <= lines and "UTC" in head(shown)
        )
        assert max(map(display_width, shown.splitlines())) <= columns
        assert f"{datetime.now(UTC):%Y-}" in head(shown)


@pytest.mark.parametrize("word", ["replay", "top"])
@pytest.mark.parametrize(("key", "code"), [("q", 0), ("C-c", 130)])
def test_the_terminal_is_as_it_was_when_it_ends(
    word: str, key: str, code: int, past: Past, window: Terminal
) -> None:
    window.run(["echo", "before"])
    window.until("before\n")
    window.type("stty -a > before; " + " ".join([*MONITORD, word]) + "; echo code $?; stty -a > after\n")
    window.until("PROCESS")
    assert (window.state("alternate_on"), window.state("cursor_flag")) == ("1", "0")
    window.press(key)
    shown = window.until(f"code {code}")
    assert "before" in shown, "what stood there before is there again"
    assert "PROCESS" not in shown
    assert "Traceback" not in shown
    assert (window.state("alternate_on"), window.state("cursor_flag")) == ("0", "1")
    window.run(["cmp", "before", "after"])
    window.run(["echo", "compared"])
    assert "differ" not in window.until("compared\n")


@pytest.mark.parametrize("word", ["replay", "top"])
def test_it_waits_in_the_background_with_the_terminal_given_back(
    word: str, past: Past, window: Terminal
) -> None:
    window.run([*MONITORD, word])
    window.until("PROCESS")
    window.press("C-z")
    window.until(lambda shown: "shell>" in shown and "PROCESS" not in shown)
    assert window.state("alternate_on") == "0"
    window.run(["fg"])
    window.until("PROCESS")
    window.press("q")
    window.until(lambda shown: "PROCESS" not in shown)
