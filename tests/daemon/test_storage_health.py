"""The daemon's own storage is looked at by a job, and the look takes no probe for evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.daemon.storage_health import use_floor, watch
from monitord.jobs import health_job
from monitord.scheduling import TaskScheduler
from monitord.storage import open_store
from monitord.storage.artefact_store import open_folder
from monitord.storage.artefacts.keys import PROBE_PREFIX


def test_the_job_looks_and_trouble_is_a_complaint(tmp_path: Path) -> None:
    """A folder that went away is a complaint from the next look on; the job itself is well."""
    store = open_store(tmp_path / "data")
    monitor = watch(tmp_path / "data", store.usage, 0, print)
    scheduler = TaskScheduler((health_job(monitor),), store)
    assert [each.detail for each in scheduler.execute_tasks(datetime.now(UTC), uptime_s=60)] == [
        "all is well"
    ]
    assert monitor.complaints() == []
    (tmp_path / "data" / "artefacts").rmdir()
    outcome = scheduler.run(health_job(monitor), datetime.now(UTC))
    assert (outcome.outcome, outcome.detail) == ("ok", "1 of 2 checks fail: write and read")
    assert [line.startswith("storage, write and read: open: ") for line in monitor.complaints()] == [True]
    store.close()


def test_another_floor_counts_from_the_next_look_on(tmp_path: Path) -> None:
    """A reload's floor is what the disk is held against; it is never more than a share of a disk."""
    store = open_store(tmp_path / "data")
    monitor = watch(tmp_path / "data", lambda: replace(store.usage(), free_disk_bytes=1 << 10), 0, print)
    health = monitor.check_storage()
    assert health is not None
    assert health.failing == ()
    use_floor(monitor, tmp_path / "data", 1 << 60)
    health = monitor.check_storage()
    assert health is not None
    assert [check.name for check in health.failing] == ["free space"]
    store.close()


@pytest.mark.parametrize("content", [None, b"half-written"])
def test_a_probe_left_behind_is_no_evidence(tmp_path: Path, content: bytes | None) -> None:
    """A store that is opened after a kill takes a probe neither for an artefact nor for a damaged one."""
    store = open_store(tmp_path / "data")
    artefacts = open_folder(tmp_path / "data" / "artefacts").artefacts
    artefacts.store_data(f"{PROBE_PREFIX}left", b"x", replace=False)
    if content is not None:
        (tmp_path / "data" / "artefacts" / f"{PROBE_PREFIX}left").write_bytes(content)
    assert store.adopt() == 0
    assert store.verify() == []
    assert not (tmp_path / "data" / "quarantine").exists()
    assert list(artefacts.list()) == [f"{PROBE_PREFIX}left"]
    store.close()
