"""Facts as the values that front rooms get: records, incidents, history points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from monitord.model import (
    BASELINE_RULE,
    CaptureStatus,
    Hotspot,
    ProcessDetails,
    ProcessKey,
    ProfileRecord,
    Statement,
    Threshold,
    TriggerMetric,
)
from monitord.storage.cells import time_of
from monitord.storage.facts import Facts, history_point
from monitord.storage.schema import ARTEFACTS_NAME
from monitord.storage.views import IncidentView, NotCaptured

OF_THE_INCIDENT = ("rule", "severity", "pinned", "raised_at", "reason")
_HOTSPOT = tuple(field.name for field in fields(Hotspot))


def record_of(capture: Facts, data_dir: Path) -> ProfileRecord:
    """One row of `profile_capture`, with what its incident says (OF_THE_INCIDENT, hottest_function)."""
    key = capture["artefact_key"]
    return ProfileRecord(
        id=capture["id"],
        process_name=capture["process_name"],
        pid=capture["pid"],
        trigger_metric=TriggerMetric(capture["trigger_metric"]),
        trigger_value=capture["trigger_value"],
        captured_at=time_of(capture["captured_at"]),
        profile_path=str(data_dir / ARTEFACTS_NAME / key) if key else capture["profile_path"],
        duration_seconds=capture["duration_seconds"] or 0,
        notes=capture["notes"],
        correlation_id=capture["correlation_id"] or "",
        role=capture["role"],
        rule=capture["rule"] or None,
        started_ticks=capture["started_ticks"],
        user=capture["user"],
        command_line=tuple(capture["command_line"]),
        profiler=capture["profiler"],
        profiler_version=capture["profiler_version"],
        status=CaptureStatus(capture["status"]),
        failure_reason=_failure(capture),
        fix=capture["fix"],
        format=capture["format"],
        sample_count=capture["sample_count"],
        target_cpu_percent=capture["target_cpu_percent"],
        late=bool(capture["late"]),
        severity=capture["severity"] or 0.0,
        artefact_key=key,
        size_bytes=capture["size_bytes"],
        checksum=capture["checksum"],
        pinned=bool(capture["pinned"]),
        raised_at=time_of(capture["raised_at"]) if capture.get("raised_at") else None,
        reason=capture.get("reason"),
        hottest_function=hottest if isinstance(hottest := capture.get("hottest_function"), str) else None,
    )


def _failure(capture: Facts) -> str | None:
    """Why there is no evidence; a file that disappeared is said here too."""
    if capture["state"] == "missing":
        return "the artefact is missing from the data directory"
    reason: str | None = capture["failure_reason"]
    return reason


def incident_view(incident: Facts, captures: Sequence[Facts], data_dir: Path) -> IncidentView:
    """Return an incident with all its rows; `captures` come oldest first and hold the leading one."""
    shared = {name: incident[name] for name in OF_THE_INCIDENT}
    hotspots = hotspots_of(incident["hotspots"])
    shared["hottest_function"] = hotspots[0].function if hotspots else None
    records = [record_of({**capture, **shared}, data_dir) for capture in captures]
    leading = next((i for i, capture in enumerate(captures) if capture["is_leading"]), 0)
    return IncidentView(
        correlation_id=incident["correlation_id"],
        record=records[leading],
        rule=incident["rule"],
        metric=TriggerMetric(incident["trigger_metric"]),
        value=incident["trigger_value"],
        threshold=_threshold(incident),
        window_s=incident["window_s"],
        severity=incident["severity"],
        reason=incident["reason"],
        crossed_at=time_of(incident["crossed_at"]),
        raised_at=time_of(incident["raised_at"]),
        process_name=incident["process_name"],
        process=_process(incident),
        boot_id=incident["boot_id"],
        history=tuple(history_point(point) for point in incident["history"]),
        captures=tuple(records),
        not_captured=tuple(NotCaptured(**step) for step in incident["not_captured"]),
        hotspots=hotspots,
        suppressed_by=incident["suppressed_by"],
        late=bool(incident["late"]),
        pinned=bool(incident["pinned"]),
        is_summary=bool(incident["is_summary"]),
    )


def is_baseline(view: IncidentView) -> bool:
    """Whether it is none but a baseline. (A rule that a person called so has another metric.)"""
    return view.rule == BASELINE_RULE and view.metric is TriggerMetric.MANUAL


def hotspots_of(spots: Sequence[Facts]) -> tuple[Hotspot, ...]:
    """The hottest functions as they were kept."""
    return tuple(_hotspot(spot) for spot in spots)


def _hotspot(spot: Facts) -> Hotspot:
    """As it was kept: an older monitord kept fewer values, a newer one more."""
    known = {name: spot[name] for name in _HOTSPOT if name in spot}
    known["statements"] = tuple(Statement(**statement) for statement in spot.get("statements", ()))
    return Hotspot(**{"file": None, "line": None} | known)


def _threshold(incident: Facts) -> Threshold | None:
    if incident["threshold_value"] is None:
        return None
    return Threshold(incident["threshold_value"], incident["threshold_unit"])


def _process(incident: Facts) -> ProcessDetails | None:
    if incident["started_at"] is None or incident["pid"] is None:
        return None
    names = ("uid", "user", "executable", "cgroup", "unit", "container_id", "thread_count", "fd_count")
    same: dict[str, Any] = {name: incident[name] for name in names}
    return ProcessDetails(
        key=ProcessKey(incident["pid"], incident["started_ticks"] or 0),
        name=incident["process_name"],
        parent_pid=incident["parent_pid"] or 0,
        started_at=time_of(incident["started_at"]),
        command_line=tuple(incident["command_line"]),
        **same,
    )
