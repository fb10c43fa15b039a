"""Single rows that hold what nobody can have written: found, set aside in words, and put right.

An incident comes back from its own artefact; without one only the damaged values are replaced. History,
events and state stand in no artefact: their damaged rows are removed, and kept as text in the quarantine.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from monitord.durable import durable_write
from monitord.errors import DamagedRowError
from monitord.logs import get_logger
from monitord.storage.artefact_store import ArtefactStore
from monitord.storage.artefacts import ArtefactError, is_key
from monitord.storage.cells import SENSELESS, Row, described, time_cell
from monitord.storage.connection import reading
from monitord.storage.evidence import read_incident_artefact
from monitord.storage.incident_stock import check_incidents
from monitord.storage.rows import choose_leading, insert_records
from monitord.storage.soundness import REQUIRED, TABLES, damage_in

_PAGE = 200
_EVIDENCE = ("incident", "profile_capture")
_NEUTRAL: Mapping[str, Any] = {
    **dict.fromkeys(("trigger_metric",), "manual"),
    **dict.fromkeys(("not_captured", "hotspots"), "[]"),
    **dict.fromkeys(("state",), "active"),
    **dict.fromkeys(("status",), "tool_error"),
    **dict.fromkeys(("rule", "reason", "process_name", "profile_path"), "?"),
    **dict.fromkeys(("role",), "profile"),
}


def damaged_rows(
    connection: sqlite3.Connection, correlation_ids: Sequence[str] | None = None
) -> Iterator[tuple[str, int, Row, tuple[str, ...]]]:
    """Yield table, rowid, row and damaged columns; a page is held at once.

    Of the whole database, or of some incidents with their captures.
    """
    ids = None if correlation_ids is None else json.dumps(correlation_ids)
    for table in TABLES if ids is None else _EVIDENCE:
        last = -(2**63)
        while page := _page(connection, table, last, ids):
            for rowid, row in page:
                last = rowid
                if columns := damage_in(table, row):
                    yield table, rowid, row, columns


def _page(connection: sqlite3.Connection, table: str, after: int, ids: str | None) -> list[tuple[int, Row]]:
    of_them = "" if ids is None else "correlation_id IN (SELECT value FROM json_each(:ids)) AND "
    sql = f"SELECT rowid, * FROM {table} WHERE {of_them}rowid > :after ORDER BY rowid LIMIT {_PAGE}"  # noqa: S608  our names
    cursor = connection.execute(sql, {"after": after, "ids": ids})
    names = [column[0] for column in cursor.description][1:]
    return [(row[0], dict(zip(names, row[1:], strict=True))) for row in cursor]


def told(connection: sqlite3.Connection) -> Iterator[str]:
    """Say which rows are damaged, one line each."""
    for table, _rowid, row, columns in damaged_rows(connection):
        yield described(table, row, columns[0])


def mend_incidents(engine: Engine, artefact_store: ArtefactStore) -> None:
    """Put damaged rows right when there are any among the incidents."""
    try:
        with reading(engine) as connection:
            check_incidents(connection)
    except (DamagedRowError, *SENSELESS):
        mend(engine, artefact_store)


def mend(
    engine: Engine, artefact_store: ArtefactStore, correlation_ids: Sequence[str] | None = None
) -> list[str]:
    """Put damaged rows right, all or those of some incidents; what was done, in words."""
    done: list[str] = []
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - what `open_engine` makes
        found = list(damaged_rows(driver, correlation_ids))
        for table, rowid, row, columns in found:
            keep_as_text(artefact_store, table, row)
            words = described(table, row, columns[0])
            how = (
                _mend_evidence(connection, driver, artefact_store, table, rowid, columns)
                if table in _EVIDENCE
                else _remove(driver, table, rowid)
            )
            done.append(f"{words}: {how}")
            get_logger().warning("store.row_mended", table=table, row=words, how=how)
    return done


def _mend_evidence(
    connection: Connection,
    driver: sqlite3.Connection,
    artefact_store: ArtefactStore,
    table: str,
    rowid: int,
    columns: tuple[str, ...],
) -> str:
    now = _row(driver, table, rowid)
    if now is None or not damage_in(table, now):
        return "put right with its incident"
    correlation_id = now["correlation_id"]
    if "correlation_id" not in columns and _restore(connection, driver, artefact_store, correlation_id):
        return "written anew from its artefact"
    if "correlation_id" in columns:
        return _remove(driver, table, rowid)  # its artefacts, if it has any, come back by adoption
    values = {name: _neutral(table, name, now) for name in damage_in(table, now)}
    changes = ", ".join(f'"{name}" = ?' for name in values)
    driver.execute(f"UPDATE {table} SET {changes} WHERE rowid = ?", [*values.values(), rowid])  # noqa: S608
    choose_leading(connection, correlation_id)
    return f"{', '.join(values)} replaced"


def _restore(
    connection: Connection, driver: sqlite3.Connection, artefact_store: ArtefactStore, correlation_id: str
) -> bool:
    """Write the rows of an incident as its own artefact has them."""
    for key in _keys_of(driver, artefact_store, correlation_id):
        try:
            records = read_incident_artefact(artefact_store.artefacts, key)
            if records.incident.correlation_id != correlation_id:
                continue
            with connection.begin_nested():
                driver.execute("DELETE FROM profile_capture WHERE correlation_id = ?", [correlation_id])
                insert_records(connection, records)
            return True
        except (ArtefactError, *SENSELESS):
            continue
    return False


def _keys_of(driver: sqlite3.Connection, artefact_store: ArtefactStore, correlation_id: str) -> list[str]:
    """Artefacts that may be the incident's own: the one its row names, then those named after it."""
    named = driver.execute("SELECT artefact_key FROM incident WHERE correlation_id = ?", [correlation_id])
    keys = [row[0] for row in named if is_key(row[0])]
    mark = f"-{correlation_id}-incident"
    return [*keys, *(key for key in artefact_store.artefacts.list() if mark in key and key not in keys)]


def _row(driver: sqlite3.Connection, table: str, rowid: int) -> Row | None:
    cursor = driver.execute(f"SELECT * FROM {table} WHERE rowid = ?", [rowid])  # noqa: S608  our names
    row = cursor.fetchone()
    names = [column[0] for column in cursor.description]
    return None if row is None else dict(zip(names, row, strict=True))


def _remove(driver: sqlite3.Connection, table: str, rowid: int) -> str:
    driver.execute(f"DELETE FROM {table} WHERE rowid = ?", [rowid])  # noqa: S608  our names
    return "removed, and kept as text in the quarantine"


def _neutral(table: str, column: str, row: Row) -> Any:
    """What stands for a value that is lost."""
    if column not in REQUIRED[table]:
        return None
    if column.endswith("_at"):
        others = (row.get(name) for name in ("raised_at", "crossed_at", "captured_at") if name != column)
        sound = next(
            (each for each in others if isinstance(each, str) and not damage_in(table, {column: each})), None
        )
        return sound or time_cell(datetime.now(UTC))
    return _NEUTRAL.get(column, 0)


def keep_as_text(artefact_store: ArtefactStore, table: str, row: Row) -> None:
    """Beside what else could not be read, for a person to look at."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    text = json.dumps({"table": table, "row": row}, default=repr, indent=1)
    content = text.encode("utf-8", "backslashreplace")
    folder = artefact_store.folder.open_quarantine()
    try:
        status = os.fstat(folder)
        owner = (status.st_uid, status.st_gid)  # root hands over what it writes in a service's directory
        durable_write(Path(f"row-{table}-{stamp}.json"), content, owner=owner, within=folder)
    finally:
        os.close(folder)
