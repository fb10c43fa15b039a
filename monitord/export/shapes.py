"""The store's answers as plain data with stable keys: what `recent`, `show` and `export` write, defined once.

docs/output.md describes every key. Times are ISO-8601 UTC, sizes bytes, CPU percent of one core. Texts are as
processes wrote them: what writes them out (`json_text`, `csv_rows`, the server's fence) makes them fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitord.export.baseline_diff import against_baseline
from monitord.export.context import context_of
from monitord.export.encoding import iso
from monitord.export.units import unit_of
from monitord.model import Event, HistoryPoint, Hotspot, ProcessDetails, ProfileRecord, RuleStatus
from monitord.storage.views import HotFunction, IncidentView, NotCaptured

_CAPTURE_KEYS = (
    "id", "process_name", "pid", "trigger_metric", "trigger_value", "captured_at", "profile_path",
    "duration_seconds", "notes", "status", "profiler", "correlation_id", "late", "pinned",
)  # fmt: skip
ROW_KEYS = (*_CAPTURE_KEYS, "reason", "hottest_function", "raised_at")
EVENT_KEYS = (
    "id", "taken_at", "event_type", "pid", "process_name", "module", "function", "arity", "correlation_id",
    "ast_node_id", "payload",
)  # fmt: skip
HOT_KEYS = (
    "function", "module", "arity", "ast_node_id", "file", "line", "incidents", "self_share_mean",
    "self_share_max", "total_share_max", "code_versions", "last_at", "last_incident",
)  # fmt: skip
CSV_DETAIL_KEYS = (
    *_CAPTURE_KEYS, "rule", "reason", "top_function", "top_file", "top_line", "top_total_share", "raised_at",
)  # fmt: skip


def row(record: ProfileRecord) -> dict[str, Any]:
    """Shape one line of `recent`: the requirement's columns, then what says how good the evidence is."""
    return {
        "id": record.id,
        "process_name": record.process_name,
        "pid": record.pid or None,  # 0: no process can be blamed
        "trigger_metric": record.trigger_metric.value,
        "trigger_value": record.trigger_value,
        "captured_at": iso(record.captured_at),
        "profile_path": record.profile_path,
        "duration_seconds": record.duration_seconds,
        "notes": record.notes,
        "status": record.status.value,
        "profiler": record.profiler,
        "correlation_id": record.correlation_id,
        "late": record.late,
        "pinned": record.pinned,
        "reason": record.reason,
        "hottest_function": record.hottest_function,
        "raised_at": iso(record.raised_at or record.captured_at),
    }


def detail(view: IncidentView) -> dict[str, Any]:
    """Shape a whole incident: its row, why it fired, what stood before it, every step with its outcome."""
    return {
        **row(view.record),
        "rule": view.rule,
        "reason": view.reason,
        "threshold": {"value": view.threshold.value, "unit": view.threshold.unit} if view.threshold else None,
        "window_seconds": view.window_s,
        "severity": view.severity,
        "crossed_at": iso(view.crossed_at),
        "raised_at": iso(view.raised_at),
        "suppressed_by": view.suppressed_by,
        "repeats": view.repeat_count,
        "summary": view.is_summary,
        "process": _process(view.process) if view.process else None,
        "history": [_point(point) for point in view.history],
        "captures": [capture(record) for record in view.captures],
        "not_captured": [_not_captured(step) for step in view.not_captured],
        "hotspots": [hotspot(spot) for spot in view.hotspots],
        "context": dict(context_of(view)),
        "baseline": _baseline(view),
        "annotations": [{"taken_at": iso(note.taken_at), "text": note.text} for note in view.notes],
    }


def _baseline(view: IncidentView) -> dict[str, Any] | None:
    if view.baseline is None:
        return None
    return {
        "correlation_id": view.baseline.correlation_id,
        "taken_at": iso(view.baseline.taken_at),
        "text": against_baseline(view),
    }


def event_row(event: Event) -> dict[str, Any]:
    """Shape one event; `payload` is what its type has to say besides."""
    return {
        "id": str(event.id),
        "taken_at": iso(event.taken_at),
        "event_type": event.event_type.value,
        "pid": event.pid,
        "process_name": event.process_name,
        "module": event.module,
        "function": event.function,
        "arity": event.arity,
        "correlation_id": event.correlation_id,
        "ast_node_id": event.ast_node_id,
        "payload": event.payload,
    }


