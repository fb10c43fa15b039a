"""Every promise of the store that can be checked from outside, read a page of rows at a time.

Only the names of artefacts are held as a whole, to find those that no row names.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Engine, select

from monitord.durable import file_mode, folder_mode, is_shared
from monitord.model import short_id
from monitord.storage import mending
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import (
    ArtefactError,
    MissingArtefactError,
    StorageManager,
    has_no_row,
)
from monitord.storage.cells import read_row
from monitord.storage.evidence import difference_of_capture, difference_of_incident, is_same_checksum
from monitord.storage.records import StoredCapture, StoredIncident
from monitord.storage.recovery import known_keys
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME, QUARANTINE_NAME
from monitord.storage.tables import incident, profile_capture
from monitord.storage.upkeep import files_in

_T = TypeVar("_T")
PAGE = 200  # rows held at once


def verify(engine: Engine, artefact_store: ArtefactStore, data_dir: Path) -> list[str]:
    """Every promise that can be checked from outside, and how it is broken."""
    with engine.connect() as connection:  # let go before the files are read: others want to write
        found = connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars()
        problems = [f"integrity_check: {line}" for line in found if line != "ok"]
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - what `open_engine` makes
        if damage := list(mending.told(driver)):
            return problems + damage  # what such rows say of files can't be trusted
        problems += _without_leading(connection)
    problems += _verify_captures(engine, artefact_store.artefacts)
    problems += _verify_incidents(engine, artefact_store.artefacts)
    present = [key for key in artefact_store.artefacts.list() if not has_no_row(key)]
    with engine.connect() as connection:
        known = known_keys(connection)
    problems += [f"file without row: {key}" for key in present if key not in known]
    problems += [f"half-written file left: {part}" for part in artefact_store.folder.parts()]
    problems += _verify_modes(data_dir)
    return problems


def each_capture(engine: Engine) -> Iterator[StoredCapture]:
    """Yield all captures; no transaction is open while one is looked at."""
    return _paged(engine, StoredCapture, profile_capture.c.id, 0)


def each_incident(engine: Engine) -> Iterator[StoredIncident]:
    """Yield all incidents; no transaction is open while one is looked at."""
    return _paged(engine, StoredIncident, incident.c.correlation_id, "")


def _paged(engine: Engine, record: type[_T], key: Column[Any], last: Any) -> Iterator[_T]:
    """Rows in the order of their key, from the first one after `last`, a page at a time."""
    query = select(key.table).order_by(key).limit(PAGE)
    while True:
        with engine.connect() as connection:
            page = connection.execute(query.where(key > last)).all()
        for row in page:
            yield read_row(record, dict(row._mapping))
        if not page:
            return
        last = page[-1]._mapping[key]


def _without_leading(connection: Connection) -> Iterator[str]:
    columns = profile_capture.c
    led = select(columns.id).where(
        columns.correlation_id == incident.c.correlation_id, columns.is_leading == 1
    )
    query = select(incident.c.correlation_id).where(~led.exists())
    for name in connection.execute(query).scalars():
        yield f"incident {short_id(name)} has no leading row"


def _verify_captures(engine: Engine, artefacts: StorageManager) -> Iterator[str]:
    for row in each_capture(engine):
        if row.state == "deleting":
            yield f"deletion not finished: row {row.id}"
        elif row.artefact_key and row.state == "active":
            yield from _verify_capture(row, artefacts)


def _verify_capture(row: StoredCapture, artefacts: StorageManager) -> Iterator[str]:
    try:
        found = artefacts.verify(row.artefact_key or "")
    except MissingArtefactError:
        yield f"row without file: {row.artefact_key}"
        return
    except ArtefactError as error:
        yield f"row {row.id}: {error}"
        return
    if not is_same_checksum(found.checksum, row.checksum):
        yield f"checksum of {row.artefact_key} is not the row's"
    elif differing := difference_of_capture(found, row):
        yield f"row {row.id}: {row.artefact_key} says otherwise of itself: {differing}"


def _verify_incidents(engine: Engine, artefacts: StorageManager) -> Iterator[str]:
    for row in each_incident(engine):
        if not row.artefact_key:
            continue
        try:
            differing = difference_of_incident(artefacts, row)
        except ArtefactError as error:
            yield f"incident {short_id(row.correlation_id)}: {error}"
            continue
        if differing:
            yield f"incident {short_id(row.correlation_id)}: {row.artefact_key} says otherwise: {differing}"


def _verify_modes(data_dir: Path) -> Iterator[str]:
    shared = is_shared(data_dir.stat())
    file_limit, folder_limit = file_mode(shared=shared), folder_mode(shared=shared)
    for folder in (data_dir / ARTEFACTS_NAME, data_dir / QUARANTINE_NAME):
        if folder.exists() and folder.stat().st_mode & 0o777 & ~folder_limit:
            yield f"mode of {folder} is wider than {folder_limit:04o}"
        for file in files_in(folder):
            limit = folder_limit if stat.S_ISDIR(file.stat.st_mode) else file_limit
            if file.stat.st_mode & 0o777 & ~limit:
                yield f"mode of {file.path} is wider than {file_limit:04o}"
    for path in data_dir.glob(f"{DATABASE_NAME}*"):
        if path.lstat().st_mode & 0o777 & ~file_limit:
            yield f"mode of {path} is wider than {file_limit:04o}"
