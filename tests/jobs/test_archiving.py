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
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.lifecycle import ArtefactInventory
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from tests.incident_rows import stored_incidents
from tests.jobs.test_real_store import LIMITS, incident


class Archived:
    """A store whose old captures go to `far`. `with_archive=False`: a process that can't reach it."""

    def __init__(self, folder: Path, far: MemoryStorageProvider, *, with_archive: bool = True) -> None:
        self.far = far if with_archive else None
        self.store: SQLiteProfileStore = open_store(folder / "data", open_artefacts=self._open)
        self.store.usage()

    def _open(self, folder: Path, *, create: bool = True) -> ArtefactStore:
        files = FileStorageProvider(folder, FileStorageConfig(create=create))
        pending = PendingDeletions(folder.with_name("deletions"))
        self.archiving = ArchivingProvider(files, self.far, pending)
        return ArtefactStore(StorageManager(compose(self.archiving, follows_pointers=True)), files)

    def archive(self, before: datetime) -> str:
        """Archive the captures that were stored before this time."""
        job = archive_job(ArtefactInventory(self.archiving, archiver=self.archiving), 3600)
        return job.run(before + timedelta(hours=1)).outcome


@pytest.fixture
def far() -> MemoryStorageProvider:
    return MemoryStorageProvider()


@pytest.fixture
def uploader(tmp_path: Path, far: MemoryStorageProvider) -> Iterator[Archived]:
    opened = Archived(tmp_path, far)
    yield opened
    opened.store.close()


@pytest.fixture
def recorder(tmp_path: Path, uploader: Archived, far: MemoryStorageProvider) -> Iterator[Archived]:
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
    return {row.correlation_id: row.artefact_bytes for row in stored_incidents(store)}


def test_old_captures_move_and_everything_is_found_as_before(
    uploader: Archived, far: MemoryStorageProvider
) -> None:
    made, between = saved(uploader.store, 5, then=5)
    before = uploader.store.usage().artefact_bytes
    assert uploader.archive(between) == "ok"
    assert len(list(far.list())) == 5
    assert uploader.store.usage().artefact_bytes < before - 5 * 99_000
    assert uploader.store.verify() == []
    assert uploader.store.adopt() == 0
    assert held(uploader.store).keys() == {each.correlation_id for each in made}


def test_what_moved_counts_with_what_it_takes_here(uploader: Archived) -> None:
    """Else the budget would take archived evidence, which gives no room, before anything that does."""
    made, between = saved(uploader.store, 5, then=5)
    uploader.archive(between)
    uploader.store.settle()
    uploader.store.compact()
    assert sum(held(uploader.store).values()) == uploader.store.usage().artefact_bytes
    limits = replace(LIMITS, max_total_bytes=uploader.store.usage().total_bytes - 150_000, process_share=1.0)
    report = RetentionManager(uploader.store, limits).purge_expired(datetime.now(UTC))
    assert report.has_room
    dropped = {each.correlation_id for each in made} & set(report.dropped_evidence)
    assert len(dropped & {each.correlation_id for each in made[5:]}) == 2
    assert made[9].correlation_id not in dropped


def test_who_can_not_reach_the_archive_deletes_at_once_and_the_copies_go_later(
    recorder: Archived, uploader: Archived, far: MemoryStorageProvider
) -> None:
    """The recorder waits for no network: the rows and pointers go now, the rest when an uploader comes."""
    made, between = saved(uploader.store, 10)
    uploader.archive(between)
    assert len(list(far.list())) == 10
    recorder.store.drop_evidence([made[0].correlation_id])
    recorder.store.delete_incidents([made[2].correlation_id, made[3].correlation_id])
    assert recorder.store.verify() != [], "what is archived can't be read from here"
    assert uploader.store.verify() == []
    assert len(list(far.list())) == 10
    assert uploader.archiving.delete_pending() == 3
    assert uploader.archiving.delete_pending() == 0
    assert len(list(far.list())) == 7
    assert uploader.store.verify() == []


def test_the_hourly_jobs_know_the_archive(uploader: Archived, far: MemoryStorageProvider) -> None:
    _made, between = saved(uploader.store, 3, then=3)
    limits = RetentionLimits(min_free_disk_bytes=0)
    inventory = ArtefactInventory(uploader.archiving, archiver=uploader.archiving)
    jobs = jobs_of(
        uploader.store,
        RetentionManager(uploader.store, limits),
        limits,
        [archive_job(inventory, 3600)],
    )
    scheduler = TaskScheduler(jobs, uploader.store)
    outcomes = scheduler.execute_tasks(between + timedelta(hours=1), uptime_s=3600)
    assert {outcome.name: outcome.outcome for outcome in outcomes}["archive"] == "ok"
    assert len(list(far.list())) == 3
    assert "archived 3" in next(outcome.detail for outcome in outcomes if outcome.name == "archive")
    before = held(uploader.store)
    later = scheduler.execute_tasks(between + timedelta(hours=2.5), uptime_s=9999)
    assert {outcome.name for outcome in later} == {"retention", "archive"}
    assert (
        sorted(before[key] - size > 90_000 for key, size in held(uploader.store).items())
        == [False] * 3 + [True] * 3
    )


def test_without_its_archive_a_lost_database_comes_back_and_no_pointer_is_put_aside(
    recorder: Archived, uploader: Archived, tmp_path: Path
) -> None:
    """Not even one whose incident's own artefact is gone: a pointer tells of itself."""
    made, between = saved(uploader.store, 3)
    uploader.archive(between)
    pointers = [path for path in (tmp_path / "data" / "artefacts").iterdir() if "-profile" in path.name]
    assert len(pointers) == 3
    for path in (tmp_path / "data" / "artefacts").iterdir():
        if made[0].correlation_id in path.name and "-incident" in path.name:
            path.unlink()
    uploader.store.close()
    recorder.store.close()
    for path in (tmp_path / "data").glob("monitord.db*"):
        path.unlink()
    assert held(recorder.store).keys() == {each.correlation_id for each in made}
    assert all(path.exists() for path in pointers)
    assert uploader.store.adopt() == 0
    assert uploader.store.verify() == []
