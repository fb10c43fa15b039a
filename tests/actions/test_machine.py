"""The machine over time: points that fit a chart, gaps that stay gaps, and who ran in a span."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.actions.machine import MOST_POINTS, SERIES, course
from monitord.actions.machine_spans import MOST_LISTED, MOST_PROCESSES, span
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, UsageError
from monitord.model import ProcessKey, Rates
from monitord.storage import open_store
from monitord.storage.thinning import COARSE_S
from tests.cli.conftest import make_incident
from tests.fakes import START, a_process, some_rates


def after(seconds: float):
    return START + timedelta(seconds=seconds)


def stored(data_dir: Path, passes: Iterable[Rates]) -> Workspace:
    store = open_store(data_dir)
    store.add_history(list(passes), step_s=COARSE_S)
    store.close()
    return Workspace(data_dir)


def test_a_point_has_the_highest_value_of_its_step(data_dir: Path) -> None:
    """However few the points, a peak of one pass among hundreds stays on the chart."""
    passes = [some_rates(2.0 * i, machine_percent=100.0 if i == 333 else 5.0) for i in range(500)]
    found = course(stored(data_dir, passes), START, after(1000), points=20)
    assert len(found.at_s) <= 20
    assert max(found.values["machine_percent"]) == 100.0
    assert sorted(found.values["machine_percent"])[:-1] == [5.0] * (len(found.at_s) - 1)
    assert list(found.at_s) == sorted(found.at_s)


def test_time_of_which_nothing_is_stored_is_empty_and_no_line_crosses_it(data_dir: Path) -> None:
    """Between two stretches of recording stands a point without values, in every series."""
    passes = [some_rates(2.0 * i) for i in (*range(10), *range(500, 510))]
    found = course(stored(data_dir, passes), START, after(1020), points=510)
    for name in SERIES:
        assert found.values[name].count(None) >= 1
        assert len(found.values[name]) == len(found.at_s)
    assert found.values["machine_percent"].count(None) == 1


def test_points_are_bounded_and_a_period_must_go_forward(data_dir: Path) -> None:
    """No question makes more points than a screen can show, and none goes backwards."""
    workspace = stored(data_dir, [some_rates(0.5 * i) for i in range(MOST_POINTS * 2)])
    assert len(course(workspace, START, after(MOST_POINTS), points=10**9).at_s) <= MOST_POINTS
    for ask in (course, span):
        with pytest.raises(UsageError):
            ask(workspace, after(10), START)


def test_an_empty_store_and_none_are_told_apart(data_dir: Path) -> None:
    """A store without history gives an empty course; without a store there is an error that says what to type."""
    with pytest.raises(NotFoundError):
        course(Workspace(data_dir), START, after(60))
    workspace = stored(data_dir, [])
    found = course(workspace, START, after(60))
    assert (found.at_s, found.stored, found.incidents) == ([], None, [])
    assert span(workspace, START, after(60)).passes == 0


def test_stored_says_from_when_to_when_there_is_history(data_dir: Path) -> None:
    """A page can offer all that there is."""
    workspace = stored(data_dir, [some_rates(2.0 * i) for i in range(40)])
    assert course(workspace, after(10), after(20)).stored == (START, after(78))


def test_who_ran_is_ranked_by_the_cpu_that_they_used_in_the_span_alone(data_dir: Path) -> None:
    """CPU seconds are the percent times the time since the stored pass before, within the span."""
    early, late = (
        a_process(ProcessKey(pid, pid), cpu, name=name)
        for pid, cpu, name in ((7, 100.0, "early"), (8, 50.0, "late"))
    )
    passes = [some_rates(10.0 * i, [early if i < 10 else late]) for i in range(20)]
    workspace = stored(data_dir, passes)
    whole = span(workspace, START, after(200))
    assert [(one["name"], one["highest_cpu_percent"]) for one in whole.processes] == [
        ("early", 100.0),
        ("late", 50.0),
    ]
    assert whole.processes[0]["cpu_seconds"] == pytest.approx(90, abs=3)
    half = span(workspace, after(100), after(200))
    assert [one["name"] for one in half.processes] == ["late"]
    assert half.processes[0]["cpu_seconds"] == pytest.approx(45, abs=6)
    assert half.seconds <= 100


def test_a_pause_of_the_recorder_counts_for_nobody(data_dir: Path) -> None:
    """A process that was busy before and after an hour of which nothing is stored was not busy for an hour."""
    passes = [some_rates(at_s, [a_process(cpu_percent=100.0)]) for at_s in (0.0, 2.0, 3600.0, 3602.0)]
    (one,) = span(stored(data_dir, passes), START, after(4000)).processes
    assert one["cpu_seconds"] < 20


def test_a_span_has_the_functions_and_the_incidents_that_fell_into_it(data_dir: Path) -> None:
    """Hot functions of an incident in the span are told, of one outside they are not."""
    store = open_store(data_dir)
    inside, outside = make_incident(at=after(50)), make_incident(at=after(500), pid=99)
    store.save_incident(inside)
    store.save_incident(outside)
    store.close()
    workspace = stored(data_dir, [some_rates(10.0 * i, [a_process()]) for i in range(10)])
    found = span(workspace, START, after(100))
    assert [one["correlation_id"] for one in found.incidents] == [inside.correlation_id]
    assert found.functions[0]["function"] == "fibonacci"
    assert json.loads(json.dumps(found.as_json()))["passes"] == 10
    empty = span(workspace, after(600), after(700))
    assert empty.functions == []
    assert "no function is stored of it" in empty.limits[-1]


def test_lists_are_bounded_and_say_what_is_left_out(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many incidents and processes the newest and the busiest are told, and how many more there were."""
    monkeypatch.setattr("monitord.actions.machine_spans.MOST_LISTED", 2)
    monkeypatch.setattr("monitord.actions.machine_spans.MOST_PROCESSES", 3)
    assert (MOST_LISTED, MOST_PROCESSES) == (100, 100)
    store = open_store(data_dir)
    for number in range(5):
        store.save_incident(make_incident(at=after(number), pid=100 + number))
    store.close()
    passes = [some_rates(2.0 * i, [a_process(ProcessKey(i + 1, i), name=f"p{i}")]) for i in range(8)]
    found = span(stored(data_dir, passes), START, after(100))
    assert (len(found.incidents), found.incidents_left_out) == (2, 3)
    assert (len(found.processes), found.processes_left_out) == (3, 5)


