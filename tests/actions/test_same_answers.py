"""The command line and the assistants' server answer the same question with the same rows in the same order."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.mcp_server.server import READING
from monitord.model import Cause, Hotspot, Incident, ProcessKey, RuleStatus, Threshold, TriggerMetric
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.mcp_server.talking import Asker, over_stdio
from tests.planting import HOSTILE

NOW = datetime.now(UTC) - timedelta(minutes=2)
NAMES = ("python3", "nginx", *(text[:300] for text in HOSTILE.values()))
FOLDED = "main (/srv/a.py:1);{name} (/srv/a.py:2) {samples}\nmain (/srv/a.py:1) 40\n"


def generated_incident(chance: random.Random) -> Incident:
    """One of few moments, processes and functions, so that many are equal in what lists are ordered by."""
    name = chance.choice(NAMES)
    spots = tuple(
        Hotspot(f"f{chance.randrange(4)}", "/srv/a.py", 2, share, share, module=chance.choice((None, "a")))
        for share in (0.5, 0.25, 0.25)
    )
    made = make_incident(
        name=name,
        pid=chance.choice((7, 8)),
        metric=chance.choice((TriggerMetric.CPU, TriggerMetric.MEMORY)),
        at=NOW - timedelta(minutes=chance.randrange(4)),
        command_line=(name, "--flag"),
        reason=name or "x",
        hotspots=spots,
    )
    payload = FOLDED.format(name=spots[0].function, samples=chance.randrange(50, 90)).encode()
    captures = tuple(
        replace(one, format="folded", payload=payload) if one.format == "speedscope" else one
        for one in made.captures
    )
    cause = Cause("lock", "it waits", "likely") if chance.random() < 0.5 else None
    return replace(made, captures=captures, cause=cause)


@pytest.fixture(scope="module", params=range(2))
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with generated incidents, some pinned, some with notes, and a recorder's word on its rules."""
    chance = random.Random(request.param)
    folder = tmp_path_factory.mktemp("same") / "data"
    store = open_store(folder)
    for _ in range(24):
        incident = generated_incident(chance)
        store.save_incident(incident)
        if chance.random() < 0.3:
            store.pin(incident.correlation_id, True)
        if chance.random() < 0.3:
            store.add_note(incident.correlation_id, chance.choice(NAMES) or "x", NOW)
    store.close()
    report(folder)
    return folder


@pytest.fixture
def data_dir(filled: Path) -> Path:
    return filled


@pytest.fixture(scope="module")
def asker(filled: Path) -> Iterator[Asker]:
    with over_stdio(filled, "--raw") as connected:
        yield connected


def report(folder: Path) -> None:
    """What a recorder says of itself and its rules, of this moment: after a minute it would be silent."""
    states = [
        RuleStatus(
            name, TriggerMetric.CPU, Threshold(90.0, "percent"), 10.0, "armed", ProcessKey(7, 7), "x", (9.0,)
        )
        for name in ("cpu-hog", "io-storm", "cpu-hog")
    ]
    moment = datetime.now(UTC)
    write_status(
        folder,
        {"rules": [asdict(one) for one in states], "rules_taken_at": moment, "taken_at": moment, "pid": 1},
    )


@contextmanager
def recording(folder: Path) -> Iterator[None]:
    report(folder)
    with hold(folder / DAEMON_LOCK, "taken"):
        yield


Ask = Callable[..., Any]


@pytest.fixture
def printed(here: Callable[..., Any]) -> Ask:
    """What a command says as JSON."""

    def ask(*words: str) -> Any:
        answer = here(*words, "--json")
        assert answer.code in (0, 3), answer.err
        return json.loads(answer.out)

    return ask


def pages(asker: Asker, tool: str, **words: Any) -> list[dict[str, Any]]:
    """All rows of a tool that is asked until it has no more."""
    rows: list[dict[str, Any]] = []
    cursor = None
    while True:
        told = asker.told(tool, {**words, "limit": 7, **({"cursor": cursor} if cursor else {})})
        rows += told["rows"]
        cursor = told["next_cursor"]
        if cursor is None:
            return rows


def same(told: list[dict[str, Any]], said: list[dict[str, Any]], *names: str, without: str = "") -> None:
    """Equal in keys, in number, and in what identifies a row, one after another."""
    assert [[row[name] for name in names] for row in told] == [[row[name] for name in names] for row in said]
    assert [list(row) for row in told] == [[key for key in row if key != without] for row in said]
    assert said, "nothing was compared"


SINCE = (NOW - timedelta(minutes=2)).isoformat()
FILTERS = (
    *({}, {"process": "pyth"}, {"pid": 7}, {"since": SINCE}, {"metric": "memory"}, {"rule": "cpu-hog"}),
    *({"user": "alice"}, {"unit": "app"}, {"function": "f1"}, {"cause": "lock"}, {"pinned": True}),
)


def flags_of(words: dict[str, Any]) -> list[str]:
    """The same words on the command line."""
    told = [(f"--{name}", [] if value is True else [str(value)]) for name, value in words.items()]
    return [part for flag, values in told for part in (flag, *values)]


