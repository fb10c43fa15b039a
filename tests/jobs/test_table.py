"""Which jobs are due, what is remembered of them, and that one failure stays its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from monitord.errors import StorageError
from monitord.jobs import (
    RetentionLimits,
    jobs_of,
    vacuum_when_idle,
)
from monitord.jobs.maintenance import check_integrity
from monitord.scheduling import ScheduledTask, TaskOutcome, TaskResult, TaskScheduler

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
WEEK_S = 7 * 86400.0


class StateStore:
    """State that survives as JSON, as in the database."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.is_full = False

    def get_state(self, key: str) -> object:
        return json.loads(self.state[key]) if key in self.state else None

    def set_state(self, key: str, value: object) -> None:
        if self.is_full:
            raise StorageError("disk full")
        self.state[key] = json.dumps(value)


class DatabaseUsage:
    database_bytes = 1000
    wal_bytes = 0
    artefact_bytes = 0
    free_disk_bytes = 10**9
    disk_bytes = 0
    total_bytes = 1000


class Database:
    """Counts what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.size = DatabaseUsage()
        self.problems: list[str] = []
        self.held_by: str | None = None

    def usage(self) -> DatabaseUsage:
        return self.size

    def vacuum(self) -> None:
        self.calls.append("vacuum")

    def compact(self) -> str | None:
        self.calls.append("compact")
        return self.held_by

    def optimize(self) -> None:
        self.calls.append("optimize")

    def integrity_check(self) -> list[str]:
        return self.problems


def fine(_now: datetime) -> TaskResult:
    return TaskResult("ok", "done")


def broken(_now: datetime) -> TaskResult:
    raise RuntimeError("no such table")


WEEKLY = ScheduledTask("weekly", WEEK_S, first_after_s=600, run=fine)
HOURLY = ScheduledTask("hourly", 3600, first_after_s=60, run=broken)


def names(jobs: list[ScheduledTask]) -> list[str]:
    return [job.name for job in jobs]


def test_a_job_that_never_ran_waits_only_for_the_process_to_settle() -> None:
    scheduler = TaskScheduler([WEEKLY, HOURLY], StateStore())
    assert names(scheduler.due(NOW, uptime_s=59)) == []
    assert names(scheduler.due(NOW, uptime_s=60)) == ["hourly"]
    assert names(scheduler.due(NOW, uptime_s=600)) == ["weekly", "hourly"]


def test_a_weekly_job_runs_every_week_though_each_process_lives_one_day() -> None:
    """Thirty processes of a day each, all over one store: the job ran in weeks 1 to 5."""
    store, ran = StateStore(), list[int]()
    for day in range(30):
        now = NOW + timedelta(days=day)
        ran += [day for _ in TaskScheduler([WEEKLY], store).execute_tasks(now, uptime_s=700)]
    assert ran == [0, 7, 14, 21, 28]


def test_a_last_run_in_the_future_makes_a_job_due() -> None:
    store = StateStore()
    scheduler = TaskScheduler([WEEKLY], store)
    scheduler.run(WEEKLY, NOW + timedelta(days=3650))
    assert names(scheduler.due(NOW, uptime_s=700)) == ["weekly"]


def test_a_failing_job_is_recorded_and_tried_again_within_the_hour() -> None:
    store = StateStore()
    weekly_and_broken = ScheduledTask("weekly", WEEK_S, 0, run=broken)
    scheduler = TaskScheduler([weekly_and_broken], store)
    outcome = scheduler.run(weekly_and_broken, NOW)
    assert (outcome.outcome, outcome.detail) == ("failed", "RuntimeError: no such table")
    assert scheduler.last_runs()["weekly"]["outcome"] == "failed"  # type: ignore[index]
    later = NOW + timedelta(minutes=59)
    assert scheduler.due(later, uptime_s=1) == []
    later = NOW + timedelta(minutes=61)
    assert names(scheduler.due(later, uptime_s=1)) == ["weekly"]


@pytest.mark.parametrize(
    ("error", "detail", "traces"),
    [
        (
            StorageError("cannot read it; try `monitord db check`"),
            "cannot read it; try `monitord db check`",
            [],
        ),
        (RuntimeError("odd"), "RuntimeError: odd", ["job.failed"]),
    ],
)
def test_only_a_mistake_of_ours_leaves_a_traceback(error: Exception, detail: str, traces: list[str]) -> None:
    """What the disk or the kernel refused is said in its own words."""

    def fails(_now: datetime) -> TaskResult:
        raise error

    with capture_logs() as logs:
        outcome = TaskScheduler([], StateStore()).run(ScheduledTask("t", WEEK_S, 0, run=fails), NOW)
    assert (outcome.outcome, outcome.detail) == ("failed", detail)
    assert [log["event"] for log in logs if log.get("exc_info")] == traces


def test_one_failure_does_not_touch_what_is_remembered_of_the_others() -> None:
    store = StateStore()
    scheduler = TaskScheduler([WEEKLY, HOURLY], store)
    scheduler.run(WEEKLY, NOW)
    scheduler.run(HOURLY, NOW)
    table = scheduler.table()
    assert table["weekly"] == {
        "last_run": "2026-05-04T03:00:00+00:00",
        "next_run": "2026-05-11T03:00:00+00:00",
        "outcome": "ok",
    }
    assert table["hourly"]["outcome"] == "failed"


def test_a_job_runs_even_when_it_cannot_be_remembered() -> None:
    store = StateStore()
    store.is_full = True
    assert TaskScheduler([WEEKLY], store).run(WEEKLY, NOW).outcome == "ok"


def test_a_job_for_idle_hours_is_deferred_and_stays_due() -> None:
    store = StateStore()
    job = ScheduledTask("vacuum", WEEK_S, 0, run=fine, needs_idle=True)
    scheduler = TaskScheduler([job], store)
    outcome = scheduler.run(job, NOW, is_idle=False)
    assert isinstance(outcome, TaskOutcome)
    assert outcome.outcome == "deferred"
    assert names(scheduler.due(NOW, uptime_s=1)) == ["vacuum"]


@pytest.mark.parametrize("state", [None, [], {"weekly": 3}, {"weekly": {"last_run": "soon"}}])
def test_unreadable_last_runs_count_as_never(state: object) -> None:
    store = StateStore()
    store.set_state("jobs.last_runs", state)
    assert names(TaskScheduler([WEEKLY], store).due(NOW, uptime_s=700)) == ["weekly"]


def test_vacuum_waits_for_an_idle_machine() -> None:
    database = Database()
    outcome = vacuum_when_idle(database, is_idle=False, min_free_disk_bytes=0)
    assert (outcome.outcome, database.calls) == ("refused", [])


def test_vacuum_without_room_for_two_copies_gives_back_the_free_pages_and_says_what_is_missing() -> None:
    database = Database()
    database.size.database_bytes, database.size.free_disk_bytes = 1_000_000, 2_400_000
    outcome = vacuum_when_idle(database, is_idle=True, min_free_disk_bytes=500_000)
    assert (outcome.outcome, database.calls) == ("ok", ["compact"])
    assert "2.5 MB must be free" in outcome.detail
    assert "2.4 MB are" in outcome.detail


def test_vacuum_on_a_full_store_counts_its_copies_against_the_disk_alone() -> None:
    database = Database()
    assert vacuum_when_idle(database, is_idle=True, min_free_disk_bytes=500).outcome == "ok"
    assert database.calls == ["compact", "vacuum"]


def test_vacuum_names_who_keeps_the_database_open_and_writes_nothing() -> None:
    database = Database()
    database.held_by = "another program (pid 7, sqlite3) keeps the database open"
    outcome = vacuum_when_idle(database, is_idle=True, min_free_disk_bytes=0)
    assert (outcome.outcome, database.calls) == ("refused", ["compact"])
    assert "pid 7, sqlite3" in outcome.detail


def test_damage_is_reported_with_its_first_line() -> None:
    database = Database()
    assert check_integrity(database).outcome == "ok"
    database.problems = ["row 3 missing from index", "page 9"]
    outcome = check_integrity(database)
    assert outcome.outcome == "damaged"
    assert "row 3 missing from index" in outcome.detail


def test_the_table_names_every_job_once_with_its_period() -> None:
    jobs = jobs_of(Database(), None, RetentionLimits())  # type: ignore[arg-type]  the table is only read
    assert {job.name: job.every_s for job in jobs} == {
        "retention": 3600,
        "optimize": 86400,
        "integrity_check": WEEK_S,
        "vacuum": WEEK_S,
    }
    assert [job.name for job in jobs if job.needs_idle] == ["vacuum"]
