"""A moment as plain data, for programs and pages: the keys that docs/output.md promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from monitord.actions.moments import Moment
from monitord.export.encoding import iso

CSV_KEYS = (
    "at", "taken_at", "machine_percent", "load_1", "memory_total_bytes", "memory_available_bytes",
    "swap_used_bytes", "disk_bytes_per_s", "network_bytes_per_s", "unattributed_cpu_percent", "process_count",
    "leader_pid", "leader", "leader_cpu_percent", "leader_function", "incidents", "unknown_reason",
)  # fmt: skip


def moment_row(moment: Moment) -> dict[str, Any]:
    """Shape one moment."""
    return {
        "at": iso(moment.at),
        "taken_at": _plain(moment.taken_at),
        "totals": _row(moment.totals),
        "leaders": [_row(one) for one in moment.leaders],
        "leaders_at": _plain(moment.leaders_at),
        "incidents": [_row(one) for one in moment.incidents],
        "functions": [_row(one) for one in moment.functions],
        "unknown": _row(moment.unknown),
        "notes": list(moment.notes),
    }


def totals_row(moment: Moment) -> dict[str, Any] | None:
    """Shape its totals alone."""
    return _row(moment.totals)


def moment_cells(moment: Moment) -> dict[str, Any]:
    """Shape one moment as a line of a table: its totals, and the first of its leaders."""
    totals = _row(moment.totals) or {}
    first = moment.leaders[0] if moment.leaders else None
    found = {
        "at": iso(moment.at),
        "taken_at": _plain(moment.taken_at),
        "leader_pid": first.pid if first else None,
        "leader": first.name if first else None,
        "leader_cpu_percent": first.cpu_percent if first else None,
        "leader_function": first.function if first else None,
        "incidents": " ".join(one.id for one in moment.incidents),
        "unknown_reason": moment.unknown.reason if moment.unknown else None,
    }
    return {key: {**totals, **found}.get(key) for key in CSV_KEYS}


def _row(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return dict(value) if isinstance(value, Mapping) else value
