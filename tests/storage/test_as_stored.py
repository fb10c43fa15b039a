"""Rows and artefacts lie on disk as they always did: the golden file was written before records had types."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from monitord.storage import SQLiteProfileStore, StoreReader, open_store
from monitord.storage.cells import packed_cell
from tests.storage.golden import GOLDEN, as_stored, fill, incidents

NAMES = [*(incident.correlation_id for incident in incidents()), "dddddddddddd", "eeeeeeeeeeee"]


def golden() -> dict[str, Any]:
    held: dict[str, Any] = json.loads(GOLDEN.read_text())
    return held


def cells_of(row: dict[str, Any]) -> dict[str, Any]:
    """Golden text as the cells that it was: raw bytes were told in hexadecimal, packed history as its JSON."""
    cells = {**row, "stored_bytes": 0}
    if cells.get("history"):
        cells["history"] = packed_cell(json.loads(cells["history"]))
    if "\udcff".encode("utf-8", "surrogateescape").hex() in (cells.get("process_name") or ""):
        cells["process_name"] = bytes.fromhex(cells["process_name"])
    return cells


def test_everything_is_stored_as_it_was(store: SQLiteProfileStore) -> None:
    """Every cell of every row, every byte of every incident's artefact, every value that headers hold."""
    fill(store)
    assert json.loads(json.dumps(as_stored(store.data_dir))) == golden()


def test_rows_of_then_are_read_as_those_of_now(
    store: SQLiteProfileStore, data_dir: Path, tmp_path: Path
) -> None:
    """A database with the rows of the golden file answers what one answers that was filled just now."""
    fill(store)
    old = open_store(tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / "monitord.db", isolation_level=None)) as connection:
        for table, rows in golden()["tables"].items():
            for row in rows:
                cells = cells_of(row) if table != "event" else row
                marks = ", ".join("?" * len(cells))
                sql = f"INSERT INTO {table} ({', '.join(cells)}) VALUES ({marks})"  # noqa: S608
                connection.execute(sql, list(cells.values()))
    before, now = StoreReader(tmp_path / "old"), StoreReader(data_dir)
    for name in NAMES:
        assert repr(before.incident(name)).replace(f"{tmp_path / 'old'}", f"{data_dir}") == repr(
            now.incident(name)
        )
    assert [record.id for record in before.recent()] == [record.id for record in now.recent()]
    old.close()


def test_a_database_rebuilt_from_artefacts_has_the_same_rows(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    """All but the rows' numbers: who reads can't tell that it was lost."""
    fill(store)
    (data_dir / "monitord.db").unlink()
    store.migrate_if_needed()
    rebuilt, then = as_stored(data_dir)["tables"], golden()["tables"]
    for table in ("incident", "profile_capture"):
        with_none = [
            sorted(({**row, "id": None} for row in rows[table]), key=repr) for rows in (rebuilt, then)
        ]
        assert with_none[0] == with_none[1]
    assert store.verify() == []
