"""Every table and page stays within the screen, whatever the processes call themselves; the function stays on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitord.cli.explain import _Finding, _table
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
# Free texts of one line each, which a person copies whole, and text that is not for the eye.
COPIED = ("fix: ", "monitord ")


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
        ("storage", "status"), ("doctor",),
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
            if display_width(line) > columns and not any(word in line for word in COPIED) and "/" not in line
        ]
        assert answer.code in (0, 1), (words, answer.err)
        assert not wide, (columns, words, wide)


@pytest.mark.parametrize("columns", SCREENS)
def test_recent_keeps_the_incident_the_process_and_the_function(
    columns: int, filled: str, here, monkeypatch
) -> None:
    """AGE and PID give way first; which incident, who and in which function never do."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = here("recent", "-n", "99").out.splitlines()
    for title in ("ID", "PROCESS", "VALUE", "HOTTEST"):
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
    first = here("show", incident.correlation_id).out.splitlines()[:23]
    assert any("61 % in fibonacci" in line for line in first)


@pytest.mark.parametrize("columns", SCREENS)
def test_the_standing_of_the_rules_stays_within_the_screen(columns: int) -> None:
    """Whatever holds a rule back, whoever is nearest to it."""
    status = RuleStatus(
        rule="a-rule-with-a-long-name", metric=TriggerMetric.CPU, state="cooling_down",
        target=ProcessKey(4_000_000, 1), process_name=HOSTILE, last_values=(1.0, 97.0, 98.0),
        threshold=Threshold(90.0, "percent"), distance=-8.0, seen_at=datetime.now(UTC), window_s=10.0,
        suppressed_by="cooling down for another 250 s after " + HOSTILE,
    )  # fmt: skip
    lines = list(_table([_Finding(status, "daemon")], Style(), columns))
    assert all(display_width(line) <= columns for line in lines)
    for title in ("RULE", "STATE", "PROCESS", "NOW"):
        assert title[:3] in lines[0]
