"""The machine at a moment of the past: what was read, who led, which incident; what is unknown is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.actions.moment_shapes import CSV_KEYS, moment_cells, moment_row
from monitord.actions.moments import moment, moments
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.model import Incident
from monitord.storage import SQLiteProfileStore
from tests.pasts import BEGAN, BURNER, Past

UNKNOWN: dict[str, tuple[Callable[[Past], Past], str]] = {
    "asleep": (lambda past: past.sleeps(3600), "the machine was asleep"),
    "stopped": (lambda past: past.stops(3600), "nobody recorded"),
    "stopped for a moment": (lambda past: past.stops(20), "nobody recorded"),
    "restarted": (lambda past: past.stops(3600, reboots=True), "the machine was restarted"),
    "clock set ahead": (lambda past: past.sets_clock(3600), "the clock was set"),
    "not stored": (lambda past: past.loses(3600), "no history was kept"),
}


def keep(store: SQLiteProfileStore, past: Past) -> None:
    for batch in past.batches():
        store.add_history(batch)


@pytest.fixture
def workspace(data_dir: Path) -> Workspace:
    return Workspace(data_dir)


def test_a_moment_is_what_was_last_read_before_it(store: SQLiteProfileStore, workspace: Workspace) -> None:
    past = Past().looks(60).looks(60, percent=20.0)
    keep(store, past)
    found = moment(workspace, BEGAN + timedelta(seconds=70))
    assert found.taken_at == BEGAN + timedelta(seconds=60)
    assert found.totals is not None
    assert (found.totals.machine_percent, found.totals.disk_bytes_per_s) == (20.0, 1000.0)
    assert found.totals.network_bytes_per_s == 2000.0
    assert [one.pid for one in found.leaders] == [BURNER, 99]
    assert found.unknown is None


@pytest.mark.parametrize("kind", UNKNOWN)
def test_nothing_is_told_of_a_stretch_that_nobody_saw_and_why_is_said(
    kind: str, store: SQLiteProfileStore, workspace: Workspace
) -> None:
    happens, reason = UNKNOWN[kind]
    past = Past().looks(120)
    last = past.passes[-1].taken_at
    happens(past).looks(120)
    keep(store, past)
    first = past.passes[8].taken_at
    between = last + (first - last) / 2
    found = moment(workspace, between)
    assert (found.taken_at, found.totals, found.leaders) == (None, None, ())
    assert found.unknown is not None
    assert (found.unknown.since, found.unknown.until) == (last, first)
    assert found.unknown.reason.startswith(reason)
    assert moment(workspace, last).unknown is None
    after = moment(workspace, first)
    assert after.totals is not None
    is_gap = past.passes[8].gap is not None
    assert (after.totals.machine_percent is None) is is_gap, "a gap's average is nobody's reading"


def test_of_a_time_that_was_recorded_twice_the_later_recording_is_told(
    store: SQLiteProfileStore, workspace: Workspace
) -> None:
    past = Past().looks(600, percent=5.0).sets_clock(-300).looks(600, percent=50.0)
    keep(store, past)
    found = moment(workspace, BEGAN + timedelta(seconds=450))
    assert found.totals is not None
    assert found.totals.machine_percent == 50.0
    assert "set back" in found.notes[-1]


def test_before_and_after_what_is_stored_nothing_is_known(
    store: SQLiteProfileStore, workspace: Workspace
) -> None:
    keep(store, Past().looks(120))
    early, late = (moment(workspace, BEGAN + timedelta(hours=hours)) for hours in (-1, 1))
    assert early.unknown is not None
    assert late.unknown is not None
    assert (early.unknown.until, early.unknown.reason) == (BEGAN, "history begins later")
    assert late.unknown.reason == "nobody recorded since then"


def test_a_store_without_history_says_so(store: SQLiteProfileStore, workspace: Workspace) -> None:
    found = moment(workspace, BEGAN)
    assert found.unknown is not None
    assert found.unknown.reason == "no history is stored"


def test_a_row_a_step_tells_the_busiest_pass_or_why_there_is_none(
    store: SQLiteProfileStore, workspace: Workspace
) -> None:
    past = Past().looks(240).looks(60, percent=90.0).sleeps(600).looks(300)
    keep(store, past)
    found = list(moments(workspace, BEGAN, BEGAN + timedelta(seconds=1200), 300))
    assert [one.at for one in found] == [BEGAN + timedelta(seconds=300 * n) for n in range(4)]
    told = [one.totals.machine_percent if one.totals else None for one in found]
    assert told == [90.0, None, None, 10.0]
    assert [one.unknown.reason if one.unknown else None for one in found[1:3]] == [
        "the machine was asleep"
    ] * 2


@pytest.mark.parametrize(("step_s", "seconds"), [(0.0, 60), (-1.0, 60), (1.0, 20_000), (1.0, 0)])
def test_a_senseless_step_is_refused(step_s: float, seconds: int, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="invalid"):
        list(moments(workspace, BEGAN, BEGAN + timedelta(seconds=seconds), step_s))


def test_incidents_of_the_moment_name_the_functions_of_who_led(
    store: SQLiteProfileStore, workspace: Workspace, new_incident: Callable[..., Incident]
) -> None:
    keep(store, Past().looks(1800))
    incident = new_incident(pid=BURNER, at=BEGAN + timedelta(seconds=900))
    store.save_incident(incident)
    inside = moment(workspace, BEGAN + timedelta(seconds=905))
    assert [one.correlation_id for one in inside.incidents] == [incident.correlation_id]
    assert inside.functions[0].function == "fibonacci"
    assert {one.pid: one.function for one in inside.leaders} == {BURNER: "fibonacci", 99: None}
    for seconds in (800, 1000):
        outside = moment(workspace, BEGAN + timedelta(seconds=seconds))
        assert (outside.incidents, outside.functions) == ((), ())


def test_a_moment_is_plain_data_with_the_same_keys_whatever_is_known(
    store: SQLiteProfileStore, workspace: Workspace
) -> None:
    keep(store, Past().looks(120))
    known, unknown = (moment(workspace, BEGAN + timedelta(hours=hours)) for hours in (0, -1))
    rows = [json.loads(json.dumps(moment_row(one))) for one in (known, unknown)]
    assert list(rows[0]) == list(rows[1])
    assert rows[0]["leaders"][0]["name"] == "burner"
    assert rows[1]["unknown"]["reason"] == "history begins later"
    for one in (known, unknown):
        assert tuple(moment_cells(one)) == CSV_KEYS


def test_a_reading_stands_for_some_steps_and_no_longer(
    store: SQLiteProfileStore, workspace: Workspace
) -> None:
    """Of two-second passes half a minute that is missing is unknown; so is what was not handed over yet."""
    past = Past(at=datetime.now(UTC) - timedelta(seconds=160)).looks(60, step_s=2.0).loses(30)
    last = past.passes[-1].taken_at
    past.looks(60, step_s=2.0)
    keep(store, past)
    assert moment(workspace, last).unknown is None
    lost = moment(workspace, last + timedelta(seconds=15)).unknown
    assert lost is not None
    assert lost.reason == "no history was kept"
    newest = past.passes[-1].taken_at
    assert moment(workspace, newest + timedelta(seconds=1)).unknown is None
    waiting = moment(workspace, newest + timedelta(seconds=11)).unknown
    assert waiting is not None
    assert waiting.reason.startswith("not stored yet")
