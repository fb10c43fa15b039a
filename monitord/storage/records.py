"""What is kept of an incident, as records whose fields are the columns of `incident` and `profile_capture`.

Rows and the incident's own artefact are written from them and read into them (see `cells`), so that a
database rebuilt from artefacts says the same as the one that was lost. A test holds the fields to the tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from monitord.best_evidence import leading_hotspots, not_taken, rank
from monitord.model import (
    Capture,
    CaptureStatus,
    Cause,
    Confidence,
    HistoryPoint,
    Hotspot,
    Incident,
    ProfileRecord,
    Statement,
    TriggerMetric,
)
from monitord.storage.artefacts import is_key
from monitord.storage.cells import (
    MAX_BYTES,
    Kind,
    Row,
    derived,
    json_kind,
    number_cell,
    packed_kind,
    sequence_of,
    time_cell,
    time_of,
    whole,
)
from monitord.storage.schema import ARTEFACTS_NAME
from monitord.storage.views import NotCaptured, Note

_T = TypeVar("_T")


def _key(value: Any) -> str:
    if not is_key(value):
        raise ValueError
    return value


def _incident_id(value: Any) -> str:
    if "/" in _key(value):  # it becomes part of keys
        raise ValueError
    return str(value)


def _byte_count(value: Any) -> int:
    if not 0 <= whole(value) <= MAX_BYTES:
        raise ValueError
    return whole(value)


def _known(kept: type[_T], held: Mapping[str, Any], **changes: Any) -> _T:
    """As it was kept: an older monitord kept fewer values, a newer one more."""
    return kept(**{name: held[name] for name in _names(kept) if name in held} | changes)


_NAMES: dict[Any, tuple[str, ...]] = {}


def _names(kept: type[Any]) -> tuple[str, ...]:
    if kept not in _NAMES:
        _NAMES[kept] = tuple(field.name for field in fields(kept))
    return _NAMES[kept]


def _point(held: Sequence[Any]) -> HistoryPoint:
    return HistoryPoint(time_of(held[0]), *held[1 : 1 + len(_READINGS)])


_READINGS = _names(HistoryPoint)[1:]
_readings = attrgetter(*_READINGS)
_HOTSPOT = _names(Hotspot)


def _points_plain(points: Sequence[HistoryPoint]) -> list[list[Any]]:
    return [[time_cell(point.taken_at), *_readings(point)] for point in points]


def _hotspot(held: Mapping[str, Any]) -> Hotspot:
    statements = tuple(_known(Statement, each) for each in held.get("statements", ()))
    return _known(Hotspot, {"file": None, "line": None, **held}, statements=statements)


def _hotspots_plain(spots: Sequence[Hotspot]) -> list[Mapping[str, Any]]:
    return [_hotspot_plain(spot) for spot in spots]


def _hotspot_plain(spot: Hotspot) -> Mapping[str, Any]:
    known = ((name, getattr(spot, name)) for name in _HOTSPOT)
    held = {name: value for name, value in known if value not in (None, ())}
    return held | {"statements": [asdict(each) for each in spot.statements]} if spot.statements else held


def _cause(held: Mapping[str, Any]) -> Cause:
    cause = _known(Cause, held, evidence=tuple(map(_evidence_row, held.get("evidence", ()))))
    texts = (cause.kind, cause.sentence, cause.runner_up or "", cause.decides or "")
    if not all(isinstance(text, str) for text in texts) or cause.confidence not in get_args(Confidence):
        raise ValueError
    return cause


def _evidence_row(held: Sequence[Any]) -> tuple[str, str]:
    label, text = held
    if not isinstance(label, str) or not isinstance(text, str):
        raise TypeError
    return label, text


def _cause_plain(cause: Cause) -> Mapping[str, Any]:
    return {name: value for name, value in asdict(cause).items() if value not in (None, ())}


ArtefactKey = Annotated[str, Kind("TEXT", _key, _key)]
ByteCount = Annotated[int, Kind("INTEGER", _byte_count, _byte_count)]
IncidentId = Annotated[str, Kind("TEXT", _incident_id, _incident_id)]
History = Annotated[tuple[HistoryPoint, ...], packed_kind(sequence_of(_point), _points_plain)]
Steps = Annotated[
    tuple[NotCaptured, ...],
    json_kind(sequence_of(partial(_known, NotCaptured)), lambda steps: [asdict(step) for step in steps]),
]
Hotspots = Annotated[tuple[Hotspot, ...], json_kind(sequence_of(_hotspot), _hotspots_plain)]
StoredCause = Annotated[Cause, json_kind(_cause, _cause_plain)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIncident:
    """One row of `incident`: the alert, the process that it is about, and what was found."""

    TABLE: ClassVar = "incident"

    correlation_id: IncidentId
    rule: str
    trigger_metric: TriggerMetric
    trigger_value: float
    threshold_value: float | None = None
    threshold_unit: str | None = None
    window_s: float
    severity: float
    reason: str
    crossed_at: datetime
    raised_at: datetime
    process_name: str
    pid: int | None = None
    started_ticks: int | None = None
    boot_id: str | None = None
    started_at: datetime | None = None
    parent_pid: int | None = None
    uid: int | None = None
    user: str | None = None
    executable: str | None = None
    command_line: tuple[str, ...] = ()
    cgroup: str | None = None
    unit: str | None = None
    container_id: str | None = None
    thread_count: int | None = None
    fd_count: int | None = None
    history: History = ()
    not_captured: Steps = ()
    hotspots: Hotspots = ()
    suppressed_by: str | None = None
    late: bool = False
    pinned: bool = False
    is_summary: bool = False
    artefact_key: ArtefactKey | None = None
    stored_bytes: ByteCount = 0
    state: Literal["active", "deleting"] = "active"
    cause: StoredCause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCapture:
    """One row of `profile_capture`: the requirement's columns, then what says how good the evidence is.

    `id` is given by the database; a row keeps it when its incident is saved again.
    """

    TABLE: ClassVar = "profile_capture"

    id: int | None = None
    process_name: str
    pid: int
    trigger_metric: TriggerMetric
    trigger_value: float
    captured_at: datetime
    profile_path: str
    duration_seconds: int | None = None
    notes: Mapping[str, str] | None = None
    correlation_id: IncidentId
    role: str = "profile"
    started_ticks: int | None = None
    user: str | None = None
    command_line: tuple[str, ...] = ()
    profiler: str | None = None
    profiler_version: str | None = None
    status: CaptureStatus = CaptureStatus.OK
    failure_reason: str | None = None
    fix: str | None = None
    format: str | None = None
    rate_hz: int | None = None
    sample_count: int | None = None
    error_count: int | None = None
    target_cpu_percent: float | None = None
    late: bool = False
    is_leading: bool = False
    artefact_key: ArtefactKey | None = None
    size_bytes: ByteCount = 0
    stored_bytes: ByteCount = 0
    checksum: str | None = None
    state: Literal["active", "deleting", "missing", "dropped"] = "active"

    @property
    def step(self) -> tuple[str, str | None, datetime]:
        """What tells the captures of one incident apart."""
        return self.role, self.profiler, self.captured_at

    @property
    def rank(self) -> int:
        """How much it tells: 0 is best."""
        return rank(
            self.role,
            self.status,
            late=self.late,
            sample_count=self.sample_count,
            metric=self.trigger_metric,
        )


OF_THE_INCIDENT = ("rule", "severity", "pinned", "raised_at", "reason")
# What a row says whose evidence is gone for good.
BARE: Mapping[str, Any] = {
    "artefact_key": None, "profile_path": "", "size_bytes": 0, "stored_bytes": 0, "checksum": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class IncidentRecords:
    """All that is kept of one incident: its own record, its captures', oldest first, and people's notes."""

    incident: StoredIncident
    captures: tuple[StoredCapture, ...]
    notes: tuple[Note, ...] = ()

    @property
    def leading(self) -> StoredCapture:
        """The row that stands for the incident."""
        return next((capture for capture in self.captures if capture.is_leading), self.captures[0])

    def changed(self, **changes: Any) -> IncidentRecords:
        """With other values in the incident's own record."""
        return replace(self, incident=replace(self.incident, **changes))

    def led(self) -> IncidentRecords:
        """With the best capture leading; the incident is late when that one is."""
        best = min(self.captures, key=lambda capture: capture.rank)
        captures = tuple(replace(each, is_leading=each is best) for each in self.captures)
        return replace(self, captures=captures).changed(late=best.late)


