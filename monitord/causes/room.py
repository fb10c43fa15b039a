"""How much memory a process can still have: its groups' limits, else what the machine has available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitord import procfs, trend
from monitord.causes import words
from monitord.model import HistoryPoint
from monitord.procfs import cgroups

_FILES = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
_UNLIMITED = 1 << 60  # version 1 says it with a number near 2⁶³
_LEAST_SPAN_S = 20.0
_LEAST_POINTS = 6
_HOUR_S = 3600.0


def of(pid: int) -> dict[str, int]:
    """Bytes: `available` of the machine, `group_limit` and `group_left` of the tightest group."""
    memory = procfs.table(procfs.text("/proc/meminfo"))
    words_of = memory.get("MemAvailable", "").split(" ", 1)
    found = {"available": 1024 * int(words_of[0])} if words_of[0].isdigit() else {}
    here, paths = cgroups.mounted_here(), cgroups.memberships(procfs.text(procfs.path(pid, "cgroup")))
    for controller, (limit_name, used_name) in _FILES.items():
        for folder in cgroups.folders_of(controller, paths, here):
            limit, used = procfs.text(f"{folder}/{limit_name}", 64), procfs.text(f"{folder}/{used_name}", 64)
            if limit.isdigit() and used.isdigit() and int(limit) < _UNLIMITED:
                left = int(limit) - int(used)
                if left < found.get("group_left", _UNLIMITED):
                    found |= {"group_limit": int(limit), "group_left": left}
    return found


def trend_in(history: Sequence[HistoryPoint]) -> trend.Trend | None:
    """How its memory went in the minutes before; None: too little is known."""
    points = [(one.taken_at.timestamp(), float(one.rss_bytes)) for one in history if one.rss_bytes]
    if len(points) < _LEAST_POINTS or points[-1][0] - points[0][0] < _LEAST_SPAN_S:
        return None
    return trend.trend_of(trend.floors(points), points[-1][0] - points[0][0])


def told(course: trend.Trend | None, left: Mapping[str, int]) -> list[tuple[str, str]]:
    """Rows of evidence: growth per hour, and how long there is room at that pace."""
    if course is None or course.gain <= 0:
        return []
    if course.is_level:
        return [("growth", f"{words.grown(course.gain)} in the minutes before, and it has stopped growing")]
    if course.is_noise:
        return [("growth", "it went up and down in the minutes before")]
    if course.per_s is None:
        return [("growth", f"{words.grown(course.gain)} in the minutes before, in no straight line")]
    rows = [("growth", f"{words.size(course.per_s * _HOUR_S)} an hour, in a straight line")]
    room, where = left.get("available"), "available"
    if "group_left" in left and (room is None or left["group_left"] < room):
        room, where = left["group_left"], f"left of its group's {words.size(left.get('group_limit', 0))}"
    if room is not None and room > 0:
        rows.append(("full in", f"{words.lasting(room / course.per_s)}: {words.size(room)} are {where}"))
    return rows
