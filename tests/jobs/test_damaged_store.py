"""Retention over rows that hold what nobody can have written: they cost no other incident anything."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitord.errors import StorageError
from monitord.jobs import RetentionLimits, RetentionManager
from monitord.recorder.retention_store import Saving
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.incident_stock import _JUDGED
from monitord.storage.soundness import TABLES, damage_in
from tests.incident_rows import stored_incidents
from tests.jobs.test_real_store import NOW, incident

LIMITS = RetentionLimits(max_total_bytes=1_300_000, min_free_disk_bytes=0, process_share=1.0)
SENSELESS = ("[1", b"\xff\xfe", "x", 5, -7)
COLUMNS = [
    (table, column, value)
    for table in ("incident", "profile_capture")
    for column in TABLES[table]
    if column not in (*_JUDGED, "id")
    for value in [next((each for each in SENSELESS if damage_in(table, {column: each})), None)]
    if value is not None
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteProfileStore]:
    with closing(open_store(tmp_path / "data")) as opened:
        yield opened


def put(store: SQLiteProfileStore, table: str, column: str, value: object, correlation_id: str) -> None:
    """What a flipped bit, or another program, leaves in a cell."""
    with closing(sqlite3.connect(store.database)) as connection:
        sql = f'UPDATE {table} SET "{column}" = ? WHERE correlation_id = ?'  # noqa: S608  our names
        assert connection.execute(sql, [value, correlation_id]).rowcount == 1
        connection.commit()


def test_damage_in_any_column_that_is_not_judged_keeps_no_evidence(store: SQLiteProfileStore) -> None:
    """Each old incident is damaged in another column: they go, and the young one keeps its evidence."""
    assert len(COLUMNS) > 35
    old, young = [incident(hours=80, size=1000) for _ in COLUMNS], incident(hours=1)
    for each in (*old, young):
        store.save_incident(each)
    for each, (table, column, value) in zip(old, COLUMNS, strict=True):
        put(store, table, column, value, each.correlation_id)
    manager = RetentionManager(store, LIMITS)
    manager._judge_age = lambda now, remember: None  # type: ignore[method-assign]  # no second look
    report = manager.purge_expired(NOW)
    assert dict(report.failures) == {}
    assert set(report.dropped_evidence) == {each.correlation_id for each in old}
    assert [row.correlation_id for row in stored_incidents(store) if not row.is_summary] == [
        young.correlation_id
    ]
    assert store.verify() == []


def test_an_incident_whose_state_is_damaged_goes_as_the_others_do(store: SQLiteProfileStore) -> None:
    old, young = incident(hours=80), incident(hours=1, size=100_000)
    for each in (old, young):
        store.save_incident(each)
    put(store, "incident", "state", "actixe", old.correlation_id)
    assert RetentionManager(store, LIMITS).purge_expired(NOW).dropped_evidence == (old.correlation_id,)


@pytest.mark.parametrize("size", [math.inf, 1e300, 9 * 10**18, -(10**12), "abc"])
@pytest.mark.parametrize("table", ["incident", "profile_capture"])
def test_a_size_that_nobody_can_have_written_keeps_no_incident_from_being_saved(
    store: SQLiteProfileStore, table: str, size: object
) -> None:
    """Two rows of it: no sum overflows, and the budget is kept by what is really there."""
    saving = Saving(store, LIMITS)
    made = [incident(hours=hours, severity=float(hours), size=100_000) for hours in range(1, 11)]
    for each in made:
        store.save_incident(each)
    for each in made[-2:]:
        put(store, table, "stored_bytes", size, each.correlation_id)
    for _ in range(3):
        saving.save(incident(hours=0, severity=20.0, size=100_000))
    kept = sorted(row.severity for row in stored_incidents(store) if not row.is_summary)
    assert kept[-5:] == [9.0, 10.0, 20.0, 20.0, 20.0]
    assert store.usage().total_bytes <= LIMITS.max_total_bytes


class Senseless(SQLiteProfileStore):
    """A store in which something lies that no reader expects."""

    def mend_incidents(self) -> None:
        raise OverflowError("cannot convert float infinity to integer")


def test_what_can_not_be_judged_is_an_error_of_the_store(tmp_path: Path) -> None:
    """What waits to be saved is tried again after one; anything else would cost the incident."""
    with closing(Senseless(tmp_path / "data")) as opened:
        opened.save_incident(incident(hours=1))
        with pytest.raises(StorageError, match="cannot judge what is kept"):
            RetentionManager(opened, LIMITS).make_room(LIMITS.max_total_bytes, NOW)
