"""Who ran in a span of stored history, which functions are known of it, which incidents went on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitord.actions.machine import LONGEST_PASS_S, check_period
from monitord.actions.moment_incidents import functions_of, going_on, incident_of
from monitord.actions.moment_shapes import moment_row
from monitord.actions.moments import moment
from monitord.actions.rule_trial import Steps
from monitord.actions.workspace import Workspace
from monitord.export.encoding import iso
from monitord.export.shapes import hot_row
from monitord.model import ProcessKey, ProcessRates, Rates
from monitord.storage.views import HotFilter, IncidentSpan

MOST_LISTED = 100
MOST_PROCESSES = 100
MOST_FUNCTIONS = 30


@dataclass(slots=True)
class _Use:
    """What one process used, as far as stored passes name it."""

    last: ProcessRates
    first_at: datetime
    last_at: datetime
    cpu_s: float = 0.0
    disk_bytes: float = 0.0
    highest_cpu_percent: float = 0.0
    highest_rss_bytes: int = 0

    def add(self, process: ProcessRates, at: datetime, length_s: float) -> None:
        cpu_percent = process.cpu_percent or 0.0
        self.last, self.last_at = process, at
        self.cpu_s += cpu_percent / 100 * length_s
        self.disk_bytes += (process.disk_bytes_per_s or 0.0) * length_s
        self.highest_cpu_percent = max(self.highest_cpu_percent, cpu_percent)
        self.highest_rss_bytes = max(self.highest_rss_bytes, process.rss_bytes)

    def as_json(self, length_s: float) -> dict[str, Any]:
        return {
            "name": self.last.name,
            "pid": self.last.key.pid,
            "uid": self.last.uid,
            "unit": self.last.unit,
            "cpu_seconds": round(self.cpu_s, 1),
            "cpu_percent": round(100 * self.cpu_s / length_s, 1) if length_s else None,
            "highest_cpu_percent": round(self.highest_cpu_percent, 1),
            "highest_rss_bytes": self.highest_rss_bytes,
            "disk_bytes": round(self.disk_bytes),
            "first_at": iso(self.first_at),
            "last_at": iso(self.last_at),
        }


@dataclass(slots=True)
class Span:
    """Who ran between two moments, those that used most CPU first.

    Functions are those of captures and of the black box, of the incidents in the span; those of all that ran
    are `RecordersBox.ran`'s. `seconds` is the time that the stored passes stand for. `nearest` is the last
    look before the end of a span in which none was stored (actions/moment_shapes.py).
    """

    since: datetime
    until: datetime
    seconds: float = 0.0
    passes: int = 0
    highest_percent: float | None = None
    mean_percent: float | None = None
    processes: Sequence[Mapping[str, Any]] = ()
    processes_left_out: int = 0
    functions: Sequence[Mapping[str, Any]] = ()
    incidents: Sequence[Mapping[str, Any]] = ()
    incidents_left_out: int = 0
    limits: list[str] = field(default_factory=list)
    nearest: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        names = ("seconds", "passes", "highest_percent", "mean_percent", "processes", "processes_left_out")
        others = ("functions", "incidents", "incidents_left_out", "limits", "nearest")
        told = {name: getattr(self, name) for name in (*names, *others)}
        return {"since": iso(self.since), "until": iso(self.until), **told}


def span(workspace: Workspace, since: datetime, until: datetime) -> Span:
    """Tell who ran between two moments, which functions are known of it, and which incidents went on."""
    check_period(since, until)
    found = Span(since, until)
    with workspace.past() as reader:
        _add_use(found, reader.history(since, until))
        hot = reader.hot(HotFilter(since=since, until=until, limit=MOST_FUNCTIONS))
        incidents = going_on(reader.incident_spans(since, until, MOST_LISTED), since, until)
        whole = sum(tally.incidents for tally in reader.incidents_by_rule(since, until))
    found.functions = [hot_row(spot) for spot in hot] or _functions_of(incidents)
    found.incidents = [_incident_row(one) for one in incidents]
    found.incidents_left_out = max(0, whole - len(incidents))
    if not found.passes:
        found.nearest = moment_row(moment(workspace, until))
    else:
        found.limits.append(
            "stored passes name the six first processes each by CPU, memory, disk and network"
        )
    if not found.functions:
        found.limits.append("no function is stored of it: functions are stored of incidents alone")
    return found


def _functions_of(incidents: Sequence[IncidentSpan]) -> list[dict[str, Any]]:
    """What was hot in evidence of incidents that went on, where none began in the span."""
    return [
        {
            "function": one.function,
            "file": one.file,
            "line": one.line,
            "incidents": 1,
            "self_share_mean": round(one.self_share, 4),
            "last_incident": incident.correlation_id,
        }
        for incident in incidents
        for one in functions_of(incident)
    ][:MOST_FUNCTIONS]


def _incident_row(incident: IncidentSpan) -> dict[str, Any]:
    told = incident_of(incident)
    hottest = incident.hotspots[0].function if incident.hotspots else None
    names = ("correlation_id", "process_name", "pid", "rule", "reason", "cause")
    shown = {name: getattr(told, name) for name in names}
    return {**shown, "raised_at": iso(told.raised_at), "hottest_function": hottest}


def _add_use(found: Span, passes: Iterator[Rates]) -> None:
    uses: dict[ProcessKey, _Use] = {}
    steps, used_s, until = Steps(passes), 0.0, found.since
    for rates in steps:
        if rates.gap is not None:
            until = rates.taken_at  # of the time before it nothing is known
            continue
        in_span_s = max(0.0, (rates.taken_at - found.since).total_seconds())
        length_s = min(rates.interval_s, in_span_s, LONGEST_PASS_S)
        alone_s = max(0.0, min(length_s, (rates.taken_at - until).total_seconds()))
        until = rates.taken_at
        found.seconds += alone_s
        machine_percent = rates.system.machine_percent
        used_s += machine_percent * alone_s
        found.highest_percent = max(found.highest_percent or 0.0, machine_percent)
        for process in rates.processes:
            use = uses.setdefault(process.key, _Use(process, rates.taken_at, rates.taken_at))
            use.add(process, rates.taken_at, length_s)
    found.passes, found.seconds = steps.count, round(found.seconds, 1)
    found.mean_percent = round(used_s / found.seconds, 1) if found.seconds else None
    ranked = sorted(uses.values(), key=lambda use: (-use.cpu_s, -use.highest_rss_bytes))
    found.processes = [use.as_json(found.seconds) for use in ranked[:MOST_PROCESSES]]
    found.processes_left_out = max(0, len(ranked) - MOST_PROCESSES)
