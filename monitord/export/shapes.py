"""The store's answers as plain data with stable keys: what `recent`, `show` and `export` write, defined once.

docs/output.md describes every key. Times are ISO-8601 UTC, sizes bytes, CPU percent of one core. Texts are as
processes wrote them: what writes them out (`json_text`, `csv_rows`, the server's fence) makes them fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from monitord.export.baseline_diff import against_baseline
from monitord.export.context import context_of, waiting_of
from monitord.export.encoding import iso
from monitord.model import (
    Alert,
    Cause,
    Event,
    Hotspot,
    NamedPlan,
    ProcessDetails,
    ProfileRecord,
    Rule,
    RuleStatus,
    Threshold,
)
from monitord.storage.views import HotFunction, IncidentView

if TYPE_CHECKING:
    from monitord.profiles.consumers import Consumer

_CAPTURE_KEYS = (
    "id", "process_name", "pid", "trigger_metric", "trigger_value", "captured_at", "profile_path",
    "duration_seconds", "notes", "status", "profiler", "correlation_id", "late", "pinned",
)  # fmt: skip
ROW_KEYS = (
    *_CAPTURE_KEYS, "reason", "hottest_function", "cause", "raised_at", "times_this_week",
    "times_this_week_at_least",
)  # fmt: skip
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
    "cause", "cause_sentence",
)  # fmt: skip
_CAPTURED_KEYS = (
    "id", "role", "profiler", "profiler_version", "status", "reason", "fix", "captured_at",
    "duration_seconds", "sample_count", "target_cpu_percent", "late", "notes", "format", "profile_path",
    "size_bytes", "checksum",
)  # fmt: skip
_HOTSPOT_KEYS = (
    "function", "file", "line", "self_share", "total_share", "kind", "module", "share_error", "arity",
    "func_id", "stmt_id", "func_hash", "ast_version", "source_state", "source_line", "seen", "statements",
)  # fmt: skip
_PROCESS_KEYS = (
    "name", "pid", "parent_pid", "started_at", "uid", "user", "executable", "command_line", "cgroup", "unit",
    "container_id", "thread_count", "fd_count",
)  # fmt: skip
_POINT_KEYS = (
    "taken_at", "machine_percent", "memory_available_bytes", "cpu_percent", "rss_bytes", "disk_bytes_per_s",
    "network_bytes_per_s", "thread_count", "fd_count", "unattributed_cpu_percent",
)  # fmt: skip
_CAUSE_KEYS = ("kind", "sentence", "confidence", "runner_up", "decides", "evidence")
_STEP_KEYS = ("profiler", "status", "reason", "fix")
_RULE_KEYS = (
    "rule", "metric", "state", "process_name", "pid", "threshold", "window_seconds", "last_values",
    "share_above", "distance", "baseline", "suppressed_by", "seen_at",
)  # fmt: skip
_CONFIGURED_KEYS = (
    "name", "metric", "above", "below", "times_baseline", "baseline_alone", "window_seconds", "min_share",
    "clear_level", "cooldown_seconds", "captures_per_hour", "match", "profiler", "enabled",
)  # fmt: skip
_ALERT_KEYS = (
    "rule", "metric", "value", "threshold", "raised_at", "process_name", "pid", "reason", "suppressed_by",
)  # fmt: skip
_PLAN_KEYS = ("name", "match", "profiler", "duration_seconds", "rate_hz", "consent")
_MATCH_KEYS = ("names", "users", "units")


def _shaped(source: object, keys: Sequence[str], **others: object) -> dict[str, Any]:
    """What a value holds under these keys, as plain data; `others` are called or shown differently."""
    return {key: _plain(others[key] if key in others else getattr(source, key)) for key in keys}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def row(record: ProfileRecord) -> dict[str, Any]:
    """Shape one line of `recent`: the requirement's columns, then what says how good the evidence is."""
    raised_at = record.raised_at or record.captured_at
    return _shaped(record, ROW_KEYS, pid=record.pid or None, raised_at=raised_at)  # 0: nobody can be blamed


def detail(view: IncidentView, pending: str | None = None) -> dict[str, Any]:
    """Shape a whole incident: its row, why it fired, what stood before it, every step with its outcome.

    `pending` says of its profile that it is "running" or "waiting": the verdict then does.
    """
    from monitord.export.verdicts import verdict_of  # a list has none

    return {
        **row(view.record),
        "verdict": verdict_of(view, pending),
        "rule": view.rule,
        "reason": view.reason,
        "threshold": _threshold(view.threshold),
        "window_seconds": view.window_s,
        "severity": view.severity,
        "crossed_at": iso(view.crossed_at),
        "raised_at": iso(view.raised_at),
        "suppressed_by": view.suppressed_by,
        "repeats": view.repeat_count,
        "summary": view.is_summary,
        "process": _process(view.process),
        "history": [_shaped(point, _POINT_KEYS) for point in view.history],
        "captures": [capture(record) for record in view.captures],
        "not_captured": [_shaped(step, _STEP_KEYS) for step in view.not_captured],
        "cause": cause_row(view.cause),
        "hotspots": [hotspot(spot) for spot in view.hotspots],
        "waiting": waiting_of(view),
        "context": dict(context_of(view)),
        "baseline": _baseline(view),
        "annotations": [{"taken_at": iso(note.taken_at), "text": note.text} for note in view.notes],
    }