def hot_row(spot: HotFunction) -> dict[str, Any]:
    """Shape one function (or statement) across captures."""
    return {
        "function": spot.function,
        "module": spot.module,
        "arity": spot.arity,
        "ast_node_id": spot.node,
        "file": spot.file,
        "line": spot.line,
        "incidents": spot.incidents,
        "self_share_mean": round(spot.self_share_mean, 4),
        "self_share_max": round(spot.self_share_max, 4),
        "total_share_max": None if spot.total_share_max is None else round(spot.total_share_max, 4),
        "code_versions": spot.versions,
        "last_at": iso(spot.last_at),
        "last_incident": spot.last_incident,
    }


def capture(record: ProfileRecord) -> dict[str, Any]:
    """Shape one step and how it ended."""
    return {
        "id": record.id,
        "role": record.role,
        "profiler": record.profiler,
        "profiler_version": record.profiler_version,
        "status": record.status.value,
        "reason": record.failure_reason,
        "fix": record.fix,
        "captured_at": iso(record.captured_at),
        "duration_seconds": record.duration_seconds,
        "sample_count": record.sample_count,
        "target_cpu_percent": record.target_cpu_percent,
        "late": record.late,
        "notes": record.notes,
        "format": record.format,
        "profile_path": record.profile_path,
        "size_bytes": record.size_bytes,
        "checksum": record.checksum,
    }


def hotspot(spot: Hotspot) -> dict[str, Any]:
    """Shape one function with its shares, 0 to 1."""
    return {
        "function": spot.function,
        "file": spot.file,
        "line": spot.line,
        "self_share": spot.self_share,
        "total_share": spot.total_share,
        "kind": spot.kind,
        "module": spot.module,
        "share_error": spot.share_error,
        "arity": spot.arity,
        "func_id": spot.func_id,
        "stmt_id": spot.stmt_id,
        "func_hash": spot.func_hash,
        "ast_version": spot.ast_version,
        "source_state": spot.source_state,
        "source_line": spot.source_line,
        "seen": spot.seen,
        "statements": [
            {"line": one.line, "self_share": one.self_share, "stmt_id": one.stmt_id}
            for one in spot.statements
        ],
    }


def rule_status(status: RuleStatus) -> dict[str, Any]:
    """Shape one rule as it stands, for `explain`."""
    threshold = status.threshold
    return {
        "rule": status.rule,
        "metric": status.metric.value,
        "state": status.state,
        "process_name": status.process_name,
        "pid": status.target.pid if status.target else None,
        "threshold": {"value": threshold.value, "unit": threshold.unit} if threshold else None,
        "window_seconds": status.window_s,
        "last_values": list(status.last_values),
        "share_above": status.share_above,
        "distance": status.distance,
        "baseline": status.baseline,
        "suppressed_by": status.suppressed_by,
        "seen_at": iso(status.seen_at) if status.seen_at else None,
    }


def flat_detail(shaped: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a shaped incident into one CSV row, its leading hotspot beside it. See CSV_DETAIL_KEYS."""
    top: Mapping[str, Any] = next(iter(shaped["hotspots"]), {})
    flat = {key: shaped[key] for key in (*_CAPTURE_KEYS, "rule", "reason", "raised_at")}
    return flat | {f"top_{key}": top.get(key) for key in ("function", "file", "line", "total_share")}


def value_unit(view: IncidentView) -> str:
    """Return the unit of the incident's value: its threshold's, or what the metric is counted in."""
    return view.threshold.unit if view.threshold else unit_of(view.metric, view.value)


def _process(process: ProcessDetails) -> dict[str, Any]:
    return {
        "name": process.name,
        "pid": process.key.pid,
        "parent_pid": process.parent_pid,
        "started_at": iso(process.started_at),
        "uid": process.uid,
        "user": process.user,
        "executable": process.executable,
        "command_line": list(process.command_line),
        "cgroup": process.cgroup,
        "unit": process.unit,
        "container_id": process.container_id,
        "thread_count": process.thread_count,
        "fd_count": process.fd_count,
    }


def _point(point: HistoryPoint) -> dict[str, Any]:
    return {
        "taken_at": iso(point.taken_at),
        "machine_percent": point.machine_percent,
        "memory_available_bytes": point.memory_available_bytes,
        "cpu_percent": point.cpu_percent,
        "rss_bytes": point.rss_bytes,
        "disk_bytes_per_s": point.disk_bytes_per_s,
        "network_bytes_per_s": point.network_bytes_per_s,
        "thread_count": point.thread_count,
        "fd_count": point.fd_count,
        "unattributed_cpu_percent": point.unattributed_cpu_percent,
    }


def _not_captured(step: NotCaptured) -> dict[str, Any]:
    return {
        "profiler": step.profiler,
        "status": step.status,
        "reason": step.reason,
        "fix": step.fix,
    }
