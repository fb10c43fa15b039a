"""The fields of a record are the columns of its table, and a save passes few files."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import monitord.storage
from monitord.errors import DamagedRowError
from monitord.model import Incident
from monitord.storage import SQLiteProfileStore, StoreReader
from monitord.storage.cells import cells, columns_of, plain, read_plain, read_row
from monitord.storage.migrate import migrate
from monitord.storage.records import IncidentRecords, StoredCapture, StoredIncident
from monitord.storage.rows import load_records
from monitord.storage.tables import metadata
from tests.storage.golden import incidents
from tests.storage.test_verifying import change_header

Maker = Callable[..., Incident]
RECORDS = (StoredIncident, StoredCapture)
ROOM = Path(monitord.storage.__file__).parent
FILES_PASSED = 6


@pytest.fixture
def records(store: SQLiteProfileStore) -> IncidentRecords:
    """Of an incident with everything, as they are read."""
    store.save_incident(incidents()[0])
    with store._transaction() as connection:
        found = load_records(connection, incidents()[0].correlation_id)
    assert found is not None
    return found


@pytest.mark.parametrize("record", RECORDS)
def test_fields_are_the_columns_of_what_the_migrations_build(record: type[Any], tmp_path: Path) -> None:
    """By name, order, type and whether NULL may stand there; so are those of the tables that the writer sees."""
    data_dir = tmp_path / "migrated"
    data_dir.mkdir(mode=0o700)
    migrate(data_dir)
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        found = connection.execute(f"PRAGMA table_info({record.TABLE})").fetchall()
    names = [field.name for field in fields(record)]
    assert names == [column[1] for column in found]
    assert names == [column.name for column in metadata.tables[record.TABLE].columns]
    columns = columns_of(record)
    assert [columns[name].kind.sql for name in names] == [column[2] for column in found]
    must = {column[1] for column in found if column[3]} - {"id"}
    may_be_none = {name for name in names if columns[name].null is None}
    assert not must & may_be_none


def test_what_is_written_is_what_is_read(records: IncidentRecords) -> None:
    """Cells and JSON give the record that they were written from, which is what was asked to be kept."""
    for record in (records.incident, *records.captures):
        assert read_row(type(record), cells(record)) == record
        assert read_plain(type(record), plain(record)) == record
    kept, given = records.incident, incidents()[0]
    assert kept.history == given.history
    assert kept.hotspots[0] == given.captures[2].hotspots[0]
    assert kept.command_line == given.process.command_line if given.process else False
    assert [capture.captured_at for capture in records.captures] == sorted(
        capture.started_at for capture in given.captures
    )


@pytest.mark.parametrize("record", RECORDS)
def test_a_cell_that_nobody_can_have_written_is_refused_by_name(
    record: type[Any], records: IncidentRecords
) -> None:
    """In each column, whatever its type; a name that no column has is left out, a missing one gets its default."""
    sound = cells(records.incident if record is StoredIncident else records.captures[0])
    for name in columns_of(record):
        with pytest.raises(DamagedRowError, match=f": {name} holds the invalid value"):
            read_row(record, {**sound, name: {"nobody": "wrote"}})
    assert read_row(record, {**sound, "of_tomorrow": 1}) == read_row(record, sound)
    del sound["late"]
    assert read_row(record, sound).late is False


@pytest.mark.parametrize("captures", [True, False])
def test_a_save_passes_at_most_six_files(
    store: SQLiteProfileStore, make_incident: Maker, captures: bool
) -> None:
    """Of those in `monitord/storage`; what lies in the rooms of artefacts and events stands behind their doors."""
    incident = make_incident()
    incident = incident if captures else replace(incident, captures=())
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent == ROOM:
            passed.add(path.name)

    sys.settrace(note)
    try:
        store.save_incident(incident)
    finally:
        sys.settrace(None)
    assert "store.py" in passed, "the trace must see something"
    assert len(passed) <= FILES_PASSED, sorted(passed)


def test_a_damaged_row_keeps_nobody_from_saving_its_incident_again(
    store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """Whatever stands in the rows that go: the pin stays, and all is well afterwards."""
    incident = make_incident()
    store.save_incident(incident)
    store.pin(incident.correlation_id)
    with closing(sqlite3.connect(store.database)) as connection:
        connection.execute("UPDATE incident SET hotspots = '{', severity = 'x', history = x'00'")
        connection.execute("UPDATE profile_capture SET status = 'unheard of', notes = '[', late = 7")
        connection.commit()
    with pytest.raises(DamagedRowError):
        store.pin(incident.correlation_id)
    assert all(record.pinned for record in store.save_incident(incident))
    assert store.verify() == []


def test_an_artefact_waits_while_its_incidents_rows_are_damaged(
    store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """It is neither taken in nor set aside; when the rows are put right everything is there again."""
    incident = make_incident()
    store.save_incident(incident)
    before = StoreReader(store.data_dir).incident(incident.correlation_id)
    files = sorted(path.name for path in (store.data_dir / "artefacts").iterdir())
    with closing(sqlite3.connect(store.database)) as connection:
        connection.execute("UPDATE incident SET severity = 'x', artefact_key = NULL")
        connection.commit()
    assert store.adopt() == 0
    assert sorted(path.name for path in (store.data_dir / "artefacts").iterdir()) == files
    store.repair()
    store.adopt()
    after = StoreReader(store.data_dir).incident(incident.correlation_id)
    assert [record.status for record in after.captures] == [record.status for record in before.captures]
    assert (after.severity, after.history) == (before.severity, before.history)
    assert store.verify() == []


def test_an_artefact_says_nothing_of_rows_numbers_and_places(
    store: SQLiteProfileStore, make_incident: Maker
) -> None:
    """An id or a state that somebody wrote into a header takes no row's place."""
    kept = store.save_incident(make_incident())
    given = store.save_incident(make_incident(name="other"))
    path = next((store.data_dir / "artefacts").glob(f"*-{given[0].correlation_id}-profile.*"))
    change_header(path, lambda header: header["capture"].update({"id": kept[0].id, "state": "deleting"}))
    store.delete_incident(kept[0].correlation_id)
    (store.data_dir / "monitord.db").unlink()
    for own in (store.data_dir / "artefacts").glob("*-incident.*"):
        own.unlink()
    store.migrate_if_needed()
    (record, *_others) = StoreReader(store.data_dir).incident(given[0].correlation_id).captures
    assert record.process_name == "other"
    assert store.verify() == []


def test_records_are_what_storage_passes_on() -> None:
    """No table of anything by name is handed from file to file: only cells are."""
    told = [
        path.name
        for path in ROOM.glob("*.py")
        if path.name != "cells.py" and "dict[str, Any]" in path.read_text()
    ]
    assert told == []


def test_questions_of_the_writer_wait_for_nobody(store: SQLiteProfileStore, make_incident: Maker) -> None:
    """Who only asks takes no lock, so another process may write meanwhile; who changes something waits."""
    store.save_incident(make_incident())
    with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with store._questions() as connection:
            assert len(connection.execute(metadata.tables["incident"].select()).all()) == 1
            assert not connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]
        other.execute("ROLLBACK")
    with store._transaction() as connection:
        assert connection.connection.driver_connection.in_transaction  # type: ignore[union-attr]
