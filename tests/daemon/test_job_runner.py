"""What the daemon's tidying asks of the store when nothing is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitord.daemon.job_runner import LastRuns
from monitord.errors import StorageError
from monitord.scheduling import ScheduledTask, TaskResult, TaskScheduler

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class CountingStore:
    """Keeps state in memory, counts what is asked of it, and refuses to write when told to."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}
        self.reads = self.writes = 0
        self.is_full = False

    def get_state(self, key: str, /) -> object:
        self.reads += 1
        return self.kept.get(key)

    def set_state(self, key: str, value: object, /) -> None:
        if self.is_full:
            raise StorageError("the disk is full")
        self.writes += 1
        self.kept[key] = value


def hourly(runs: list[datetime]) -> ScheduledTask:
    def run(now: datetime) -> TaskResult:
        runs.append(now)
        return TaskResult("ok", "")

    return ScheduledTask("tidy", 3600.0, 0.0, run)


def rounds(known: LastRuns, runs: list[datetime], minutes: int) -> None:
    """A round a minute, each with a scheduler of its own, as the daemon makes them."""
    for minute in range(minutes):
        scheduler = TaskScheduler([hourly(runs)], known)
        scheduler.execute_tasks(NOW + timedelta(minutes=minute), uptime_s=60.0 * minute)
        scheduler.table()


def test_rounds_without_work_ask_nothing_of_the_store() -> None:
    """Two hours of rounds: one reading, and a write for each run."""
    store, runs = CountingStore(), list[datetime]()
    rounds(LastRuns(store), runs, 120)
    assert [moment - NOW for moment in runs] == [timedelta(0), timedelta(hours=1)]
    assert (store.reads, store.writes) == (1, 2)


def test_a_restarted_daemon_reads_what_an_earlier_one_wrote() -> None:
    store, runs = CountingStore(), list[datetime]()
    rounds(LastRuns(store), runs, 1)
    rounds(LastRuns(store), runs, 30)
    assert runs == [NOW]


def test_a_run_that_could_not_be_remembered_stays_due() -> None:
    """A full disk: the next round tries again, as if nothing were kept between rounds."""
    store, runs = CountingStore(), list[datetime]()
    store.is_full = True
    known = LastRuns(store)
    rounds(known, runs, 3)
    assert len(runs) == 3
    with pytest.raises(StorageError):
        known.set_state("key", "value")
    assert known.get_state("key") is None
