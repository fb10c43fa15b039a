"""The tables outside SQLite: old files are read beside new ones, so what was once written stays as it is."""

from __future__ import annotations

import hashlib

from monitord.analytics.tables import TABLES

FIRST = {"incidents": 36, "events": 12, "hotspots": 15, "process_minutes": 10, "machine_minutes": 11}


def test_every_table_names_its_day_and_its_key_among_its_columns() -> None:
    for table in TABLES:
        columns = dict(table.columns)
        assert len(columns) == len(table.columns)
        assert columns[table.at] == "time"
        assert set(table.key) <= columns.keys()


def test_the_columns_that_were_released_are_the_first_ones_and_unchanged() -> None:
    """A new column comes behind them, and its table keeps this test as it is."""
    text = repr(
        [(table.name, table.folder, table.key, table.columns[: FIRST[table.name]]) for table in TABLES]
    )
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "6fddc350d94f60e0"
