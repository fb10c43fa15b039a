"""Retention and maintenance on a real store: files, rows and the WAL, as the disk has them."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, event, insert, select

from monitord.jobs import RetentionLimits, RetentionManager, RetentionReport, jobs_of
from monitord.jobs.plan import EVIDENCES, Round
from monitord.model import (
    Alert,
    Capture,
    CaptureStatus,
    Event,
    EventType,
    Incident,
    ProcessKey,
    ProcessRates,
    Rates,
    SystemRates,
    Threshold,
    TriggerMetric,
)
from monitord.scheduling import TaskScheduler
from monitord.storage import SQLiteProfileStore, StoreReader, new_correlation_id, open_store
from monitord.storage.artefacts.lifecycle import Cut
from monitord.storage.cells import time_cell
from monitord.storage.incident_stock import correlation_id_of
from monitord.storage.tables import incident as incident_table
from tests.incident_rows import stored_incidents

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
BUDGET = 2_000_000
LIMITS = RetentionLimits(max_total_bytes=BUDGET, min_free_disk_bytes=0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    opened = open_store(tmp_path / "data")
    yield opened
    opened.close()


def incident(*, hours: float, severity: float = 2.0, size: int = 50_000, name: str = "burner") -> Incident:
    """An incident with one artefact of random bytes, which no compression makes smaller."""
    at = NOW - timedelta(hours=hours)
    key = ProcessKey(4711, 1)
    alert = Alert(
        "cpu-hog",
        TriggerMetric.CPU,
        97.0,
        Threshold(90.0, "percent"),
        10.0,
        at,
        at,
        key,
        name,
        "why",
        severity,
    )
    capture = Capture(
        "profile", "py-spy", CaptureStatus.OK, at, 10.0, key, format="folded", payload=os.urandom(size)
    )
    return Incident(new_correlation_id(), alert, None, (), (capture,), "boot")


def passes(count: int) -> Iterator[Rates]:
    """Samples of the last day with names that differ, so that history has some weight."""
    for index in range(count):
        taken_at = NOW - timedelta(seconds=(count - index) * 86400 / count)
        busy = tuple(
            ProcessRates(ProcessKey(pid, index), os.urandom(12).hex(), 1, "R", 0, float(pid), pid << 20, 1)
            for pid in range(1, 20)
        )
        system = SystemRates(50.0, 2, 1 << 33, 1 << 32, 0, 1.0)
        yield Rates(taken_at, float(index), 15.0, system, busy, process_count=19, is_complete=True)


def test_old_evidence_goes_from_the_disk_and_its_summary_stays(
    store: SQLiteProfileStore, tmp_path: Path
) -> None:
    old, fresh = incident(hours=80), [incident(hours=1), incident(hours=2)]
    for each in (old, *fresh):
        store.save_incident(each)
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert report.dropped_evidence == (old.correlation_id,)
    rows = {row.correlation_id: row for row in stored_incidents(store)}
    assert rows[old.correlation_id].is_summary
    assert not any(rows[each.correlation_id].is_summary for each in fresh)
    assert store.verify() == []
    assert RetentionManager(store, LIMITS).purge_expired(NOW).dropped_evidence == ()


def test_the_budget_holds_on_the_disk_and_the_worst_and_the_pinned_are_left(
    store: SQLiteProfileStore,
) -> None:
    made = [incident(hours=1 + n / 60, severity=float(n), size=100_000, name=f"p{n % 3}") for n in range(40)]
    for each in made:
        store.save_incident(each)
    store.pin(made[0].correlation_id, True)
    assert store.usage().total_bytes > BUDGET
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert report.has_room
    assert store.usage().total_bytes <= BUDGET
    kept = [row for row in stored_incidents(store) if not row.is_summary]
    assert made[0].correlation_id in {row.correlation_id for row in kept}
    unpinned = sorted(row.severity for row in kept if not row.pinned)
    assert unpinned == [float(n) for n in range(40 - len(unpinned), 40)]
    assert len(unpinned) >= 10
    assert store.verify() == []


def test_a_long_history_is_cut_and_costs_no_evidence(store: SQLiteProfileStore) -> None:
    store.save_incident(incident(hours=1))
    batch: list[Rates] = []
    while store.usage().total_bytes <= BUDGET:
        batch = list(passes(400))
        store.add_history(batch)
    report = RetentionManager(store, LIMITS).purge_expired(NOW)
    assert report.has_room
    assert report.history_before is not None
    assert report.dropped_evidence == ()
    assert store.usage().total_bytes <= BUDGET


@pytest.mark.parametrize("clock_was", [timedelta(), timedelta(days=365), timedelta(days=-3650)])
def test_a_history_over_its_share_loses_what_was_recorded_first_and_no_more_than_that(
    store: SQLiteProfileStore, clock_was: timedelta
) -> None:
    """Old history is small, the last hours are large; and what a wrong clock dated keeps nothing out."""
    for day in range(20):
        wrong = clock_was if day < 10 else timedelta()
        store.add_history(
            [replace(one, taken_at=NOW - timedelta(days=20 - day) + wrong) for one in passes(2)]
        )
    for minute in range(600):
        at = NOW - timedelta(minutes=600 - minute)
        store.add_history(
            [replace(one, taken_at=at + timedelta(seconds=n)) for n, one in enumerate(passes(9))]
        )
    held = store.history_bytes()
    manager = RetentionManager(store, replace(LIMITS, max_total_bytes=held * 4 * 10 // 11))
    foretold = manager.purge_expired(NOW, dry_run=True)
    assert store.history_bytes() == held
    report = manager.purge_expired(NOW)
    assert report.history_before == foretold.history_before
    with StoreReader(store.data_dir) as reader:
        left = [rates.taken_at for rates in reader.history()]
    assert NOW - timedelta(minutes=2) < max(left) < NOW, "the newest is never what goes"
    assert held * 8 // 11 <= store.history_bytes() <= held * 10 // 11, "an eleventh went"


def test_history_stays_as_long_as_summaries_and_loose_events_as_long_as_evidence(
    store: SQLiteProfileStore, tmp_path: Path
) -> None:
    """What ran last week can be asked for after the evidence of then is gone, within history's share."""
    ages = [timedelta(days=days) for days in (1, 4, 29, 31)]
    for age in reversed(ages):
        store.add_history([replace(each, taken_at=NOW - age) for each in passes(1)])
        store.events.store_event(Event(EventType.JOB, NOW - age, payload={"job": "vacuum"}))
    manager = RetentionManager(store, LIMITS)
    for hours in range(3):  # a large share by age waits for a second look
        manager.purge_expired(NOW + timedelta(hours=hours))
    kept = [NOW - rates.taken_at for rates in StoreReader(tmp_path / "data").history()]
    assert sorted(kept) == ages[:3]
    assert [NOW - event.taken_at for event in store.events.query_events(event_type="job")] == ages[:1]


