"""Rows leave as an export would: every text of a person or a program is looked through, in every column."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from monitord.analytics.tables import EVENTS, TABLES, Table
from monitord.export.cleaning import Cleaner, Identities
from monitord.fleet.day_rows import RowCleaner

SECRET = "hunter2Zx81Qw90"
OURS = {  # words of ours from lists of ours, hashes, random ids
    *("host_id", "correlation_id", "metric", "threshold_unit", "status", "profiler", "event_type"),
    *("func_id", "code", "taken_from"),
}
FILLED = {"int64": 1, "float64": 1.0, "bool": False, "time": datetime(2026, 11, 20, tzinfo=UTC)}


def cleaned(table: Table, column: str, text: str) -> Any:
    row = tuple(
        text if name == column else FILLED.get(kind, "x" if kind == "text" else None)
        for name, kind in table.columns
    )
    cleaner = RowCleaner(Cleaner(Identities(("carol", "Zoë"), ("web1",))))
    return cleaner.clean(table, [row])[0][[name for name, _ in table.columns].index(column)]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        pytest.param(table, name, id=f"{table.name}.{name}")
        for table in TABLES
        for name, kind in table.columns
        if kind == "text" and name not in OURS
    ],
)
def test_no_text_leaves_with_a_secret_or_a_person_in_it(table: Table, column: str) -> None:
    """Also the name of a rule, which somebody wrote."""
    safe = str(cleaned(table, column, f"see --password={SECRET} of /home/carol/x"))
    assert SECRET not in safe
    assert "carol" not in safe


@pytest.mark.parametrize(
    "payload",
    [
        {"password": SECRET},
        {"args": ["--password", SECRET]},
        {"a": [{"api_key": SECRET}]},
        {"url": f"postgres://u:{SECRET}@db/x"},
        {"text": json.dumps({"token": SECRET})},
        {"who": "Zoë", "where": "/home/Zoë/x"},
    ],
)
def test_no_payload_leaves_with_a_secret_or_a_person_in_it(payload: dict[str, Any]) -> None:
    """However JSON writes its letters."""
    for is_plain in (True, False):
        safe = str(cleaned(EVENTS, "payload", json.dumps(payload, ensure_ascii=is_plain)))
        assert SECRET not in safe
        assert "Zo" not in safe
