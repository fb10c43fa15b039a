"""How the rules and the recorder stand, on one page each: with a recorder, with none, with no store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.actions import recorder
from monitord.actions.rules import board
from monitord.actions.workspace import Workspace
from monitord.model import RuleStatus, Threshold, TriggerMetric
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.cli.test_recorder import recorder as running
from tests.fakes import START


@pytest.fixture
def workspace(data_dir: Path) -> Workspace:
    store = open_store(data_dir)
    for hours in (0, 1, 30):
        store.save_incident(make_incident(at=START + timedelta(hours=hours), pid=100 + hours))
    store.close()
    return Workspace(data_dir)


def a_status(rule: str, state: str, pid: int) -> dict[str, object]:
    status = RuleStatus(
        rule, TriggerMetric.CPU, Threshold(90.0, "percent"), 10.0, state, seen_at=datetime.now(UTC)
    )
    told = {name: getattr(status, name) for name in RuleStatus.__slots__}
    seen_at = status.seen_at and status.seen_at.isoformat()
    return {
        **told,
        "metric": "cpu", "threshold": {"value": 90.0, "unit": "percent"}, "seen_at": seen_at,
        "target": {"pid": pid, "start_ticks": 1}, "process_name": "burn",
    }  # fmt: skip


def test_each_rule_stands_beside_what_it_made_in_the_period(workspace: Workspace) -> None:
    """Rules in their order, with the incidents of the period alone; nobody records, so no state is told."""
    rows = [one.as_json() for one in board(workspace, START, START + timedelta(hours=2))]
    assert [row["name"] for row in rows] == [rule.name for rule in workspace.settings.rules]
    hog = rows[0]
    assert (hog["name"], hog["incidents"], hog["state"]) == ("cpu-hog", 2, None)
    assert hog["last_at"] == "2026-11-20T04:00:00.000Z"
    assert hog["highest_severity"] > 1
    assert json.loads(json.dumps(rows)) == rows
    assert {row["state"] for row in rows if not row["rule"]["enabled"]} == {"disabled"}


def test_the_state_of_many_targets_is_the_loudest(workspace: Workspace, data_dir: Path) -> None:
    """A rule that fires for one process and cools down for another is shown as firing."""
    told = [
        a_status("cpu-hog", "cooling_down", 7),
        a_status("cpu-hog", "firing", 8),
        a_status("cpu-hog", "armed", 9),
    ]
    with running(data_dir, rules=told, rules_taken_at=datetime.now(UTC).isoformat()):
        hog = board(workspace, None, None)[0].as_json()
    assert hog["state"] == "firing"
    assert sorted(one["pid"] for one in hog["standing"]) == [7, 8, 9]
    assert hog["incidents"] == 3


def test_a_rule_that_is_configured_no_more_keeps_its_incidents(workspace: Workspace, tmp_path: Path) -> None:
    """What it made is told after the rules in force."""
    config = tmp_path / "config.toml"
    config.write_text(
        '[detection]\ndefault_rules = false\n[[rules]]\nname = "mine"\nmetric = "cpu"\nabove = 5\n'
    )
    rows = [one.as_json() for one in board(Workspace(workspace.data_dir, config), None, None)]
    assert [(row["name"], row["incidents"], row["rule"] is None) for row in rows] == [
        ("mine", 0, False),
        ("cpu-hog", 3, True),
    ]


def test_without_a_store_the_rules_stand_all_the_same(data_dir: Path) -> None:
    """Before anything was recorded one can look at the rules."""
    assert {one.as_json()["incidents"] for one in board(Workspace(data_dir), None, None)} == {0}


def test_the_recorder_is_told_with_its_store(workspace: Workspace, data_dir: Path) -> None:
    """One that runs: its cost, jobs and degradations as it said them; and how much is stored."""
    with running(
        data_dir, degraded=["artefacts wait here: no route"], own_cpu_percent=0.07, jobs={"retention": {}}
    ):
        told = recorder.overview(workspace).as_json()
    assert told["running"] is True
    assert told["problem"] is None
    assert "artefacts wait here: no route" in told["trouble"]
    assert (told["status"]["own_cpu_percent"], told["status"]["jobs"]) == (0.07, {"retention": {}})
    assert told["counts"]["incidents"] == 3
    assert told["usage"]["total_bytes"] > 0
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("has_store", [True, False])
def test_where_nobody_records_it_says_why_and_what_to_type(has_store: bool, data_dir: Path) -> None:
    """No recorder and even no store are a page with one sentence, and no error."""
    if has_store:
        open_store(data_dir).close()
    told = recorder.overview(Workspace(data_dir)).as_json()
    assert told["running"] is False
    assert "start it with" in told["problem"]
    assert (told["counts"] is None) == (not has_store)
