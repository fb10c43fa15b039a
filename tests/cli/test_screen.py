"""What fits on a screen, and what is coloured where."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.actions.moment_incidents import MomentFunction
from monitord.actions.moments import Leader, Moment, MomentTotals
from monitord.actions.unknown_stretches import UnknownStretch
from monitord.cli.machine import screen_lines
from monitord.cli.moment_table import moment_table
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, cut, display_width, pad, wants_colour
from monitord.cli.when import local_stamp
from monitord.model import CaptureStatus
from monitord.recorder.status import moment_of
from monitord.storage import open_store
from tests import preloaded
from tests.patience import PATIENCE_S

ANSI = re.compile(r"\x1b\[[0-9;]*m")
COLUMNS = (Column("ID", right=True), Column("NAME", least=8), Column("WHY", least=4))


@given(st.text("ab漢字é\u0301", max_size=40), st.integers(1, 30))
def test_cut_and_pad_count_what_the_eye_sees(text: str, columns: int) -> None:
    assert display_width(cut(text, columns)) <= columns
    assert display_width(pad(cut(text, columns), columns)) == columns
    assert display_width(text) > columns or cut(text, columns) == text


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.text("xy漢 ", max_size=60), st.text("z", max_size=60)), min_size=1
    )
)
def test_a_table_never_exceeds_the_screen_and_stays_aligned(rows: list[tuple[int, str, str]]) -> None:
    cells = [[Cell(str(number)), Cell(name), Cell(f"|{why}")] for number, name, why in rows]
    lines = list(draw(COLUMNS, cells, width=40, style=Style()))
    assert all(display_width(line) <= 40 for line in lines)
    starts = {display_width(line[: line.index("|")]) for line in lines[1:]}
    assert len(starts) == 1


def test_the_widest_flexible_column_gives_way_first() -> None:
    line = list(draw(COLUMNS, [[Cell("1"), Cell("n" * 50), Cell("short")]], width=30, style=Style()))[1]
    assert line.endswith("short")
    assert "…" in line


@pytest.mark.parametrize(
    ("mode", "env", "is_terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, False, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_is_where_it_is_wanted(
    mode: str, env: dict[str, str], is_terminal: bool, expected: bool
) -> None:
    assert wants_colour(mode, env, is_terminal) is expected


def test_stamps_say_as_much_as_is_needed() -> None:
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert local_stamp(now - timedelta(hours=1), now, zone=UTC) == "11:00:00"
    assert local_stamp(now - timedelta(days=1), now, zone=UTC) == "Nov 19 12:00:00"
    assert local_stamp(now - timedelta(days=400), now, zone=UTC) == "2025-10-16 12:00"
    assert local_stamp(now, now, utc=True) == "12:00:00Z"


@pytest.mark.parametrize("text", [None, 3, "", "soon", "2026-11-20T03:00:00"])
def test_a_moment_that_is_none_is_told_apart(text: object) -> None:
    assert moment_of(text) is None


def on_a_terminal(words: list[str], env: dict[str, str]) -> str:
    """What a person sees: stdout is a terminal, stderr is not."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        preloaded.command("cli", *words), stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=env
    )
    os.close(slave)
    seen, deadline = b"", time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.2)[0]:
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            seen += part
    process.communicate(timeout=PATIENCE_S)
    os.close(master)
    return seen.decode().replace("\r\n", "\n")


FAILING = {
    "capture": ("capture", "{pid}", "--duration", "2s"),
    "profile": ("profile", "{script}", "--save"),
}


@pytest.mark.parametrize("words", FAILING.values(), ids=FAILING)
def test_an_error_begins_on_a_clean_line(
    words: tuple[str, ...], environment: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    """What shows the progress is wiped first, also when nothing comes of it: here the store can't be written."""
    open_store(data_dir).close()
    script = tmp_path / "burning.py"
    script.write_text("import time\nend = time.time() + 3\nwhile time.time() < end: sum(range(1000))\n")
    with subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"]) as burner:
        argv = [word.format(pid=burner.pid, script=script) for word in words]
        process, seen = None, b""
        master, slave = pty.openpty()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "monitord", *argv],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env=environment,
            )
            os.close(slave)
            spoilt = False
            while select.select([master], [], [], PATIENCE_S)[0]:
                try:
                    seen += os.read(master, 65536)
                except OSError:  # Linux: the other end is closed
                    break
                if not spoilt and b"ing" in seen:
                    shutil.rmtree(data_dir / "artefacts")
                    (data_dir / "artefacts").write_text("in the way")
                    spoilt = True
            process.wait(PATIENCE_S)
        finally:
            burner.kill()
            os.close(master)
    assert process.returncode not in (0, None), seen
    before, _, _error = seen.rpartition(b"monitord: ")
    assert before.endswith((b"\x1b[K", b"\n")), seen


