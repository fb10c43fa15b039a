"""The machine over time, from stored history, in as many points as a chart has. Who ran: `machine_spans`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.shapes import row
from monitord.storage.history_columns import HistoryColumns
from monitord.storage.queries import StoreReader
from monitord.storage.views import RecentFilter

MOST_POINTS = 2_000
MOST_INCIDENTS = 500
LONGEST_PASS_S = 180.0
_SHOWN = ("correlation_id", "process_name", "raised_at", "reason")


SERIES = ("machine_percent", "memory_percent", "disk_bytes_per_s", "network_bytes_per_s", "load_1")
"""What the chart shows of the machine."""


@dataclass(frozen=True, slots=True)
class Course:
    """The machine's course: lists of one length, of each point the highest value in its step.

    `at_s` are Unix seconds. A point whose values are all None stands where nothing was stored. `stored` is
    from when to when there is history at all; None without any. Of incidents the newest are told, and
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
    check_period(since, until)
    points = max(2, min(points, MOST_POINTS))
    step_s = (until - since).total_seconds() / points
    with workspace.reader() as reader:
        stored = reader.history_span()
        drawn = list(_drawn(reader.history_columns(since, until), (since, until), step_s))
        incidents, left_out = _incidents(reader, since, until)
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
                if last_s is not None and at_s - last_s > max(LONGEST_PASS_S, step_s * 2):
                    yield round((last_s + at_s) / 2, 3), nothing
                bucket, point = number, (round(at_s, 3), values)
            last_s = at_s
    if bucket >= 0:
        yield point


def _higher(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)


def _incidents(reader: StoreReader, since: datetime, until: datetime) -> tuple[list[dict[str, Any]], int]:
    """The newest incidents of a period, each as a mark in a chart shows it, and how many more there are."""
    records = reader.recent(RecentFilter(limit=MOST_INCIDENTS, since=since, until=until))
    rows = [({key: row(record)[key] for key in _SHOWN}, record.rule) for record in records]
    whole = sum(tally.incidents for tally in reader.incidents_by_rule(since, until))
    return [{**held, "rule": rule} for held, rule in rows], max(0, whole - len(rows))


def check_period(since: datetime, until: datetime) -> None:
    """Raise UsageError for a period that has no length."""
    if since >= until:
        raise UsageError(f"invalid period: {iso(since)} is not before {iso(until)}")
