"""The machine over time, from stored history: a chart's worth of points, and who ran in any span of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitord.actions.moment_shapes import moment_row
from monitord.actions.moments import moment
from monitord.actions.rule_trial import Steps
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.shapes import hot_row, row
from monitord.model import ProcessKey, ProcessRates, Rates
from monitord.storage.history_columns import HistoryColumns
from monitord.storage.queries import StoreReader
from monitord.storage.views import HotFilter, RecentFilter

MOST_POINTS = 2_000
MOST_INCIDENTS, MOST_LISTED = 500, 100
MOST_PROCESSES = 100
MOST_FUNCTIONS = 30
_LONGEST_PASS_S = 180.0
_SHOWN = ("correlation_id", "process_name", "pid", "raised_at", "reason", "hottest_function", "cause")


SERIES = ("machine_percent", "memory_percent", "disk_bytes_per_s", "network_bytes_per_s", "load_1")
"""What the chart shows of the machine."""


@dataclass(frozen=True, slots=True)
class Course:
    """The machine's course: lists of one length, of each point the highest value in its step.

    `at_s` are Unix seconds. A point whose values are all None stands where nothing was stored. `stored` is
    from when to when there is history at all; None: there is none. Of incidents the newest are told, and
    `left_out` are not.
    """

    since: datetime
    until: datetime
    step_s: float
    at_s: Sequence[float]
    values: Mapping[str, Sequence[float | None]]
    incidents: Sequence[Mapping[str, Any]]
    left_out: int
    stored: tuple[datetime, datetime] | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "since": iso(self.since),
            "until": iso(self.until),
            "step_seconds": self.step_s,
            "at": list(self.at_s),
            **{name: list(column) for name, column in self.values.items()},
            "incidents": list(self.incidents),
            "incidents_left_out": self.left_out,
            "stored": None if self.stored is None else list(map(iso, self.stored)),
        }


def course(workspace: Workspace, since: datetime, until: datetime, points: int = 600) -> Course:
    """Tell how the machine was from `since` to `until`, in as many points at most, and its incidents."""
    _check(since, until)
    points = max(2, min(points, MOST_POINTS))
    step_s = (until - since).total_seconds() / points
    with workspace.reader() as reader:
        stored = reader.history_span()
        drawn = list(_drawn(reader.history_columns(since, until), (since, until), step_s))
        incidents, left_out = _incidents(reader, since, until, MOST_INCIDENTS)
    return Course(
        since=since,
        until=until,
        step_s=round(step_s, 3),
        at_s=[at_s for at_s, _values in drawn],
        values={name: [values[index] for _at_s, values in drawn] for index, name in enumerate(SERIES)},
        incidents=incidents,
        left_out=left_out,
        stored=stored,
    )


_Values = list[float | None]


def _drawn(
    rows: Iterable[HistoryColumns], period: tuple[datetime, datetime], step_s: float
) -> Iterator[tuple[float, _Values]]:
    """One point a step in which a pass was stored, and an empty one where nothing was for long."""
    since_s, until_s = (moment.timestamp() for moment in period)
    nothing: _Values = [None] * len(SERIES)
    bucket, point = -1, (0.0, nothing)
    last_s: float | None = None
    for columns in rows:
        held = (getattr(columns, name) for name in SERIES)
        for at_s, *values in zip(columns.at_s, *held, strict=True):
            if not since_s <= at_s < until_s:
                continue
            number = int((at_s - since_s) / step_s)
            if number == bucket:
                point = point[0], list(map(_higher, point[1], values))
            else:
                if bucket >= 0:
                    yield point
                if last_s is not None and at_s - last_s > max(_LONGEST_PASS_S, step_s * 2):
                    yield round((last_s + at_s) / 2, 3), nothing
                bucket, point = number, (round(at_s, 3), values)
            last_s = at_s
    if bucket >= 0:
        yield point


def _higher(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)


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

    Functions are those of captures and of the black box, of the incidents in the span. `seconds` is the time
    that the stored passes stand for. `nearest` is the last look before the end of a span in which none was
    stored (actions/moment_shapes.py).
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
    """Tell who ran between two moments, which functions are known of it, and which incidents fell into it."""
    _check(since, until)
    found = Span(since, until)
    with workspace.reader() as reader:
        _add_use(found, reader.history(since, until))
        found.functions = [
            hot_row(spot) for spot in reader.hot(HotFilter(since=since, until=until, limit=MOST_FUNCTIONS))
        ]
        found.incidents, found.incidents_left_out = _incidents(reader, since, until, MOST_LISTED)
    if not found.passes:
        found.nearest = moment_row(moment(workspace, until))
    else:
        found.limits.append(
            "stored passes name the six first processes each by CPU, memory, disk and network"
        )
    if not found.functions:
        found.limits.append("no function is known of it: functions are kept of incidents alone")
    return found


def _add_use(found: Span, passes: Iterator[Rates]) -> None:
    uses: dict[ProcessKey, _Use] = {}
    steps, used_s, until = Steps(passes), 0.0, found.since
    for rates in steps:
        if rates.gap is not None:
            until = rates.taken_at  # of the time before it nothing is known
            continue
        in_span_s = max(0.0, (rates.taken_at - found.since).total_seconds())
        length_s = min(rates.interval_s, in_span_s, _LONGEST_PASS_S)
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


def _incidents(
    reader: StoreReader, since: datetime, until: datetime, most: int
) -> tuple[list[dict[str, Any]], int]:
    """The newest incidents of a period, each with what a list of them shows, and how many more there are."""
    records = reader.recent(RecentFilter(limit=most, since=since, until=until))
    shown = [
        {**{key: value for key, value in row(record).items() if key in _SHOWN}, "rule": record.rule}
        for record in records
    ]
    whole = sum(tally.incidents for tally in reader.incidents_by_rule(since, until))
    return shown, max(0, whole - len(shown))


def _check(since: datetime, until: datetime) -> None:
    if since >= until:
        raise UsageError(f"invalid period: {iso(since)} is not before {iso(until)}")