def cause_row(cause: Cause | None) -> dict[str, Any] | None:
    """Shape what an incident is attributed to; None: nobody looked for a cause."""
    if cause is None:
        return None
    evidence = [{"label": label, "text": text} for label, text in cause.evidence]
    return _shaped(cause, _CAUSE_KEYS, evidence=evidence)


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
    return _shaped(event, EVENT_KEYS, id=str(event.id))


def consumer_row(consumer: Consumer) -> dict[str, Any]:
    """Shape one process with what it used and its hottest function."""
    return {
        "pid": consumer.pid,
        "name": consumer.name,
        "cpu_percent": consumer.cpu_percent,
        "function": consumer.function,
        "file": consumer.file,
        "share": consumer.share,
        "ended": consumer.is_ended,
    }


def hot_row(spot: HotFunction) -> dict[str, Any]:
    """Shape one function (or statement) across captures."""
    return _shaped(
        spot,
        HOT_KEYS,
        ast_node_id=spot.node,
        self_share_mean=round(spot.self_share_mean, 4),
        self_share_max=round(spot.self_share_max, 4),
        total_share_max=None if spot.total_share_max is None else round(spot.total_share_max, 4),
        code_versions=spot.versions,
    )


def capture(record: ProfileRecord) -> dict[str, Any]:
    """Shape one step and how it ended."""
    return _shaped(record, _CAPTURED_KEYS, reason=record.failure_reason)


def hotspot(spot: Hotspot) -> dict[str, Any]:
    """Shape one function with its shares, 0 to 1."""
    statements = [_shaped(one, ("line", "self_share", "stmt_id")) for one in spot.statements]
    return _shaped(spot, _HOTSPOT_KEYS, statements=statements)


def rule_status(status: RuleStatus) -> dict[str, Any]:
    """Shape one rule as it stands, for `explain`."""
    return _shaped(
        status,
        _RULE_KEYS,
        pid=status.target.pid if status.target else None,
        threshold=_threshold(status.threshold),
        window_seconds=status.window_s,
    )


def rule_row(rule: Rule) -> dict[str, Any]:
    """Shape one rule as it is configured, for `rules list`."""
    return _shaped(
        rule,
        _CONFIGURED_KEYS,
        above=_threshold(rule.above),
        below=_threshold(rule.below),
        window_seconds=rule.window_s,
        clear_level=_threshold(rule.clear_level),
        cooldown_seconds=rule.cooldown_s,
        match=_shaped(rule.match, (*_MATCH_KEYS, "pids", "not_names")),
        enabled=rule.is_enabled,
    )


def alert_row(alert: Alert) -> dict[str, Any]:
    """Shape one alert, for `rules test`."""
    pid = alert.target.pid if alert.target else None
    return _shaped(alert, _ALERT_KEYS, threshold=_threshold(alert.threshold), pid=pid)


def plan_row(plan: NamedPlan) -> dict[str, Any]:
    """Shape one capture plan."""
    match = _shaped(plan.match, _MATCH_KEYS)
    return _shaped(plan, _PLAN_KEYS, match=match, duration_seconds=plan.duration_s)


def _threshold(threshold: Threshold | None) -> dict[str, Any] | None:
    return None if threshold is None else _shaped(threshold, ("value", "unit"))


def flat_detail(shaped: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a shaped incident into one CSV row, its leading hotspot beside it. See CSV_DETAIL_KEYS."""
    top: Mapping[str, Any] = next(iter(shaped["hotspots"]), {})
    flat = {key: shaped[key] for key in (*_CAPTURE_KEYS, "rule", "reason", "raised_at")}
    cause: Mapping[str, Any] = shaped["cause"] or {}
    flat |= {"cause": cause.get("kind"), "cause_sentence": cause.get("sentence")}
    return flat | {f"top_{key}": top.get(key) for key in ("function", "file", "line", "total_share")}


def _process(process: ProcessDetails | None) -> dict[str, Any] | None:
    return None if process is None else _shaped(process, _PROCESS_KEYS, pid=process.key.pid)
