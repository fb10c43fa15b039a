"""What stood before an incident: a line a value, as it was in the minutes that were kept."""

from __future__ import annotations

from monitord.cli.terminal import Style, pad
from monitord.export.series import points_of_one_clock, series_of
from monitord.export.units import quantity, span, sparkline
from monitord.storage.views import IncidentView

LABEL = 10
"""Columns of what a line is about."""


def history_lines(view: IncidentView, columns: int, style: Style) -> tuple[str, list[str]]:
    """Return how long it was, and the lines; none where hardly anything is known. What crossed is red."""
    points = points_of_one_clock(view.history)
    room = min(60, max(6, columns - 36))
    lines = []
    for one in series_of(points, view.metric):
        known = [value for value in one.values if value is not None]
        line = pad(sparkline(one.values, room), min(room, len(one.values)))
        low, high = quantity(min(known), one.unit), quantity(max(known), one.unit)
        reach = low if low == high else f"{low} … {high}"
        if 2 + LABEL + 1 + room + 2 + len(reach) > columns:
            reach = f"… {high}"
        paint = ("red",) if one.is_triggering else ()
        lines.append(f"  {one.name:<{LABEL}} {style.paint(line, *paint)}  {reach}")
    length_s = (points[-1].taken_at - points[0].taken_at).total_seconds() if lines else 0.0
    return span(length_s) if lines else "", lines