def incident_record(incident: Incident) -> StoredIncident:
    """What is kept of an incident itself, before its evidence is stored."""
    alert, process = incident.alert, incident.process
    key = process.key if process else alert.target
    return derived(
        StoredIncident,
        *(each for each in (process, alert) if each),
        correlation_id=incident.correlation_id,
        trigger_metric=alert.metric,
        trigger_value=number_cell(alert.value),
        severity=number_cell(alert.severity),
        threshold_value=alert.threshold.value,
        threshold_unit=alert.threshold.unit,
        process_name=alert.process_name or (process.name if process else ""),
        pid=key.pid if key else None,
        started_ticks=key.start_ticks if key else None,
        boot_id=incident.boot_id,
        history=incident.history,
        hotspots=leading_hotspots(incident.captures, alert.metric),
        cause=incident.cause,
    )


def capture_record(incident: StoredIncident, capture: Capture) -> StoredCapture:
    """What is kept of one capture, before its bytes are stored."""
    return derived(
        StoredCapture,
        capture,
        **_shared(incident),
        profile_path="",
        pid=capture.target.pid,
        started_ticks=capture.target.start_ticks,
        captured_at=capture.started_at,
        duration_seconds=round(capture.duration_s) if math.isfinite(capture.duration_s) else 0,
        notes=dict(capture.notes) or None,
        failure_reason=capture.reason,
    )