@pytest.mark.parametrize("words", FILTERS, ids=lambda words: next(iter(words), "all"))
def test_recent_incidents(words: dict[str, Any], asker: Asker, printed: Ask) -> None:
    flags = flags_of(words)
    said = printed("recent", "-n", "1000", *flags)
    for row in said:
        if row["times_this_week"] is not None:  # which an assistant is told once
            assert row.pop("times_this_week_at_least") == row["times_this_week"]
    same(
        pages(asker, "recent_anomalies", **words),
        said,
        *("id", "correlation_id", "pinned", "raised_at"),
        without="reason",
    )


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ({}, ()),
        ({"event_type": "hotspot"}, ("--type", "hotspot")),
        ({"process": "ngin"}, ("--process", "ngin")),
        ({"pid": 8, "function": "f1"}, ("--pid", "8", "--function", "f1")),
    ],
    ids=str,
)
def test_events(words: dict[str, Any], flags: tuple[str, ...], asker: Asker, printed: Ask) -> None:
    same(
        pages(asker, "query_events", **words),
        printed("events", "-n", "10000", *flags),
        "id",
        "event_type",
        "pid",
    )


@pytest.mark.parametrize(
    "words",
    [
        *({}, {"module": "a"}, {"process": "nginx"}, {"rule": "cpu-hog"}, {"user": "alice"}),
        *({"cause": "lock"}, {"pinned": True}, {"unit": "app"}),
    ],
    ids=str,
)
def test_hot_functions(words: dict[str, Any], asker: Asker, printed: Ask) -> None:
    flags = flags_of(words)
    told = asker.told("top_functions", {**words, "limit": 50})["rows"]
    same(told, printed("hot", "-n", "50", *flags), "function", "module", "incidents", "last_incident")


def test_one_incident(asker: Asker, printed: Ask) -> None:
    for row in printed("recent", "-n", "6"):
        name = row["correlation_id"]
        told, said = asker.told("get_incident", {"id": name})["incident"], printed("show", name)
        assert list(told) == [key for key in said if key != "pending"]
        same(told["captures"], said["captures"], "id", "role", "status", without="notes")
        same(told["hotspots"], said["hotspots"][:10], "function", "self_share")
        assert [one["taken_at"] for one in told["history"]] == [one["taken_at"] for one in said["history"]]
        sentences = asker.told("explain_incident", {"id": name})["sentences"]
        same(sentences, printed("explain", name)["sentences"], "about")
        same(asker.told("get_profile", {"id": name})["functions"], said["hotspots"], "function", "self_share")


def test_incidents_like_one(asker: Asker, printed: Ask) -> None:
    for row in printed("recent", "-n", "6"):
        name = row["correlation_id"]
        told = asker.told("similar_incidents", {"id": name, "limit": 50})["rows"]
        same(told, printed("similar", name, "-n", "50"), "correlation_id", "agrees", "cause")


def test_what_changed(asker: Asker, printed: Ask) -> None:
    first, second, third = (row["correlation_id"] for row in printed("recent", "-n", "3"))
    for before, after in ((first, second), (second, third), (third, third)):
        told = asker.told("compare_profiles", {"before": before, "after": after, "limit": 50})
        said = printed("compare", before, after)
        assert (told["before"], told["after"]) == (before, after)
        shown = {one["function"] for one in told["differences"]}
        moved = [one for one in said["differences"] if one["function"] in shown]
        assert [one["function"] for one in told["differences"]] == [one["function"] for one in moved]
        assert [list(one) for one in told["differences"]] == [list(one) for one in moved]
        real = {
            one["function"] for one in said["differences"] if not one["is_noise"] and one["verdict"] != "same"
        }
        assert real <= shown


def test_how_the_rules_stand(filled: Path, asker: Asker, printed: Ask, here: Ask) -> None:
    with recording(filled):
        told = asker.told("rules_status", {"rule": "cpu-hog"})["rows"]
        same(told, printed("explain", "--rule", "cpu-hog"), "rule", "pid", "state", "source")
        assert [row["rule"] for row in asker.told("rules_status")["rows"]] == [
            "cpu-hog",
            "io-storm",
            "cpu-hog",
        ]
        assert asker.told("rules_status")["trouble"] is None
        for name in ("cpu-hog\n", "nothing"):
            answer, said = asker.call("rules_status", {"rule": name}), here("explain", "--rule", name)
            assert answer.is_error
            assert "cannot find rule" in answer.content[0].text
            assert said.code == 3
    assert asker.told("rules_status")["rows"] == []  # `explain` then looks for itself


@pytest.mark.parametrize(("tool", "command"), [("recent_anomalies", "recent"), ("top_functions", "hot")])
def test_a_rule_that_nobody_knows(tool: str, command: str, asker: Asker, here: Ask) -> None:
    answer, said = asker.call(tool, {"rule": "nope"}), here(command, "--rule", "nope")
    assert answer.is_error
    assert said.code == 3
    told = answer.content[0].text.partition(": ")[2]
    assert told.startswith("cannot find rule 'nope'; there are: cpu-hog, ")
    assert said.err == f"monitord: {told}\n"


def test_how_the_recorder_is(filled: Path, asker: Asker, printed: Ask) -> None:
    with recording(filled):
        told, said = asker.told("system_now"), printed("status")
    assert told["is_recording"] is said["running"] is True
    assert set(told["status"]) <= set(said)


def test_every_question_of_the_server_is_compared() -> None:
    """A new tool is put here, or named with the reason why the command line does not answer it."""
    compared = {
        *("recent_anomalies", "query_events", "top_functions", "get_incident", "explain_incident"),
        *("get_profile", "compare_profiles", "rules_status", "system_now", "similar_incidents"),
    }
    of_the_server_alone = {"what_happened"}  # a person asks `recent`, `events` and `hot` one after another
    of_a_recorder = {"take_snapshot"}  # each is a new incident: tests/flow/test_snapshot.py
    assert set(READING) == compared | of_the_server_alone | of_a_recorder