@pytest.mark.parametrize("words", [["recent"], ["show", "1"]])
def test_colours_on_a_terminal_and_none_in_a_pipe(words, store, new_incident, environment, cli) -> None:
    """The same words without the colours, so that nobody has to read two layouts."""
    store.save_incident(new_incident())
    terminal = on_a_terminal(words, {**environment, "TERM": "xterm", "PAGER": "cat"})
    plain = on_a_terminal(words, {**environment, "TERM": "xterm", "PAGER": "cat", "NO_COLOR": "1"})
    assert "\x1b" not in cli(*words).out
    assert "\x1b" not in plain
    assert ANSI.search(terminal)


def test_the_pager_is_used_on_a_terminal_only(store, new_incident, environment, cli, tmp_path) -> None:
    store.save_incident(new_incident())
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED; cat\n")
    pager.chmod(0o755)
    env = {**environment, "TERM": "xterm", "PAGER": str(pager)}
    assert "PAGED" in on_a_terminal(["recent"], env)
    assert "PAGED" not in on_a_terminal(["recent", "--no-pager"], env)
    assert "PAGED" not in cli("recent", PAGER=str(pager)).out


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_pages_fit_the_screen(columns, store, new_incident, environment, here) -> None:
    store.save_incident(new_incident(name="漢字" * 20, command_line=["x" * 300, "y" * 50]))
    recent = here("recent", COLUMNS=str(columns)).out
    show = here("show", "1", COLUMNS=str(columns)).out
    assert all(display_width(line) <= columns for line in recent.splitlines())
    facts = show.split("What was captured")[0]  # paths and commands to copy are never cut
    assert all(display_width(line) <= columns for line in facts.splitlines())


def test_the_list_of_rules_fits_in_80_columns_with_whole_names(here) -> None:
    """A name is there to be typed into `explain --rule` and into a configuration."""
    lines = here("rules", "list", COLUMNS="80").out.splitlines()
    assert all(display_width(line) <= 80 for line in lines)
    assert {"network-flood", "thread-growth"} <= {line.split()[0] for line in lines}
    assert "PER HOUR" in here("rules", "list", COLUMNS="120").out


def test_a_refusal_is_said_once_and_without_a_tool_that_was_never_reached(store, new_incident, here) -> None:
    """The first look and the profile are refused for the same reason, before any tool was chosen."""
    whole = new_incident()
    refused = [
        replace(
            capture, role=role, profiler="auto", status=CaptureStatus.REFUSED,
            payload=None, format=None, hotspots=(), reason="profiling is switched off", fix="set it to auto",
        )
        for capture, role in zip(whole.captures, ("dump", "profile"), strict=False)
    ]  # fmt: skip
    store.save_incident(replace(whole, captures=tuple(refused)))
    assert here("show", "1").out.count("profiling is switched off") == 1
    assert "auto refused" not in here("recent").out
    assert "profile refused" in here("recent").out


def test_a_row_of_which_no_pass_is_stored_tells_who_ran_and_what_is_not_known() -> None:
    """By the recorder's box; without it nothing but why."""
    at = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
    unknown = UnknownStretch(at, None, "not stored yet")
    ran = Moment(at, leaders=(Leader(7, "shop", 93.0, function="validate"),), unknown=unknown)
    shown = list(moment_table([ran, Moment(at, unknown=unknown)], 120, Style(False), utc=True))
    assert shown[1].rstrip().endswith(" shop 93 % (all else unknown: not stored yet)  validate")
    assert shown[2].rstrip().endswith("unknown: not stored yet")


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_moment_says_whole_what_it_has_to_say_of_the_machine(columns: int) -> None:
    """No figure's unit is cut off; a function that took nothing is not a hottest one."""
    totals = MomentTotals(
        100.0,
        2,
        1.0,
        1 << 34,
        1 << 33,
        0,
        99,
        unattributed_cpu_percent=142.0,
        pressure_percent={"cpu_some": 99.0},
    )
    functions = [
        MomentFunction(7, "shop", name, "shop.py", 3, share, share, "x4azsx2v", "ring")
        for name, share in (("price", 0.6), ("main", 0.0))
    ]
    lines = screen_lines(Moment(datetime.now(UTC), totals=totals, functions=functions), columns, 24, Style())
    assert max(map(display_width, lines)) <= columns
    assert "too short-lived to be seen: 142 % of a core" in " ".join(lines)
    assert [word for word in ("price", "main") if any(word in line for line in lines)] == ["price"]
