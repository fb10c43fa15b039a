"""What each column may hold: SQLite takes any value anywhere, so its checks don't see a flipped bit there.

A row that holds anything else is left out of answers, reported, and put right by `storage verify --repair`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from monitord.errors import DamagedRowError
from monitord.model import CaptureStatus, TriggerMetric
from monitord.storage.artefacts import is_key
from monitord.storage.cells import ZstdError, packed_of, text_of, time_of
from monitord.storage.events.rows import CODES
from monitord.storage.thinning import unpack

MENDED_BY = "`monitord storage verify --repair` puts right what can be"
# What reading a value raises that nobody can have written.
SENSELESS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    ZstdError,
)
_SHOWN = 40
_LARGEST = 1e18

Check = Callable[[Any], object]


def _whole(value: Any) -> None:
    if not isinstance(value, int):
        raise TypeError


def _number(value: Any) -> None:
    if not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise TypeError


def _text(value: Any) -> None:
    if not isinstance(value, str | bytes):
        raise TypeError
    if isinstance(value, str):
        value.encode()  # invalid UTF-8 that was read leniently; raw bytes of a name lie as a BLOB


def _name(value: Any) -> None:
    if not isinstance(value, str):
        raise TypeError
    value.encode()


def _key(value: Any) -> None:
    if not isinstance(value, str) or not is_key(value):
        raise ValueError


def _incident_id(value: Any) -> None:
    _key(value)
    if "/" in value:  # it becomes part of keys
        raise ValueError


def _flag(value: Any) -> None:
    if value not in (0, 1):
        raise ValueError


def _word(*words: object) -> Check:
    def check(value: Any) -> None:
        if value not in words:
            raise ValueError

    return check


def _list_of(*kinds: type) -> Check:
    def check(value: Any) -> None:
        held = json.loads(value)
        if not isinstance(held, list) or not all(isinstance(each, kinds) for each in held):
            raise TypeError

    return check


def _mapping(value: Any) -> None:
    if not isinstance(json.loads(value), dict):
        raise TypeError


def _packed(value: Any) -> None:
    if value and not isinstance(packed_of(value), list):
        raise TypeError


def _data(value: Any) -> None:
    if not isinstance(value, bytes):
        raise TypeError


_METRIC = _word(*TriggerMetric)
_SHARED: Mapping[str, Check] = {
    "correlation_id": _incident_id,
    "process_name": _text,
    "pid": _whole,
    "trigger_metric": _METRIC,
    "trigger_value": _number,
    "started_ticks": _whole,
    "user": _text,
    "command_line": _list_of(str),
    "late": _flag,
    "artefact_key": _key,
    "stored_bytes": _whole,
}
TABLES: Mapping[str, Mapping[str, Check]] = {
    "incident": {
        **_SHARED,
        **dict.fromkeys(("rule", "threshold_unit", "boot_id", "suppressed_by"), _text),
        **dict.fromkeys(("reason", "executable", "cgroup", "unit", "container_id"), _text),
        **dict.fromkeys(("threshold_value", "window_s", "severity"), _number),
        **dict.fromkeys(("crossed_at", "raised_at", "started_at"), time_of),
        **dict.fromkeys(("parent_pid", "uid", "thread_count", "fd_count"), _whole),
        **dict.fromkeys(("pinned", "is_summary"), _flag),
        **dict.fromkeys(("not_captured", "hotspots"), _list_of(dict)),
        "history": _packed,
        "state": _word("active", "deleting"),
    },
    "profile_capture": {
        **_SHARED,
        **dict.fromkeys(("profile_path", "role", "profiler", "profiler_version"), _text),
        **dict.fromkeys(("failure_reason", "fix", "format", "checksum"), _text),
        **dict.fromkeys(
            ("id", "duration_seconds", "rate_hz", "sample_count", "error_count", "size_bytes"), _whole
        ),
        "captured_at": time_of,
        "notes": _mapping,
        "status": _word(*CaptureStatus),
        "target_cpu_percent": _number,
        "is_leading": _flag,
        "state": _word("active", "deleting", "missing", "dropped"),
    },
    "history": {"id": _whole, "taken_from": time_of, "taken_until": time_of, "rates": unpack},
    "state": {
        **dict.fromkeys(("user_id", "session_id", "key", "version"), _name),
        "data": _data,
        **dict.fromkeys(("created_us", "expires_us"), _whole),
    },
    "event": {
        **dict.fromkeys(("id", "pid", "start_ticks", "arity"), _whole),
        "event_type": _word(*CODES.values()),
        **dict.fromkeys(("process_name", "module", "function", "correlation_id", "ast_node_id"), _name),
        "payload": _mapping,
    },
}
# NULL stands in all other columns for what is not known.
REQUIRED: Mapping[str, frozenset[str]] = {
    "incident": frozenset(
        (
            *("correlation_id", "rule", "trigger_metric", "trigger_value", "window_s", "severity", "reason"),
            *("crossed_at", "raised_at", "process_name", "not_captured", "hotspots", "late", "pinned"),
            *("is_summary", "stored_bytes", "state"),
        )
    ),
    "profile_capture": frozenset(
        (
            *("id", "process_name", "pid", "trigger_metric", "trigger_value", "captured_at", "profile_path"),
            *(
                "correlation_id",
                "role",
                "status",
                "late",
                "is_leading",
                "size_bytes",
                "stored_bytes",
                "state",
            ),
        )
    ),
    "history": frozenset(("id", "taken_from", "taken_until", "rates")),
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
        raise DamagedRowError(f"{described(table, row, columns)}; {MENDED_BY}")


def described(table: str, row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    """Which row it is and what is wrong with it, in words."""
    name = next((row[key] for key in ("correlation_id", "key", "id") if row.get(key) is not None), "?")
    value = repr(row[columns[0]])
    value = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return f"{table} {str(name)[:_SHOWN]!r}: {columns[0]} holds the invalid value {value}"


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
