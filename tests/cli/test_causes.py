"""A cause stands first where an incident is told, and is a word in every list; unknown is said to be unknown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from monitord.model import Cause, Incident
from monitord.storage import SQLiteProfileStore
from tests.cli.conftest import Cli

Maker = Callable[..., Incident]
LOOP = Cause(
    "tight loop", "spin (app.py:3) spends 97 % of the time on its own lines", "likely", "allocation",
    "a longer profile", (("spin", "97 % of 980 samples"), ("page faults", "3 a second")),
)  # fmt: skip
UNKNOWN = Cause(
    "unknown", "the cause is not known: two classes are near each other", "unknown", "lock", "perf"
)


@pytest.fixture
def told(store: SQLiteProfileStore, new_incident: Maker) -> dict[str, str]:
    """Three incidents: with a cause, with an unknown one, and one for which nobody looked for any."""
    found = {}
    for name, cause in (("known", LOOP), ("unknown", UNKNOWN), ("none", None)):
        incident = replace(new_incident(name=name), cause=cause)
        store.save_incident(incident)
        found[name] = incident.correlation_id
    return found


def test_show_begins_with_the_cause_and_says_what_speaks_for_it(here: Cli, told: dict[str, str]) -> None:
    lines = here("show", told["known"], "--no-pager").out.splitlines()
    assert lines[0] == "known: spin (app.py:3) spends 97 % of the time on its own lines; tight loop (likely)"
    at = lines.index("What speaks for it")
    assert [line.split() for line in lines[at + 1 : at + 5]] == [
        ["or", "else", "allocation"],
        ["decided", "by", "a", "longer", "profile"],
        ["spin", "97", "%", "of", "980", "samples"],
        ["page", "faults:", "3", "a", "second"],
    ]
    unknown = here("show", told["unknown"], "--no-pager").out
    assert unknown.startswith("fibonacci (numbers.py:12) took 61 % of unknown for 10 s\n")
    assert "The cause\n  unknown    two classes are near each other\n" in unknown
    assert "cause" not in here("show", told["none"], "--no-pager").out


def test_explain_begins_with_the_cause(here: Cli, told: dict[str, str]) -> None:
    said = json.loads(here("explain", told["known"], "--json").out)["sentences"]
    assert said[0]["about"] == "cause"
    assert said[0]["text"].startswith("Cause: tight loop: spin (app.py:3) spends 97 %")
    assert said[0]["evidence"] == ["spin: 97 % of 980 samples", "page faults: 3 a second"]
    assert "It may be allocation instead." in here("explain", told["known"]).out
    assert "What would decide: perf." in here("explain", told["unknown"]).out


def test_what_is_certain_may_be_nothing_else(
    here: Cli, store: SQLiteProfileStore, new_incident: Maker
) -> None:
    """No runner-up is told beside it anywhere, though a store of before holds one."""
    sure = replace(LOOP, confidence="certain")
    object.__setattr__(sure, "runner_up", "allocation")
    incident = replace(new_incident(name="sure"), cause=sure)
    store.save_incident(incident)
    name = incident.correlation_id
    for words in (
        ("show", name, "--no-pager"),
        ("show", name, "--json"),
        ("explain", name),
        ("summary", name),
        ("export", name, "--format", "report", "-o", "-"),
        ("export", name, "--format", "json"),
    ):
        said = here(*words).out
        assert "spends 97 %" in said, words
        assert "allocation" not in said, words


def test_programs_get_the_class_in_lists_and_all_of_it_with_the_incident(
    here: Cli, told: dict[str, str]
) -> None:
    listed = {row["process_name"]: row["cause"] for row in json.loads(here("recent", "--json").out)}
    assert listed == {"known": "tight loop", "unknown": "unknown", "none": None}
    sheet = list(csv.DictReader(io.StringIO(here("recent", "-o", "csv").out)))
    assert {row["process_name"]: row["cause"] for row in sheet}["known"] == "tight loop"
    assert json.loads(here("show", told["known"], "--json").out)["cause"] == {
        "kind": "tight loop", "sentence": LOOP.sentence, "confidence": "likely", "runner_up": "allocation",
        "decides": "a longer profile",
        "evidence": [
            {"label": "spin", "text": "97 % of 980 samples"}, {"label": "page faults", "text": "3 a second"},
        ],
    }  # fmt: skip
    assert json.loads(here("show", told["none"], "--json").out)["cause"] is None
    exported = list(csv.DictReader(io.StringIO(here("export", told["known"], "--format", "csv").out)))
    assert (exported[0]["cause"], exported[0]["cause_sentence"]) == ("tight loop", LOOP.sentence)
    events = json.loads(here("events", "--type", "alert", "--json").out)
    assert {event["payload"].get("cause") for event in events} == {"tight loop", "unknown", None}


def test_incidents_are_found_by_their_cause(here: Cli, told: dict[str, str]) -> None:
    for kind, name in (("tight loop", "known"), ("unknown", "unknown")):
        (row,) = json.loads(here("recent", "--cause", kind, "--json").out)
        assert row["process_name"] == name
    assert json.loads(here("recent", "--cause", "loop", "--json").out) == []


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_the_table_says_function_and_cause_and_one_alone_where_the_other_is_not_known(
    columns: int, here: Cli, store: SQLiteProfileStore, new_incident: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    made = {
        "fibonacci, tight loop": replace(new_incident(), cause=LOOP),
        "fibonacci": replace(new_incident(), cause=UNKNOWN),
        "tight loop": replace(new_incident(hotspots=()), cause=LOOP),
        "": new_incident(hotspots=()),
    }
    for incident in made.values():
        store.save_incident(incident)
    header, *rows = here("recent").out.splitlines()
    at = header.index("WHAT")
    shown = {row[:8]: row[at:] for row in rows}
    for text, incident in made.items():
        told = shown[incident.correlation_id[:8]]
        assert told == text or (told.endswith("…") and text.startswith(told[:-1]) and len(told) >= 10)


def test_a_summary_keeps_its_cause(here: Cli, store: SQLiteProfileStore, told: dict[str, str]) -> None:
    store.drop_evidence([told["known"]])
    assert "; tight loop (likely)\n" in here("show", told["known"], "--no-pager").out


def test_names_in_a_cause_are_escaped(here: Cli, store: SQLiteProfileStore, new_incident: Maker) -> None:
    evil = "x\x1b[2J\n\u202egnp\udcff"
    cause = Cause(evil, f"{evil} spins", "likely", evil, evil, ((evil, evil),))
    incident = replace(new_incident(), cause=cause)
    store.save_incident(incident)
    for words in (
        ("show", incident.correlation_id, "--no-pager"),
        ("explain", incident.correlation_id),
        ("recent",),
    ):
        out = here(*words).out
        assert "\x1b[2J" not in out
        assert "\u202e" not in out
        out.encode()
