"""Records as the incidents that front rooms get."""

from __future__ import annotations

from pathlib import Path

from monitord.model import BASELINE_RULE, ProcessDetails, ProcessKey, Threshold, TriggerMetric
from monitord.storage.cells import derived
from monitord.storage.records import IncidentRecords, StoredIncident, profile_records
from monitord.storage.views import IncidentView


def incident_view(records: IncidentRecords, data_dir: Path) -> IncidentView:
    """Return an incident with all its rows, of which there is at least one."""
    incident = records.incident
    captures = profile_records(records, data_dir)
    return derived(
        IncidentView,
        incident,
        records,
        record=captures[records.captures.index(records.leading)],
        captures=captures,
        metric=incident.trigger_metric,
        value=incident.trigger_value,
        threshold=_threshold(incident),
        process=_process(incident),
    )


def is_baseline(view: IncidentView) -> bool:
    """Whether it is none but a baseline. (A rule that a person called so has another metric.)"""
    return view.rule == BASELINE_RULE and view.metric is TriggerMetric.MANUAL


def _threshold(incident: StoredIncident) -> Threshold | None:
    if incident.threshold_value is None:
        return None
    return Threshold(incident.threshold_value, incident.threshold_unit or "")


def _process(incident: StoredIncident) -> ProcessDetails | None:
    if incident.started_at is None or incident.pid is None:
        return None
    return derived(
        ProcessDetails,
        incident,
        key=ProcessKey(incident.pid, incident.started_ticks or 0),
        name=incident.process_name,
        parent_pid=incident.parent_pid or 0,
    )
