"""What stood before an incident: a line a value, as it was in the minutes that were kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitord.cli.terminal import Style, pad
from monitord.export.units import quantity, span, sparkline
from monitord.model import HistoryPoint, TriggerMetric
from monitord.storage.views import IncidentView

LABEL = 10
"""Columns of what a line is about."""

_CLOCK_STEP_S = 3600.0
_SERIES: tuple[tuple[str, str, Callable[[HistoryPoint], float | None]], ...] = (
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
_SERIES_OF = {
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


def history_lines(view: IncidentView, columns: int, style: Style) -> tuple[str, list[str]]:
    """Return how long it was, and the lines; none where hardly anything is known. What crossed is red."""
    points = _since_the_clock_was_set(view.history)
    if len(points) < 2:
        return "", []
    length = span((points[-1].taken_at - points[0].taken_at).total_seconds())
    triggered = _SERIES_OF.get(view.metric)
    room = min(60, max(6, columns - 36))
    lines = []
    for name, unit, read in _SERIES:
        values = [read(point) for point in points]
        known = [value for value in values if value is not None]
        if not known or (not any(known) and name != triggered):
            continue
        line = pad(sparkline(values, room), min(room, len(values)))
        low, high = quantity(min(known), unit), quantity(max(known), unit)
        reach = low if low == high else f"{low} … {high}"
        paint = ("red",) if name == triggered else ()
        lines.append(f"  {name:<{LABEL}} {style.paint(line, *paint)}  {reach}")
    return length, lines


def _since_the_clock_was_set(points: Sequence[HistoryPoint]) -> Sequence[HistoryPoint]:
    """The points of one clock: minutes of history can't hold hours, so such a step is the clock's."""
    for index in range(len(points) - 1, 0, -1):
        if abs((points[index].taken_at - points[index - 1].taken_at).total_seconds()) > _CLOCK_STEP_S:
            return points[index:]
    return points
