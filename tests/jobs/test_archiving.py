"""Captures of a real store that move to an archive: read as before, judged by what they take here, gone with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.jobs import RetentionLimits, RetentionManager, jobs_of
from monitord.jobs.archiving import archive_job
from monitord.model import Incident
from monitord.scheduling import TaskScheduler
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.lifecycle import ArtefactInventory
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.archived import ArchivingProvider
from monitord.storage.artefacts.wrappers.tombstones import Tombstones
from monitord.storage.holdings import Holdings
from tests.jobs.test_real_store import LIMITS, incident


class Archived:
    """A store whose old captures go to `far`. `with_archive=False`: a process that can't reach it."""

    def __init__(self, folder: Path, far: MemoryStorageProvider, *, with_archive: bool = True) -> None:
        self.far = far if with_archive else None
        self.store: SQLiteProfileStore = open_store(folder / "data", open_holdings=self._open)
        self.store.usage()

    def _open(self, folder: Path, *, create: bool = True) -> Holdings:
        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        condemned = Tombstones(folder.with_name("condemned"))

        def around(inner: StorageProvider) -> StorageProvider:
            self.archiving = ArchivingProvider(inner, self.far, condemned=condemned)
            return self.archiving

        return Holdings(StorageManager(compose(files, archive=around)), files)

    def archive(self, before: datetime) -> str:
        """Archive the captures that were stored before this time."""
        job = archive_job(ArtefactInventory(self.archiving, archiver=self.archiving), 3600)
        return job.run(before + timedelta(hours=1)).outcome


@pytest.fixture
def far() -> MemoryStorageProvider:
    return MemoryStorageProvider()


@pytest.fixture
def courier(tmp_path: Path, far: MemoryStorageProvider) -> Iterator[Archived]:
    opened = Archived(tmp_path, far)
    yield opened
    opened.store.close()


@pytest.fixture
def recorder(tmp_path: Path, courier: Archived, far: MemoryStorageProvider) -> Iterator[Archived]:
    opened = Archived(tmp_path, far, with_archive=False)
    yield opened
    opened.store.close()


def saved(store: SQLiteProfileStore, count: int, *, then: int = 0) -> tuple[list[Incident], datetime]:
    """Incidents of 100 kB, each worse than those before it, the second one pinned; `then` more are saved
    after the time that is given back with them.
    """
    made, between = [], datetime.now(UTC)
    for n in range(count + then):
        between = datetime.now(UTC) if n == count else between
        each = incident(hours=0, severity=float(n), size=100_000)
        made.append(replace(each, alert=replace(each.alert, raised_at=datetime.now(UTC))))
        store.save_incident(made[-1])
    store.pin(made[1].correlation_id)
    return made, between if then else datetime.now(UTC)


def held(store: SQLiteProfileStore) -> dict[str, int]:
    return {row.correlation_id: row.artefact_bytes for row in store.retention_rows()}


def test_old_captures_move_and_everything_is_found_as_before(
    courier: Archived, far: MemoryStorageProvider
) -> None:
    made, between = saved(courier.store, 5, then=5)
    before = courier.store.usage().artefact_bytes
    assert courier.archive(between) == "ok"
    assert len(list(far.list())) == 5
    assert courier.store.usage().artefact_bytes < before - 5 * 99_000
    assert courier.store.verify() == []
    assert courier.store.adopt() == 0
    assert held(courier.store).keys() == {each.correlation_id for each in made}


def test_what_moved_counts_with_what_it_takes_here(courier: Archived) -> None:
    """Else the budget would take archived evidence, which gives no room, before anything that does."""
    made, between = saved(courier.store, 5, then=5)
    courier.archive(between)
    courier.store.settle()
    courier.store.compact()
    assert sum(held(courier.store).values()) == courier.store.usage().artefact_bytes
    limits = replace(LIMITS, max_total_bytes=courier.store.usage().total_bytes - 150_000, process_share=1.0)
    report = RetentionManager(courier.store, limits).purge_expired(datetime.now(UTC))
    assert report.has_room
    dropped = {each.correlation_id for each in made} & set(report.dropped_evidence)
    assert len(dropped & {each.correlation_id for each in made[5:]}) == 2
    assert made[9].correlation_id not in dropped


def test_who_can_not_reach_the_archive_deletes_at_once_and_the_copies_go_later(
    recorder: Archived, courier: Archived, far: MemoryStorageProvider
) -> None:
    """The recorder waits for no network: the rows and pointers go now, the rest when somebody sweeps."""
    made, between = saved(courier.store, 10)
    courier.archive(between)
    assert len(list(far.list())) == 10
    recorder.store.drop_evidence([made[0].correlation_id])
    recorder.store.delete_incidents([made[2].correlation_id, made[3].correlation_id])
    assert recorder.store.verify() != [], "what is archived can't be read from here"
    assert courier.store.verify() == []
    assert len(list(far.list())) == 10
    assert courier.archiving.sweep() == 3
    assert courier.archiving.sweep() == 0
    assert list(courier.archiving.unreferenced()) == []
    assert len(list(far.list())) == 7
    assert courier.store.verify() == []


def test_the_hourly_jobs_know_the_archive(courier: Archived, far: MemoryStorageProvider) -> None:
    _made, between = saved(courier.store, 3, then=3)
    limits = RetentionLimits(min_free_disk_bytes=0)
    inventory = ArtefactInventory(courier.archiving, archiver=courier.archiving)
    jobs = jobs_of(
        courier.store,
        RetentionManager(courier.store, limits),
        limits,
        [archive_job(inventory, 3600)],
    )
    scheduler = TaskScheduler(jobs, courier.store)
    outcomes = scheduler.execute_tasks(between + timedelta(hours=1), uptime_s=3600)
    assert {outcome.name: outcome.outcome for outcome in outcomes}["archive"] == "ok"
    assert len(list(far.list())) == 3
    assert "archived 3" in next(outcome.detail for outcome in outcomes if outcome.name == "archive")
    before = held(courier.store)
    later = scheduler.execute_tasks(between + timedelta(hours=2.5), uptime_s=9999)
    assert {outcome.name for outcome in later} == {"retention", "archive"}
    assert (
        sorted(before[key] - size > 90_000 for key, size in held(courier.store).items())
        == [False] * 3 + [True] * 3
    )


def test_without_its_archive_a_lost_database_comes_back_and_no_pointer_is_put_aside(
    recorder: Archived, courier: Archived, tmp_path: Path
) -> None:
    """Not even one whose incident's own artefact is gone: a pointer tells of itself."""
    made, between = saved(courier.store, 3)
    courier.archive(between)
    pointers = [path for path in (tmp_path / "data" / "artefacts").iterdir() if "-profile" in path.name]
    assert len(pointers) == 3
    for path in (tmp_path / "data" / "artefacts").iterdir():
        if made[0].correlation_id in path.name and "-incident" in path.name:
            path.unlink()
    courier.store.close()
    recorder.store.close()
    for path in (tmp_path / "data").glob("monitord.db*"):
        path.unlink()
    assert held(recorder.store).keys() == {each.correlation_id for each in made}
    assert all(path.exists() for path in pointers)
    assert courier.store.adopt() == 0
    assert courier.store.verify() == []