def test_making_room_leaves_as_much_as_was_asked(store: SQLiteProfileStore) -> None:
    for n in range(15):
        store.save_incident(incident(hours=1, severity=float(n), size=100_000))
    report = RetentionManager(store, LIMITS).make_room(600_000, NOW)
    assert report.has_room
    assert store.usage().total_bytes <= BUDGET - 600_000


def test_a_dry_run_foretells_what_the_real_run_takes(store: SQLiteProfileStore) -> None:
    for n in range(30):
        store.save_incident(incident(hours=1, severity=float(n), size=100_000))
    manager = RetentionManager(store, LIMITS)
    foretold = manager.purge_expired(NOW, dry_run=True)
    assert not any(row.is_summary for row in stored_incidents(store))
    done = manager.purge_expired(NOW)
    assert set(foretold.dropped_evidence) <= set(done.dropped_evidence)
    assert len(done.dropped_evidence) - len(foretold.dropped_evidence) <= 2


def test_every_job_of_the_table_runs_on_a_real_store_and_is_remembered(store: SQLiteProfileStore) -> None:
    store.save_incident(incident(hours=1))
    scheduler = TaskScheduler(jobs_of(store, RetentionManager(store, LIMITS), LIMITS), store)
    outcomes = scheduler.execute_tasks(NOW, uptime_s=3600)
    assert [outcome.outcome for outcome in outcomes] == ["ok", "ok", "ok", "ok"]
    assert scheduler.due(NOW + timedelta(minutes=1), uptime_s=3660) == []


def test_expired_state_is_swept_by_the_hourly_job(store: SQLiteProfileStore) -> None:
    """What nobody can read any more takes no room either."""
    for number in range(50):
        store.state.set(f"short {number}", b"x", ttl=timedelta(microseconds=1))
    store.state.set("long", b"x")
    while store.state.get("short 49") is not None:
        pass
    scheduler = TaskScheduler(jobs_of(store, RetentionManager(store, LIMITS), LIMITS), store)
    scheduler.execute_tasks(NOW, uptime_s=3600)
    with StoreReader(store.data_dir) as reader:
        kept = [row["key"] for row in reader._all("SELECT key FROM state", [])]
    assert "long" in kept
    assert not any(key.startswith("short") for key in kept)


def statements(manager: RetentionManager, now: datetime) -> tuple[RetentionReport, int]:
    """A pass, and how many statements it sent to the database."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        return manager.purge_expired(now), len(sent)
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def multiply(store: SQLiteProfileStore, count: int, of_whole: int) -> None:
    """Many summaries: copies of the first incident's row, the first `of_whole` of them past their age."""
    engine = create_engine(f"sqlite:///{store.database}")
    with engine.begin() as connection:
        row = dict(connection.execute(select(incident_table)).mappings().one())
        row |= {"artefact_key": None, "stored_bytes": 0, "is_summary": 1}
        ages = (timedelta(days=40 if number < of_whole else 9) for number in range(count))
        copies = [
            {**row, "correlation_id": f"copy{number:08}", "raised_at": time_cell(NOW - age)}
            for number, age in enumerate(ages)
        ]
        connection.execute(insert(incident_table), copies)
    engine.dispose()


