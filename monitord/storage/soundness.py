"""What each column may hold: SQLite takes any value anywhere, so its checks don't see a flipped bit there.

A row that holds anything else is left out of answers, reported, and put right by `storage verify --repair`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from monitord.storage.cells import (
    REFUSED,
    SENSELESS,
    columns_of,
    damaged_row,
    one_of,
    text_of,
    time_of,
    whole,
)
from monitord.storage.events.rows import CODES
from monitord.storage.records import StoredCapture, StoredIncident
from monitord.storage.thinning import unpack

Check = Callable[[Any], object]


def _name(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError
    value.encode()


def _mapping(value: Any) -> None:
    if not isinstance(json.loads(value), dict):
        raise TypeError


def _data(value: Any) -> None:
    if not isinstance(value, bytes):
        raise TypeError


_OF_RECORDS = {each.TABLE: columns_of(each) for each in (StoredIncident, StoredCapture)}
TABLES: Mapping[str, Mapping[str, Check]] = {
    **{table: {name: each.kind.read for name, each in held.items()} for table, held in _OF_RECORDS.items()},
    "history": {"id": whole, "taken_from": time_of, "taken_until": time_of, "rates": unpack, "step_s": whole},
    "state": {
        **dict.fromkeys(("user_id", "session_id", "key", "version"), _name),
        "data": _data,
        **dict.fromkeys(("created_us", "expires_us"), whole),
    },
    "event": {
        **dict.fromkeys(("id", "pid", "start_ticks", "arity"), whole),
        "event_type": one_of(CODES.values()),
        **dict.fromkeys(("process_name", "module", "function", "correlation_id", "ast_node_id"), _name),
        "payload": _mapping,
    },
}
# NULL stands in all other columns for what is not known.
REQUIRED: Mapping[str, frozenset[str]] = {
    **{
        table: frozenset(name for name, each in held.items() if name == "id" or each.null is REFUSED)
        for table, held in _OF_RECORDS.items()
    },
    "history": frozenset(("id", "taken_from", "taken_until", "rates", "step_s")),
    "state": frozenset(("user_id", "session_id", "key", "data", "created_us", "version")),
    "event": frozenset(("id", "event_type")),
}


def damage_in(table: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns of a row that hold what nobody can have written; not all columns need be there."""
    checks, required = TABLES[table], REQUIRED[table]
    return tuple(
        name
        for name, value in row.items()
        if name in checks and not _is_sound(checks[name], value, name in required)
    )


def check_row(table: str, row: Mapping[str, Any]) -> None:
    """Raise DamagedRowError for a row that is damaged."""
    if columns := damage_in(table, row):
        raise damaged_row(table, row, columns[0])


def _is_sound(check: Check, value: Any, is_required: bool) -> bool:
    if value is None:
        return not is_required
    try:
        check(value)
    except SENSELESS:
        return False
    return True


def readable_text(cell: Any) -> str:
    """Return any cell as text, for comparing; empty for other types."""
    return text_of(cell) if isinstance(cell, str | bytes) else ""