def test_passes_without_processes_count_for_the_machine_alone(data_dir: Path) -> None:
    """The machine every two seconds, its processes every ten: both add up to the whole span, and none counts twice."""
    busy = a_process(cpu_percent=50.0)
    passes = [some_rates(float(second), [busy] if second % 10 == 0 else []) for second in range(0, 101, 2)]
    found = span(stored(data_dir, passes), START, after(101))
    assert found.seconds == pytest.approx(100, abs=3)
    assert found.processes[0]["cpu_seconds"] == pytest.approx(50, abs=5)
    assert found.mean_percent == 50.0


def test_a_pass_after_a_gap_tells_nothing_of_the_time_before_it(data_dir: Path) -> None:
    """Rates over a suspend are no rates: an empty point, and no CPU for anybody."""
    woken = replace(some_rates(40.0, [a_process(cpu_percent=100.0)], machine_percent=99.0), gap="suspend")
    workspace = stored(data_dir, [some_rates(0.0), some_rates(2.0), woken, some_rates(42.0)])
    assert span(workspace, START, after(60)).processes == []
    assert span(workspace, START, after(60)).highest_percent == 50.0
    values = course(workspace, START, after(60), points=600).values["machine_percent"]
    assert (max(value for value in values if value is not None), values.count(None)) == (50.0, 1)


def test_columns_say_what_the_passes_say(data_dir: Path) -> None:
    """What charts are drawn of is what was stored, pass by pass, devices that come and go included."""
    devices = [{"sda": 5.0}, {"sda": 5.0, "sdb": 7.0}, {}, {"sdb": 1.0}]
    passes = [
        some_rates(
            2.0 * number, machine_percent=10.0 * number, load_1=number / 4, disk_bytes_per_s=held, network_bytes_per_s=held,
            memory_available_bytes=(1 + number) << 30,
        )
        for number, held in enumerate(devices)
    ]  # fmt: skip
    values = course(stored(data_dir, passes), START, after(8), points=4).values
    assert values["machine_percent"] == [0.0, 10.0, 20.0, 30.0]
    assert values["disk_bytes_per_s"] == [5, 12, None, 1]
    assert values["network_bytes_per_s"] == [5, 7, None, 1]
    assert values["memory_percent"] == [87.5, 75.0, 62.5, 50.0]
    assert values["load_1"] == [0.0, 0.25, 0.5, 0.75]


def test_of_a_span_between_two_looks_the_one_before_it_is_told(data_dir: Path) -> None:
    """A brushed second in which nothing was stored is not empty: the last look before its end is given, as that."""
    busy = a_process(cpu_percent=80.0)
    workspace = stored(data_dir, [some_rates(15.0 * number, [busy]) for number in range(20)])
    found = span(workspace, after(31), after(32)).as_json()
    assert (found["passes"], found["processes"]) == (0, [])
    assert found["nearest"]["taken_at"] == "2026-11-20T03:00:30.000Z"
    assert found["nearest"]["leaders"][0]["cpu_percent"] == 80.0
    assert span(workspace, after(0), after(60)).nearest is None


def test_an_incident_that_goes_on_in_a_span_is_told_with_its_functions(data_dir: Path) -> None:
    """Seconds between a first crossing and the alert belong to the incident, though nothing began in them."""
    store = open_store(data_dir)
    made = make_incident(at=after(60))
    store.save_incident(made)
    store.close()
    found = span(stored(data_dir, [some_rates(2.0 * i) for i in range(40)]), after(52), after(55))
    assert [one["correlation_id"] for one in found.incidents] == [made.correlation_id]
    assert found.functions[0]["function"] == "fibonacci"
    assert span(Workspace(data_dir), after(10), after(20)).incidents == []