def test_retention_over_ten_thousand_incidents_asks_a_bounded_number_of_questions(
    store: SQLiteProfileStore,
) -> None:
    """A pass that finds nothing sends as many statements at 10,000 incidents as at one; others few a batch."""
    store.save_incident(incident(hours=1))
    manager = RetentionManager(store, RetentionLimits(min_free_disk_bytes=0))
    report, alone = statements(manager, NOW)
    multiply(store, 10_000, of_whole=400)
    report, busy = statements(manager, NOW)
    assert len(report.deleted_incidents) == 400
    assert busy - alone <= 400 / 20 * 10
    report, quiet = statements(manager, NOW)
    assert report.deleted_incidents == ()
    assert quiet == alone <= 30


def mixture(store: SQLiteProfileStore, count: int) -> None:
    """That many incidents: a fifth past every age, the others with evidence, each of a process of its own."""
    store.save_incident(incident(hours=1))
    engine = create_engine(f"sqlite:///{store.database}")
    with engine.begin() as connection:
        row = dict(connection.execute(select(incident_table)).mappings().one()) | {"artefact_key": None}
        copies = [
            {
                **row,
                "correlation_id": f"copy{number:08}",
                "process_name": f"p{number}",
                "severity": number % 7,
                "stored_bytes": 300 if number % 5 else 0,
                "is_summary": int(number % 5 == 0),
                "raised_at": time_cell(NOW - timedelta(days=1 if number % 5 else 40)),
            }
            for number in range(count)
        ]
        connection.execute(insert(incident_table), copies)
    engine.dispose()
    store.compact()


@pytest.mark.parametrize("dry_run", [True, False], ids=["foretold", "done"])
def test_a_pass_over_ten_thousand_incidents_holds_no_more_than_one_over_five_hundred(
    tmp_path: Path, dry_run: bool
) -> None:
    """Whatever goes: a fifth of them by age; foretold, many of the others for room, too."""
    peaks = []
    for count in (10, 500, 10_000):  # the first imports what is imported once
        with closing(open_store(tmp_path / f"data{len(peaks)}")) as opened:
            mixture(opened, count)
            budget = opened.usage().total_bytes - 100 * count if dry_run else 10**9
            limits = RetentionLimits(max_total_bytes=budget, min_free_disk_bytes=0, summary_share=9.0)
            manager = RetentionManager(opened, limits, keeps_names=False)
            manager._judge_age = lambda now, remember: None  # type: ignore[method-assign]  # no second look
            tracemalloc.start()
            report = manager.purge_expired(NOW, dry_run=dry_run)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert report.incident_count == count // 5
        assert (report.evidence_count > count // 10) == dry_run
    assert max(peaks[1:]) < 1_000_000


@pytest.mark.parametrize("is_newest_gone", [False, True], ids=["more", "instead of the newest"])
def test_what_is_saved_after_a_plan_is_not_carried_out_with_it(
    store: SQLiteProfileStore, is_newest_gone: bool
) -> None:
    """However mild it is, and whatever place in the table it gets."""
    made = [incident(hours=hours, severity=5, size=100_000) for hours in range(13, 1, -1)]
    for each in made:
        store.save_incident(each)
    limits = RetentionLimits(max_total_bytes=1_300_000, min_free_disk_bytes=0, process_share=1.0)
    usage = store.usage()
    plan = Round(limits, NOW, by_age=False).plan(store.incidents(usage, {}, NOW), usage)
    if is_newest_gone:
        store.delete_incident(made[-1].correlation_id)
    late = incident(hours=0, severity=1.5, size=1000)
    store.save_incident(late)
    going = [correlation_id_of(each.key) for step in plan.steps for each in step.decisions()]
    assert len(going) == sum(step.tally.count for step in plan.steps) > 1
    assert late.correlation_id not in going


def _is_over(ticks: Iterator[int]) -> bool:
    """Count one more stretch of steps; none is the last."""
    return next(ticks) < 0


def test_listing_four_times_as_many_incidents_takes_about_four_times_the_steps(tmp_path: Path) -> None:
    """Of SQLite's own machine: no page sorts all of them again."""
    steps = []
    for count in (2_000, 8_000):
        with closing(open_store(tmp_path / f"data{count}")) as opened:
            mixture(opened, count)
            stock = opened.incidents(opened.usage(), {}, NOW)
            with opened._driver() as connection:
                ticks = itertools.count()
                connection.set_progress_handler(partial(_is_over, ticks), 1000)
                listed = [item.key for item in stock.select((Cut(EVIDENCES),))]
                connection.set_progress_handler(None, 0)
        assert len(listed) == len(set(listed)) == count * 4 // 5 + 1
        steps.append(next(ticks))
    assert steps[1] < 6 * steps[0]
