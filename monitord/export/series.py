"""What stood before an incident, value by value, as it was in the minutes that were kept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitord.model import HistoryPoint, TriggerMetric

_CLOCK_STEP_S = 3600.0
_READ: tuple[tuple[str, str, Callable[[HistoryPoint], float | None]], ...] = (
    ("cpu", "percent", lambda point: point.cpu_percent),
    ("memory", "bytes", lambda point: point.rss_bytes),
    ("disk i/o", "bytes_per_s", lambda point: point.disk_bytes_per_s),
    ("net, all", "bytes_per_s", lambda point: point.network_bytes_per_s),  # the busiest interface's
    ("threads", "count", lambda point: point.thread_count),
    ("open files", "count", lambda point: point.fd_count),
    ("machine", "percent", lambda point: point.machine_percent),
    ("unseen cpu", "percent", lambda point: point.unattributed_cpu_percent),
    ("free mem", "bytes", lambda point: point.memory_available_bytes),
)
_TRIGGERED = {
    TriggerMetric.CPU: "cpu",
    TriggerMetric.MEMORY: "memory",
    TriggerMetric.MEMORY_GROWTH: "memory",
    TriggerMetric.DISK_IO: "disk i/o",
    TriggerMetric.NETWORK: "net, all",
    TriggerMetric.FD_GROWTH: "open files",
    TriggerMetric.THREAD_GROWTH: "threads",
    TriggerMetric.FREE_MEMORY: "free mem",
    TriggerMetric.CPU_PRESSURE: "machine",
}


@dataclass(frozen=True, slots=True)
class Series:
    """One value over the time before an incident, oldest first; None where it is not known.

    `unit` is one of `quantity`. `is_triggering`: it is what the rule watched.
    """

    name: str
    unit: str
    values: tuple[float | None, ...]
    is_triggering: bool


def watched_by(metric: TriggerMetric) -> tuple[str, Callable[[HistoryPoint], float | None]] | None:
    """Return the unit and the reader of what rules of a metric watch; None: history does not hold it."""
    named = _TRIGGERED.get(metric)
    return next(((unit, read) for name, unit, read in _READ if name == named), None)


def points_of_one_clock(points: Sequence[HistoryPoint]) -> Sequence[HistoryPoint]:
    """Return the points since the clock was set: minutes of history can't hold hours."""
    for index in range(len(points) - 1, 0, -1):
        if abs((points[index].taken_at - points[index - 1].taken_at).total_seconds()) > _CLOCK_STEP_S:
            return points[index:]
    return points


def series_of(points: Sequence[HistoryPoint], metric: TriggerMetric) -> list[Series]:
    """Return what is known of at least two points; what was zero throughout only where it triggered."""
    triggered = _TRIGGERED.get(metric)
    found = []
    for name, unit, read in _READ if len(points) > 1 else ():
        values = tuple(map(read, points))
        if any(values) or (name == triggered and any(value is not None for value in values)):
            found.append(Series(name, unit, values, name == triggered))
    return found
