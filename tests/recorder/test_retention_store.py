"""What happens to an incident between its first and its second save."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from monitord.jobs import RetentionLimits
from monitord.model import Incident
from monitord.recorder.retention_store import Saving
from monitord.storage import RecentFilter, SQLiteProfileStore, StoreReader
from tests.fakes import a_capture, an_alert

FIRST = Incident("abcdefabcdef", an_alert(), None, captures=(a_capture("dump"),))
COMPLETE = replace(FIRST, captures=(*FIRST.captures, a_capture("profile")))


def kept(store: SQLiteProfileStore) -> list[str]:
    with StoreReader(store.data_dir) as reader:
        return [row.correlation_id for row in reader.recent(RecentFilter(limit=None))]


def saving(store: SQLiteProfileStore) -> Saving:
    return Saving(store, RetentionLimits(min_free_disk_bytes=0))


def test_what_was_deleted_before_its_profile_came_stays_deleted(store: SQLiteProfileStore) -> None:
    """`monitord delete` while the profile is taken: the second save does not bring the incident back."""
    daemon = saving(store)
    daemon.save(FIRST)
    store.delete_incident(FIRST.correlation_id)
    daemon.save(COMPLETE)
    assert kept(store) == []
    assert store.verify() == []


def test_a_pin_set_before_the_profile_came_stays(store: SQLiteProfileStore) -> None:
    """`monitord keep` in between is kept, and the profile is there."""
    daemon = saving(store)
    daemon.save(FIRST)
    store.pin(FIRST.correlation_id)
    daemon.save(COMPLETE)
    with StoreReader(store.data_dir) as reader:
        view = reader.incident(FIRST.correlation_id)
    assert sorted(capture.role for capture in view.captures) == ["dump", "profile"]
    assert view.record.pinned


def test_a_store_that_was_removed_takes_the_incident_again(store: SQLiteProfileStore) -> None:
    """Whoever removed the whole database did not mean this incident: it is saved into the new one."""
    daemon = saving(store)
    daemon.save(FIRST)
    store.close()
    for path in store.data_dir.rglob("*"):
        if path.is_file():
            path.unlink()
    daemon.save(COMPLETE)
    assert kept(store) == [FIRST.correlation_id]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE incident SET hotspots = '{', history = x'00', uid = 'x'",
        "UPDATE profile_capture SET status = 'unheard of', artefact_key = x'ff'",
        "UPDATE incident SET state = 'unheard of'",
    ],
)
def test_what_was_damaged_before_its_profile_came_is_saved_again(
    damage: str, store: SQLiteProfileStore
) -> None:
    """Damaged is not deleted: the second save puts it right, and nothing waits behind it."""
    daemon = saving(store)
    daemon.save(FIRST)
    with closing(sqlite3.connect(store.database)) as connection:
        connection.execute(damage)
        connection.commit()
    daemon.save(COMPLETE)
    with StoreReader(store.data_dir) as reader:
        captures = reader.incident(FIRST.correlation_id).captures
    assert sorted(capture.role for capture in captures) == ["dump", "profile"]
