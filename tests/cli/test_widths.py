"""Every table and page stays within the screen, whatever the processes call themselves; the function stays on it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import monitord.cli
from monitord.actions.rules import Finding
from monitord.cli.commands import COMMANDS, GROUPS
from monitord.cli.explain import _table
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, display_width
from monitord.model import Hotspot, ProcessKey, RuleStatus, Threshold, TriggerMetric

SCREENS = (40, 60, 80, 120, 200)
HOSTILE = "漢字\x1b[31m" * 30
SPOTS = (
    Hotspot(
        "recalculate_everything_of_the_whole_tree", "/srv/" + "long/" * 30 + "numbers.py", 12, 0.61, 0.98
    ),
    Hotspot(HOSTILE, HOSTILE, 40, 0.22, 0.22, source_line="x = " + HOSTILE),
)
COPIED = re.compile(r"fix: |monitord |/|[0-9]{8}T[0-9]{6}Z-")
"""A command, a path or a key that has a line of its own: a person copies it whole."""


@pytest.fixture
def filled(store, new_incident):
    """Incidents of every metric, with plain and with hostile names, of long ago and of now."""
    now = datetime.now(UTC)
    for n, metric in enumerate(TriggerMetric):
        for name in ("python3", HOSTILE):
            made = new_incident(
                name=name, pid=4_000_000 + n, metric=metric, value=987_654_321.0, hotspots=SPOTS, reason=f"why {name} " * 9,
                at=now - timedelta(days=3, minutes=n), command_line=(name, "/srv/" + "script_" * 9 + ".py"),
            )  # fmt: skip
            store.save_incident(replace(made, process=replace(made.process, unit=name * 2, executable=name)))
    here = store.fetch_recent(1)[0]
    store.add_note(here.correlation_id, "a note " + HOSTILE, now)
    return here.correlation_id


def commands(incident: str) -> list[tuple[str, ...]]:
    return [
        ("recent", "-n", "99"), ("events", "-n", "200"), ("hot",), ("hot", "--node", "0"), ("show", incident),
        ("explain", incident), ("rules", "list"), ("plan", "list"), ("profile", "list"), ("storage", "ls"),
        ("storage", "status"), ("doctor",), ("config", "show"), ("config", "show", "--origin"), ("prefer",),
    ]  # fmt: skip


@pytest.mark.parametrize("columns", SCREENS)
def test_nothing_is_wider_than_the_screen(columns: int, filled: str, here, monkeypatch) -> None:
    """From 40 columns on, of every asking command, but for what one copies whole."""
    here("plan", "set", "n" * 60, "--match-name", "x" * 90, "--rate", "5", "--match-user", "someone" * 5)
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in commands(filled):
        answer = here(*words)
        wide = [
            line
            for line in answer.out.splitlines()
            if display_width(line) > columns and not COPIED.match(line.strip())
        ]
        assert answer.code in (0, 1), (words, answer.err)
        assert not wide, (columns, words, wide)


def test_people_read_numbers_with_their_units(filled: str, here, monkeypatch) -> None:
    """Programs get 987654321, people 942 MiB: no page has a number of eight digits in a row but in a key."""
    monkeypatch.setenv("COLUMNS", "200")
    for words in commands(filled):
        page = here(*words).out
        assert re.findall(r"(?<![\w.])\d{8,}(?![\dT])", page) == [], words
    assert "987654321.0" in here("recent", "-n", "99", "--json").out


@pytest.mark.parametrize("columns", SCREENS)
def test_recent_keeps_the_incident_the_process_and_the_function(
    columns: int, filled: str, here, monkeypatch
) -> None:
    """AGE and PID give way first; which incident, who and in which function never do."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = here("recent", "-n", "99").out.splitlines()
    for title in ("ID", "PROCESS", "VALUE", "WHAT"):
        assert title in lines[0]
    assert all(line.rstrip() for line in lines)
    assert sum("recalc" in line for line in lines) == len(lines) - 1
    assert ("PID" in lines[0]) >= (columns >= 120)
    assert ("WHEN" in lines[0]) >= (columns >= 80)


