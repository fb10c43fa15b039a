"""An incident and its captures as *facts*: plain JSON-able values by column name.

The one form between values and storage: facts go into rows, into the incident's own artefact, and back
from either, so that a database rebuilt from artefacts says the same as the one that was lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any

from monitord.best_evidence import leading_hotspots, not_taken, rank
from monitord.model import (
    Alert,
    Capture,
    CaptureStatus,
    HistoryPoint,
    Hotspot,
    Incident,
    ProfileRecord,
)
from monitord.storage.cells import (
    json_cell,
    number_cell,
    packed_cell,
    packed_of,
    text_cell,
    text_of,
    time_cell,
    time_of,
)

Facts = dict[str, Any]

# Columns whose cells are not what the facts hold: JSON text, packed JSON. All others are kept as they are.
_JSON = frozenset({"command_line", "not_captured", "hotspots", "notes"})
_PACKED = frozenset({"history"})

INCIDENT_COLUMNS = (
    *("correlation_id", "rule", "trigger_metric", "trigger_value", "threshold_value", "threshold_unit"),
    *("window_s", "severity", "reason", "crossed_at", "raised_at", "process_name", "pid", "started_ticks"),
    *("boot_id", "started_at", "parent_pid", "uid", "user", "executable", "command_line", "cgroup", "unit"),
    *("container_id", "thread_count", "fd_count", "history", "not_captured", "hotspots", "suppressed_by"),
    *("late", "pinned", "is_summary", "artefact_key", "stored_bytes", "state"),
)
CAPTURE_COLUMNS = (
    *("process_name", "pid", "trigger_metric", "trigger_value", "captured_at", "profile_path"),
    *("duration_seconds", "notes", "correlation_id", "role", "started_ticks", "user", "command_line"),
    *("profiler", "profiler_version", "status", "failure_reason", "fix", "format", "rate_hz"),
    *("sample_count", "error_count", "target_cpu_percent", "late", "is_leading", "artefact_key"),
    *("size_bytes", "stored_bytes", "checksum", "state"),
)


def incident_facts(incident: Incident) -> Facts:
    """What is kept of an incident itself."""
    alert, process = incident.alert, incident.process
    key = process.key if process else alert.target
    return {
        **_alert_facts(alert),
        "correlation_id": incident.correlation_id,
        "process_name": alert.process_name or (process.name if process else ""),
        "pid": key.pid if key else None,
        "started_ticks": key.start_ticks if key else None,
        "boot_id": incident.boot_id,
        "started_at": time_cell(process.started_at) if process else None,
        "parent_pid": process.parent_pid if process else None,
        "uid": process.uid if process else None,
        "user": process.user if process else None,
        "executable": process.executable if process else None,
        "command_line": list(process.command_line) if process else [],
        "cgroup": process.cgroup if process else None,
        "unit": process.unit if process else None,
        "container_id": process.container_id if process else None,
        "thread_count": process.thread_count if process else None,
        "fd_count": process.fd_count if process else None,
        "history": [_point_facts(point) for point in incident.history],
        "not_captured": _not_captured(incident),
        "hotspots": _hotspots(leading_hotspots(incident.captures)),
        "late": 0,
        "pinned": 0,
        "is_summary": 0,
        "artefact_key": None,
        "stored_bytes": 0,
        "state": "active",
    }


def _alert_facts(alert: Alert) -> Facts:
    return {
        "rule": alert.rule,
        "trigger_metric": alert.metric.value,
        "trigger_value": number_cell(alert.value),
        "threshold_value": number_cell(alert.threshold.value),
        "threshold_unit": alert.threshold.unit,
        "window_s": number_cell(alert.window_s),
        "severity": number_cell(alert.severity),
        "reason": alert.reason,
        "crossed_at": time_cell(alert.crossed_at),
        "raised_at": time_cell(alert.raised_at),
        "suppressed_by": alert.suppressed_by,
    }


def _point_facts(point: HistoryPoint) -> list[Any]:
    return [time_cell(point.taken_at), *astuple(point)[1:]]


def history_point(facts: Sequence[Any]) -> HistoryPoint:
    """The inverse of what `incident_facts` keeps of one moment."""
    return HistoryPoint(time_of(facts[0]), *facts[1:])


def _not_captured(incident: Incident) -> list[Facts]:
    if (why := not_taken(incident)) is not None:
        return [{"profiler": "auto", "status": CaptureStatus.REFUSED.value, "reason": why[0], "fix": why[1]}]
    return [
        {
            "profiler": capture.profiler,
            "status": capture.status.value,
            "reason": capture.reason,
            "fix": capture.fix,
        }
        for capture in incident.captures
        if not capture.status.has_evidence
    ]


def _hotspots(spots: Iterable[Hotspot]) -> list[Facts]:
    return [
        {name: value for name, value in asdict(spot).items() if value not in (None, ())} for spot in spots
    ]


def capture_facts(incident: Facts, capture: Capture) -> Facts:
    """What is kept of one capture, before its bytes are stored."""
    return {
        **_shared_facts(incident),
        "pid": capture.target.pid,
        "started_ticks": capture.target.start_ticks,
        "captured_at": time_cell(capture.started_at),
        "duration_seconds": _whole(capture.duration_s),
        "notes": dict(capture.notes) or None,
        "role": capture.role,
        "profiler": capture.profiler,
        "profiler_version": capture.profiler_version,
        "status": capture.status.value,
        "failure_reason": capture.reason,
        "fix": capture.fix,
        "format": capture.format,
        "rate_hz": capture.rate_hz,
        "sample_count": capture.sample_count,
        "error_count": capture.error_count,
        "target_cpu_percent": capture.target_cpu_percent,
        "late": int(capture.late),
    }


def placeholder_facts(incident: Facts) -> Facts:
    """The row of an incident of which nothing was captured, so that it is seen all the same."""
    why: Facts = next(iter(incident["not_captured"]), {})
    return {
        **_shared_facts(incident),
        "captured_at": incident["raised_at"],
        "role": "profile",
        "status": CaptureStatus.REFUSED.value,
        "failure_reason": why.get("reason") or incident["suppressed_by"] or "no capture was taken",
        "fix": why.get("fix"),
    }


def _shared_facts(incident: Facts) -> Facts:
    shared = ("correlation_id", "process_name", "trigger_metric", "trigger_value", "user", "command_line")
    return {
        **dict.fromkeys(CAPTURE_COLUMNS),
        **{name: incident[name] for name in shared},
        "pid": incident["pid"] or 0,
        "started_ticks": incident["started_ticks"],
        "profile_path": "",
        "duration_seconds": 0,
        "late": 0,
        "is_leading": 0,
        "size_bytes": 0,
        "stored_bytes": 0,
        "state": "active",
    }


def _whole(seconds: float) -> int:
    return round(seconds) if math.isfinite(seconds) else 0


def mark_leading(incident: Facts, captures: Sequence[Facts]) -> None:
    """Choose the row that stands for the incident; the incident is late when that row is."""
    best = min(
        captures,
        key=lambda one: rank(
            one["role"], one["status"], late=bool(one["late"]), sample_count=one["sample_count"]
        ),
    )
    for capture in captures:
        capture["is_leading"] = int(capture is best)
    incident["late"] = best["late"]


def record_facts(record: ProfileRecord, correlation_id: str) -> tuple[Facts, Facts]:
    """Make an incident of one capture of the requirement's record, whose file lies where that says."""
    at = time_cell(record.captured_at)
    incident: Facts = {
        **dict.fromkeys(INCIDENT_COLUMNS),
        "correlation_id": correlation_id,
        "rule": record.rule or "",
        "trigger_metric": record.trigger_metric.value,
        "trigger_value": number_cell(record.trigger_value),
        "window_s": 0.0,
        "severity": number_cell(record.severity),
        "reason": "",
        "crossed_at": at,
        "raised_at": at,
        "process_name": record.process_name,
        "pid": record.pid,
        "started_ticks": record.started_ticks,
        "user": record.user,
        "command_line": list(record.command_line),
        "history": [],
        "not_captured": [],
        "hotspots": [],
        "late": int(record.late),
        "pinned": int(record.pinned),
        "is_summary": 0,
        "stored_bytes": 0,
        "state": "active",
    }
    capture: Facts = {
        **_shared_facts(incident),
        **{name: getattr(record, name) for name in CAPTURE_COLUMNS if hasattr(record, name)},
        "trigger_metric": record.trigger_metric.value,
        "trigger_value": incident["trigger_value"],
        "captured_at": at,
        "notes": dict(record.notes) if record.notes else None,
        "correlation_id": correlation_id,
        "command_line": list(record.command_line),
        "status": record.status.value,
        "late": int(record.late),
        "is_leading": 1,
        "artefact_key": None,
        "state": "active",
    }
    return incident, capture


def cells_of(facts: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    """Write facts as cells for these columns; a column the facts do not know is left to its default."""
    return {name: _cell(name, facts[name]) for name in columns if name in facts}


def _cell(name: str, value: Any) -> Any:
    if name in _JSON:
        return None if value is None else json_cell(value)
    if name in _PACKED:
        return packed_cell(value) if value else None
    return text_cell(value) if isinstance(value, str) else value


def facts_of(row: Mapping[str, Any]) -> Facts:
    """Read the cells of one row as facts again."""
    return {name: _fact(name, cell) for name, cell in row.items()}


def _fact(name: str, cell: Any) -> Any:
    if name in _JSON:
        return _json_fact(name, cell)
    if name in _PACKED:
        return packed_of(cell) if cell else []
    return text_of(cell) if isinstance(cell, bytes) else cell


def _json_fact(name: str, cell: str | None) -> Any:
    if cell is None:
        return None if name == "notes" else []
    return json.loads(cell)