def with_steps(
    stored: StoredIncident, captures: Sequence[StoredCapture], incident: Incident
) -> IncidentRecords:
    """Put together what was kept, and every step without evidence; without any capture a row that says so."""
    steps = [
        NotCaptured(capture.profiler or "", capture.status.value, capture.failure_reason, capture.fix)
        for capture in captures
        if not capture.status.has_evidence
    ]
    why = not_taken(incident)
    if why is not None:
        steps = [NotCaptured("auto", CaptureStatus.REFUSED.value, *why)]
    stored = replace(stored, not_captured=tuple(steps))
    return IncidentRecords(stored, tuple(captures) or (_placeholder(stored),)).led()


def _placeholder(incident: StoredIncident) -> StoredCapture:
    """The row of an incident of which nothing was captured, so that it is seen all the same."""
    why = next(iter(incident.not_captured), None)
    return StoredCapture(
        **_shared(incident),
        profile_path="",
        pid=incident.pid or 0,
        started_ticks=incident.started_ticks,
        captured_at=incident.raised_at,
        duration_seconds=0,
        status=CaptureStatus.REFUSED,
        failure_reason=(why and why.reason) or incident.suppressed_by or "no capture was taken",
        fix=why.fix if why else None,
    )


def _shared(incident: StoredIncident) -> Mapping[str, Any]:
    names = ("correlation_id", "process_name", "trigger_metric", "trigger_value", "user", "command_line")
    return {name: getattr(incident, name) for name in names}


def records_of(record: ProfileRecord, correlation_id: str) -> IncidentRecords:
    """Make an incident of one capture of the requirement's record, whose file lies where that says."""
    at = record.captured_at
    changes: Mapping[str, Any] = {
        "correlation_id": correlation_id,
        "artefact_key": None,
        "trigger_value": number_cell(record.trigger_value),
    }
    alert: Mapping[str, Any] = {"window_s": 0.0, "reason": "", "crossed_at": at, "raised_at": at}
    severity = number_cell(record.severity)
    own: Mapping[str, Any] = {"rule": record.rule or "", "severity": severity, "cause": None}
    incident = derived(StoredIncident, record, **changes, **alert, **own)
    capture = derived(StoredCapture, record, **changes, id=None, notes=dict(record.notes or {}) or None)
    return IncidentRecords(incident, (capture,)).led()


def profile_record(capture: StoredCapture, of_incident: Row, data_dir: Path) -> ProfileRecord:
    """Give one row as the requirement's record, with what its incident says (OF_THE_INCIDENT)."""
    key = capture.artefact_key
    return derived(
        ProfileRecord,
        capture,
        **{**of_incident, "rule": of_incident["rule"] or None},
        profile_path=str(data_dir / ARTEFACTS_NAME / key) if key else capture.profile_path,
        duration_seconds=capture.duration_seconds or 0,
        failure_reason=_MISSING if capture.state == "missing" else capture.failure_reason,
    )


def profile_records(records: IncidentRecords, data_dir: Path) -> tuple[ProfileRecord, ...]:
    """Give all rows of an incident as the requirement's records."""
    spots = records.incident.hotspots
    of_incident = {
        **{name: getattr(records.incident, name) for name in OF_THE_INCIDENT},
        "hottest_function": spots[0].function if spots else None,
        "cause": records.incident.cause.kind if records.incident.cause else None,
    }
    return tuple(profile_record(capture, of_incident, data_dir) for capture in records.captures)


_MISSING = "the artefact is missing from the data directory"
