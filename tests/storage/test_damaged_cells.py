"""Whatever lies in one cell of an incident or a capture: nothing breaks over it, and new evidence stays."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitord.errors import DamagedRowError, MonitordError
from monitord.model import Hotspot, Incident, Statement
from monitord.storage import SQLiteProfileStore, StoreReader, open_store
from monitord.storage.artefacts import is_key
from monitord.storage.baselines import note_baseline
from monitord.storage.cells import columns_of, packed_cell, time_cell, time_of
from monitord.storage.readonly import stored_bytes
from monitord.storage.records import StoredCapture, StoredIncident
from monitord.storage.soundness import damage_in
from tests.storage.writer_process import AT, make_incident

COLUMNS = [(each.TABLE, name) for each in (StoredIncident, StoredCapture) for name in columns_of(each)]
WRONG = ("CAST(CELL AS BLOB)", "9e999", f"{2**62}", "'../x'")
# Here numbers become the text of a sound name, which may be somebody else's.
NAMES = ("artefact_key", "correlation_id")
NEW = b"main;what came later 100\n"


def change(store: SQLiteProfileStore, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(store.database)) as connection:
        connection.execute(sql, values)
        connection.commit()


def saved(store: SQLiteProfileStore, count: int) -> list[Incident]:
    made = [make_incident(at=AT + timedelta(hours=number)) for number in range(count)]
    for each in made:
        store.save_incident(each)
    return made


def damage(store: SQLiteProfileStore, table: str, column: str, wrong: str, incident: Incident) -> None:
    """Put it into the cells; not where the schema itself refuses it."""
    if column in NAMES and wrong.isalnum():
        return
    value = wrong.replace("CELL", column)
    sql = f"UPDATE {table} SET {column} = {value} WHERE correlation_id = ?"  # noqa: S608
    with suppress(sqlite3.IntegrityError):
        change(store, sql, incident.correlation_id)


def later(incident: Incident) -> Incident:
    *others, profile = incident.captures
    return replace(incident, captures=(*others, replace(profile, payload=NEW)))


def evidence(store: SQLiteProfileStore, incident: Incident) -> list[bytes]:
    with StoreReader(store.data_dir) as reader:
        captures = reader.incident(incident.correlation_id).captures
        return [reader.payload(each.artefact_key, 10**6) for each in captures if each.artefact_key]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_no_cell_stands_in_the_way_of_saving_deleting_and_starting(
    table: str, column: str, store: SQLiteProfileStore
) -> None:
    """An incident is saved again and keeps what came; all else either works or says what is wrong."""
    made = [saved(store, 3) for _ in WRONG]
    for wrong, incidents in zip(WRONG, made, strict=True):
        for each in incidents:
            damage(store, table, column, wrong, each)
    for again, deleted, dropped in made:
        store.save_incident(later(again))
        assert NEW in evidence(store, again)
        with suppress(MonitordError):
            store.delete_incident(deleted.correlation_id)
        with suppress(MonitordError):
            store.drop_evidence([dropped.correlation_id])
    for ask in (store.settle, store.usage, lambda: StoreReader(store.data_dir).counts()):
        ask()
    store.leftovers(AT)
    store.close()
    with closing(open_store(store.data_dir)) as started:
        with suppress(MonitordError):
            started.adopt()
        assert all(NEW in evidence(started, again) for again, *_others in made)
        started.repair()
        started.adopt()
        assert started.verify() == []
        assert all(NEW in evidence(started, again) for again, *_others in made)


@pytest.mark.parametrize("table", ["incident", "profile_capture"])
@pytest.mark.parametrize("wrong", ["CAST(CELL AS BLOB)", "x'ff00'", "'../x'"])
def test_what_is_deleted_stays_so_when_its_rows_can_not_name_it(
    table: str, wrong: str, store: SQLiteProfileStore
) -> None:
    """Nothing is left that a start would take in again, and nobody else's evidence goes."""
    deleted, other = saved(store, 2)
    damage(store, table, "artefact_key", wrong, deleted)
    store.delete_incident(deleted.correlation_id)
    assert store.adopt() == 0
    assert [each.correlation_id for each in store.fetch_recent(9)] == [other.correlation_id]
    assert store.verify() == []


