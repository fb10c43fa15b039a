"""On a partition smaller than the configured floor a tenth of it stays free: by every part that keeps a floor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitord import config
from monitord.jobs import vacuum_when_idle
from monitord.model import Incident
from monitord.recorder.artefact_stores import open_local_store
from monitord.storage import open_store
from tests.fakes import a_capture, an_alert
from tests.unsharing import mounted

pytestmark = pytest.mark.unshared
INCIDENT = Incident(
    "abcdefabcdef", an_alert(), None, captures=(replace(a_capture("profile"), payload=os.urandom(1_500_000)),)
)


@pytest.fixture
def partition(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 MB; the default floor is 200 MB."""
    with mounted(tmp_path / "small", "size=100m") as folder:
        yield folder


def test_evidence_on_its_way_to_a_remote_storage_is_taken(partition: Path, tmp_path: Path) -> None:
    """It waits in the data directory, which had no room by the floor of a large disk."""
    (tmp_path / "far").mkdir(mode=0o700)
    place = tmp_path / "config.toml"
    place.write_text(f'[storage]\nurl = "file://{tmp_path / "far"}"\n')
    store = open_store(
        partition / "data", open_artefacts=open_local_store(config.load(place, env={}).settings)
    )
    assert [row.artefact_key is not None for row in store.save_incident(INCIDENT)] == [True]
    store.close()


def test_the_database_is_rebuilt(partition: Path) -> None:
    """There is room for the copies above the smaller floor."""
    store = open_store(partition / "data")
    outcome = vacuum_when_idle(store, is_idle=True, min_free_disk_bytes=200_000_000)
    store.close()
    assert outcome.detail.startswith("rebuilt the database")