@pytest.mark.parametrize("columns", SCREENS)
def test_the_first_screen_of_an_incident_names_the_function(
    columns: int, incident, here, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    first = " ".join(here("show", incident.correlation_id).out.splitlines()[:3])
    assert first.startswith("fibonacci (numbers.py:12) took 61 % of python3 main.py for 10 s")


@pytest.mark.parametrize("columns", SCREENS)
def test_the_timeline_of_large_numbers_stays_within_the_screen(
    columns: int, store, new_incident, here, monkeypatch
) -> None:
    """From nothing to hundreds of megabytes a second: the higher end is what one looks for."""
    monkeypatch.setenv("COLUMNS", str(columns))
    made = new_incident()
    first, *others = made.history * 4
    busy = replace(first, disk_bytes_per_s=98.7e6, network_bytes_per_s=87.6e6, rss_bytes=987 << 20)
    calm = [
        replace(one, disk_bytes_per_s=12.3e6, network_bytes_per_s=1.2e6, rss_bytes=1 << 30) for one in others
    ]
    store.save_incident(replace(made, history=(busy, *calm)))
    lines = here("show", made.correlation_id).out.splitlines()
    (disk,) = (line for line in lines if line.startswith("  disk i/o"))
    assert display_width(disk) <= columns
    assert disk.endswith("98.7 MB/s")


@pytest.mark.parametrize("columns", SCREENS)
def test_the_standing_of_the_rules_stays_within_the_screen(columns: int) -> None:
    """Whatever holds a rule back, whoever is nearest to it."""
    status = RuleStatus(
        rule="a-rule-with-a-long-name", metric=TriggerMetric.CPU, state="cooling_down",
        target=ProcessKey(4_000_000, 1), process_name=HOSTILE, last_values=(1.0, 97.0, 98.0),
        threshold=Threshold(90.0, "percent"), distance=-8.0, seen_at=datetime.now(UTC), window_s=10.0,
        suppressed_by="cooling down for another 250 s after " + HOSTILE,
    )  # fmt: skip
    lines = list(_table([Finding(status, "daemon")], Style(), columns))
    assert all(display_width(line) <= columns for line in lines)
    for title in ("RULE", "STATE", "PROCESS", "NOW"):
        assert title[:3] in lines[0]


@pytest.mark.parametrize("columns", SCREENS)
def test_a_narrow_screen_leaves_columns_out_and_cuts_no_title(
    columns: int, filled: str, here, monkeypatch
) -> None:
    """What is left can be read: a title is cut only when its column is too narrow to mean anything."""
    here("plan", "set", "n" * 20, "--match-name", "x" * 90, "--rate", "5", "--profiler", "perf")
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in commands(filled):
        if words[0] not in ("show", "doctor", "config") and words[:2] != ("storage", "status"):
            header = (here(*words).out.splitlines() or [""])[0]
            assert "…" not in header, (words, header)


@pytest.mark.parametrize("columns", SCREENS)
def test_a_rules_threshold_and_name_are_never_cut(columns: int, here, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = here("rules", "list").out.splitlines()[1:]
    assert len(lines) >= 13
    for line in lines:
        assert re.match(r"[a-z-]+  ", line), line
        assert re.search(r"(at least|at most) [\d.,]+( ?(%|MiB|MB/s|s))?(  |$)", line), line


@pytest.mark.parametrize("columns", SCREENS)
def test_no_page_of_help_is_wider_than_the_screen(columns: int, here, monkeypatch) -> None:
    """Of every command; but for calls that one copies whole."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ("", *(path for path, _where, _summary in COMMANDS), *GROUPS):
        answer = here(*words.split(), "--help")
        wide = [line for line in answer.out.splitlines() if display_width(line) > columns]
        assert answer.code == 0, words
        assert [line for line in wide if not line.startswith("  monitord ")] == [], words


def tables() -> dict[str, tuple[Column, ...]]:
    """The columns of every table that a module of the command line declares, by where it stands."""
    found = {}
    for module in pkgutil.iter_modules(monitord.cli.__path__):
        held = vars(importlib.import_module(f"monitord.cli.{module.name}"))
        for name, value in held.items():
            if isinstance(value, tuple) and value and all(isinstance(one, Column) for one in value):
                found[f"{module.name}.{name}"] = value
    return found


@pytest.mark.parametrize("columns", SCREENS)
@pytest.mark.parametrize("table", tables())
def test_a_table_of_hostile_texts_fits_and_its_titles_can_be_read(table: str, columns: int) -> None:
    """Each that there is, whoever shows it: of narrow and of endless texts in every column."""
    for text in ("x", HOSTILE, "m" * 300, "漢" * 200):
        shown = tables()[table]
        row = [Cell("12:00" if one.whole else text) for one in shown]  # ours, and short
        lines = list(draw(shown, [row] * 3, width=columns, style=Style()))
        assert max(map(display_width, lines)) <= columns
        assert len(lines) == 4
        if text == "x":
            assert "…" not in lines[0]


def test_every_table_of_the_command_line_is_found() -> None:
    assert {"hot._COLUMNS", "events._COLUMNS", "explain._COLUMNS", "rows._COLUMNS", "plan._COLUMNS"} <= set(
        tables()
    )


@given(st.data())
def test_what_is_not_flexible_is_whole_while_the_rest_gives_way(data: st.DataObject) -> None:
    """For any table: a column without `least` is cut only when the columns that stay do not fit at all."""
    count = data.draw(st.integers(1, 6))
    columns = [
        Column("T" * data.draw(st.integers(1, 8)), least=data.draw(st.sampled_from([None, 4])),
               gives_way=data.draw(st.integers(0, 3)), whole=data.draw(st.booleans()))
        for _ in range(count)
    ]  # fmt: skip
    rows = [[Cell("x" * data.draw(st.integers(0, 20))) for _ in columns] for _ in range(3)]
    wide = data.draw(st.integers(10, 90))
    lines = list(draw(columns, rows, width=wide, style=Style()))
    kept = sum(max(len(column.title), *(len(row[i].text) for row in rows)) + 2
               for i, column in enumerate(columns) if not column.gives_way)  # fmt: skip
    if kept - 2 <= wide:
        assert all(display_width(line) <= wide for line in lines)
    if kept - 2 <= wide and all(column.least is None or column.whole for column in columns):
        assert not any("…" in line for line in lines)