def test_what_is_committed_is_never_cleaned_up(
    store: SQLiteProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When removing what was replaced fails, whatever the reason, the new rows keep their artefacts."""
    (incident,) = saved(store, 1)
    manager = type(store._ready()[1].artefacts)
    delete = manager.delete

    def fail_once(*_arguments: object) -> int:
        monkeypatch.setattr(manager, "delete", delete)
        raise RuntimeError

    monkeypatch.setattr(manager, "delete", fail_once)
    with pytest.raises(RuntimeError):
        store.save_incident(later(incident))
    assert NEW in evidence(store, incident)


@pytest.mark.parametrize("column", ["size_bytes", "stored_bytes"])
@pytest.mark.parametrize("size", [-1, 2**53 + 1, 9 * 10**18, float("inf"), "abc", b"1"])
def test_a_size_that_nothing_has_is_damage(column: str, size: object) -> None:
    """Of both tables: a whole number from 0 to 2**53 is sound, and sums of those are exact."""
    for record in (StoredIncident, StoredCapture):
        if column in columns_of(record):
            assert damage_in(record.TABLE, {column: size}) == (column,)
            assert damage_in(record.TABLE, {column: 2**53}) == damage_in(record.TABLE, {column: 0}) == ()


def test_sizes_that_are_damaged_hide_no_sound_ones(store: SQLiteProfileStore) -> None:
    """What the store takes is told although the sum of all cells would be too large."""
    one, two, _sound = saved(store, 3)
    for each in (one, two):
        damage(store, "profile_capture", "stored_bytes", f"{9 * 10**18}", each)
    assert 0 < stored_bytes(store.database) < 10**9


@pytest.mark.parametrize("mark", ["!", "T", "_"])
def test_a_time_is_read_only_as_it_is_written(mark: str) -> None:
    """Times are compared as text, so one that is written otherwise would be put in a wrong place."""
    written = time_cell(AT)
    assert time_of(written) == AT
    for wrong in (written.replace(" ", mark), f"{written}+00:00", written[:-1], written[:16], f"{written}\n"):
        with pytest.raises(ValueError, match="not a time"):
            time_of(wrong)
        assert damage_in("incident", {"raised_at": wrong}) == ("raised_at",)


def test_values_of_a_newer_version_are_no_damage(store: SQLiteProfileStore) -> None:
    """What it keeps besides in steps, hotspots, their statements and history is left out, and all else is read."""
    (incident,) = saved(store, 1)
    name = incident.correlation_id
    before = StoreReader(store.data_dir).incident(name)
    spot = Hotspot("burn", None, None, 0.5, 0.5, statements=(Statement(3, 0.5),))
    newer: dict[str, Any] = {
        "hotspots": json.dumps(
            [{"function": "burn", "self_share": 0.5, "total_share": 0.5, "newer": 1,
              "statements": [{"line": 3, "self_share": 0.5, "newer": [1]}]}]
        ),
        "not_captured": json.dumps(
            [{"profiler": "perf", "status": "refused", "reason": "r", "fix": None, "newer": {}}]
        ),
        "history": packed_cell([[time_cell(AT), 1.0, 2, *[None] * 7, "newer", 3]]),
    }  # fmt: skip
    for column, cell in newer.items():
        change(store, f"UPDATE incident SET {column} = ?", cell)  # noqa: S608
    view = StoreReader(store.data_dir).incident(name)
    assert view.hotspots == (spot,)
    assert [step.profiler for step in view.not_captured] == ["perf"]
    assert [point.machine_percent for point in view.history] == [1.0]
    assert view.captures == before.captures
    store.pin(name)
    assert store.verify() == []


def test_a_damaged_baseline_hides_no_incident(store: SQLiteProfileStore) -> None:
    """The incident is told without it, and that it was left out is said."""
    one, baseline = saved(store, 2)
    note_baseline(store.state, "program", baseline.correlation_id)
    change(store, "UPDATE profile_capture SET notes = ?", json.dumps({"program": "program"}))
    told: list[str] = []
    with StoreReader(store.data_dir, on_damage=told.append) as reader:
        found = reader.incident(one.correlation_id).baseline
        assert found is not None
        assert found.correlation_id == baseline.correlation_id
        damage(store, "incident", "hotspots", "'{'", baseline)
        assert reader.incident(one.correlation_id).baseline is None
    assert len(told) == 1
    assert "hotspots" in told[0]


def test_a_damaged_note_keeps_nobody_from_saving_its_incident_again(store: SQLiteProfileStore) -> None:
    """It is left out then; before, changing the incident says what is wrong, and nothing is written over it."""
    (incident,) = saved(store, 1)
    for text in ("first", "second"):
        store.add_note(incident.correlation_id, text, AT)
    change(
        store, "UPDATE event SET payload = '[' WHERE id = (SELECT max(id) FROM event WHERE event_type = 4)"
    )
    with pytest.raises(DamagedRowError, match="note"):
        store.pin(incident.correlation_id)
    store.save_incident(incident)
    with StoreReader(store.data_dir) as reader:
        assert [note.text for note in reader.incident(incident.correlation_id).notes] == ["first"]


@pytest.mark.parametrize("value", [None, b"key", 5, 1.5, "", "../x", "a//b"])
def test_only_text_is_a_key(value: object) -> None:
    assert not is_key(value)
