"""A list is asked for by what the screen shows: whatever stands there finds its incident, and no other."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.actions.lists import follow_recent
from monitord.actions.workspace import Workspace
from monitord.model import Cause, Hotspot, Incident, TriggerMetric
from monitord.redaction.naming import display_name
from monitord.storage import SQLiteProfileStore
from monitord.storage.views import RecentFilter
from tests.cli.conftest import Cli, make_incident

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROGRAMS = (
    ("python3", ("python3", "/srv/app/spike.py")),
    ("java", ("java", "-jar", "/opt/shop.jar")),
    ("post'gres", ("postgres: writer",)),
    ("漢字\x1b[31m", ("漢字",)),
)
RULES, USERS = ("cpu-hog", "memory-growth", "o'rule"), ("alice", "bob", "al")
UNITS = ("nginx.service", "machine-web.scope", None)
FUNCTIONS = ("validate", "Basket.price", "validate_all", "<module>")
CAUSES = (None, "tight loop", "held lock", "unknown")


def generated(chance: random.Random) -> Incident:
    name, command_line = chance.choice(PROGRAMS)
    names = chance.sample(FUNCTIONS, 3)
    spots = tuple(
        Hotspot(name, "/srv/a.py", 2, share, 1.0) for name, share in zip(names, (0.7, 0.2, 0.01), strict=True)
    )
    user, kind = chance.choice(USERS), chance.choice(CAUSES)
    made = make_incident(
        name=name, command_line=command_line, user=user, hotspots=spots, pid=chance.choice((7, 8, 9)),
        metric=chance.choice((TriggerMetric.CPU, TriggerMetric.MEMORY)),
        at=NOW - timedelta(minutes=chance.randrange(90)),
    )  # fmt: skip
    assert made.process is not None
    return replace(
        made,
        alert=replace(made.alert, rule=chance.choice(RULES)),
        process=replace(made.process, user=user, unit=chance.choice(UNITS), cgroup="/system.slice/other"),
        cause=kind and Cause(kind, "it is so", "likely"),  # type: ignore[arg-type]  # None or a cause
    )


@pytest.fixture
def stored(store: SQLiteProfileStore) -> list[Incident]:
    chance = random.Random(13)
    made = [generated(chance) for _ in range(24)]
    for incident in made:
        store.save_incident(incident)
    for incident in made[::3]:
        store.pin(incident.correlation_id)
    return made


Holds = Callable[[Incident], Any]
SHOWN: dict[str, Holds] = {
    "--process": lambda one: display_name(one.alert.process_name, one.process.command_line),
    "--pid": lambda one: one.process.key.pid,
    "--metric": lambda one: one.alert.metric.value,
    "--rule": lambda one: one.alert.rule,
    "--user": lambda one: one.process.user,
    "--unit": lambda one: one.process.unit or one.process.cgroup,
    "--cause": lambda one: one.cause and one.cause.kind,
}


def found(here: Cli, *words: str) -> set[str]:
    answer = here("recent", "-n", "999", *words, "--json")
    assert answer.code in (0, 3), answer.err
    return {row["correlation_id"] for row in json.loads(answer.out)}


@pytest.mark.parametrize("flag", SHOWN)
def test_what_the_screen_shows_finds_the_incidents_that_show_it(
    flag: str, stored: list[Incident], here: Cli
) -> None:
    shown = SHOWN[flag]
    for value in {shown(one) for one in stored if shown(one) is not None}:
        assert found(here, flag, str(value)) == {
            one.correlation_id for one in stored if shown(one) == value
        }, value


def test_a_script_alone_finds_its_interpreter(stored: list[Incident], here: Cli) -> None:
    wanted = {one.correlation_id for one in stored if one.alert.process_name == "python3"}
    assert found(here, "--process", "spike.py") == found(here, "--process", "SPIKE*") == wanted != set()


@pytest.mark.parametrize(
    ("asked", "names"),
    [("validate_all", {"validate_all"}), ("valid", {"validate", "validate_all"}), ("*.price", {"Basket.price"}),
     ("no such function", set())],
)  # fmt: skip
def test_a_function_is_found_where_it_was_hot(
    asked: str, names: set[str], stored: list[Incident], here: Cli
) -> None:
    """The hottest, and what had at least 5 % of the time."""
    hot = {
        one.correlation_id
        for one in stored
        if names & {spot.function for spot in one.captures[1].hotspots if spot.self_share >= 0.05}
    }
    assert found(here, "--function", asked) == hot


def test_filters_narrow_each_other(stored: list[Incident], here: Cli) -> None:
    pinned = {one.correlation_id for one in stored[::3]}
    assert found(here, "--pinned") == pinned
    of_alice = found(here, "--user", "alice")
    assert found(here, "--user", "alice", "--pinned") == of_alice & pinned != of_alice
    by_rule = found(here, "--rule", "cpu-hog", "--unit", "nginx")
    assert by_rule == found(here, "--rule", "cpu-hog") & found(here, "--unit", "nginx") != set()


@pytest.mark.parametrize("command", ["recent", "hot"])
def test_a_rule_that_nobody_knows_is_told_with_those_there_are(
    command: str, stored: list[Incident], here: Cli
) -> None:
    """Also rules that only old incidents have; one that is configured and made nothing is no mistake."""
    answer = here(command, "--rule", "nope", "--since", "2020-01-01")
    assert (answer.code, answer.out) == (3, "")
    (line,) = answer.err.splitlines()
    assert line.startswith("monitord: cannot find rule 'nope'; there are: ")
    assert all(rule in line for rule in (*RULES, "memory-leak")), line
    assert json.loads(here(command, "--rule", "nope", "--json").out) == []
    assert here(command, "--rule", "out-of-memory").code == 0
    assert here(command, "--rule", "manual").code == 0  # an incident's own, though no rule's


def test_who_follows_a_rule_that_nobody_knows_is_told_the_same_at_once(
    stored: list[Incident], here: Cli, data_dir: Path, tmp_path: Path
) -> None:
    """It waited for ever for what can't come; a rule that only old incidents have is followed."""
    answer = here("recent", "-f", "--rule", "nope")
    assert answer == here("recent", "--rule", "nope", "--since", "2020-01-01")
    nobody_recorded = here("recent", "-f", "--rule", "nope", "--data-dir", str(tmp_path / "empty"))
    assert nobody_recorded.err.startswith("monitord: cannot find rule 'nope'; there are: cpu-hog, ")
    assert nobody_recorded.code == 3
    old = stored[0].alert.rule
    (tmp_path / "others.toml").write_text('[[rules]]\nname = "mine"\nmetric = "cpu"\nabove = 90\n')
    first = next(follow_recent(Workspace(data_dir, tmp_path / "others.toml"), RecentFilter(rule=old)))
    assert {record.rule for record in first} == {old}


@pytest.mark.parametrize(
    "words",
    [("--rule", "cpu-hog"), ("--user", "bob"), ("--unit", "web*"), ("--cause", "tight loop"), ("--pinned",)],
    ids=lambda words: words[0],
)
def test_hot_counts_in_the_incidents_that_recent_lists(
    words: tuple[str, ...], stored: list[Incident], here: Cli
) -> None:
    chosen = found(here, *words)
    period = ("--since", "2026-02-01")
    for row in json.loads(here("hot", "-n", "99", *period, *words, "--json").out):
        of_it = [
            one
            for one in stored
            if one.correlation_id in chosen
            and row["function"] in {spot.function for spot in one.captures[1].hotspots}
        ]
        assert row["incidents"] == len(of_it), row


def test_damaged_hotspots_hide_no_other_incident(stored: list[Incident], store: Any, here: Cli) -> None:
    broken = stored[0].correlation_id
    whole = found(here, "--function", "a")
    with store._transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE incident SET hotspots = '[{\"function\": 1}, 7' WHERE correlation_id = ?", (broken,)
        )
    assert found(here, "--function", "a") == whole - {broken} != set()
