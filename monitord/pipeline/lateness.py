"""Whether evidence was taken when what fired the rule was over already; judged for every metric. Pure.

Levels are compared with half of what fires the rule, growth with a fifth of its pace: a level that falls
below half, or a growth that stops, is another time than the alert's. What can't be known is not called late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

from monitord.model import Capture, HistoryPoint, Incident, Levels, TriggerMetric

_LEVEL = 0.5
_PACE = 0.2
_LEAST_GAIN = 0.05  # of what it held: a level that grew less was reached long before
_LEAST_EXPECTED = 2  # a growth of which less is due while evidence is taken can't be missed
_AT_WORK_PERCENT = 5.0


def is_late(capture: Capture, incident: Incident) -> bool:
    """False where it is not known, or has no meaning for the metric."""
    judge = _JUDGES.get(incident.alert.metric)
    return judge is not None and judge(capture, incident)


def _cpu(capture: Capture, incident: Incident) -> bool:
    """Time only waited for is left out: on a crowded machine a burner gets a fraction of a core."""
    alert, seen = incident.alert, capture.target_cpu_percent
    used_share = 1 - alert.waited_percent / alert.value if alert.value > 0 else 1.0
    return seen is not None and seen < _LEVEL * used_share * alert.threshold.value


def _hang(capture: Capture, _incident: Incident) -> bool:
    return (capture.target_cpu_percent or 0.0) > _AT_WORK_PERCENT


def _disk(capture: Capture, incident: Incident) -> bool:
    return _moves_less(capture, incident, lambda levels: levels.disk_bytes)


def _network(capture: Capture, incident: Incident) -> bool:
    return _moves_less(capture, incident, lambda levels: levels.network_bytes)


def _memory(capture: Capture, incident: Incident) -> bool:
    """A level that was reached by growing, and does not grow any more."""
    points = [point for point in incident.history if point.rss_bytes is not None]
    if len(points) < 2:
        return False
    gained = (points[-1].rss_bytes or 0) - (points[0].rss_bytes or 0)
    if gained < _LEAST_GAIN * (points[-1].rss_bytes or 0):
        return False
    return _grows_less(capture, _steepest_bytes_per_s(points), lambda levels: levels.rss_bytes)


def _steepest_bytes_per_s(points: list[HistoryPoint]) -> float:
    found = 0.0
    for before, after in pairwise(points):
        seconds = (after.taken_at - before.taken_at).total_seconds()
        if seconds > 0:
            found = max(found, ((after.rss_bytes or 0) - (before.rss_bytes or 0)) / seconds)
    return found


def _growth(read: Callable[[Levels], int | None]) -> Callable[[Capture, Incident], bool]:
    def judge(capture: Capture, incident: Incident) -> bool:
        alert = incident.alert
        pace_per_s = alert.value / alert.window_s if alert.window_s > 0 else 0.0
        return _grows_less(capture, pace_per_s, read)

    return judge


def _grows_less(capture: Capture, pace_per_s: float, read: Callable[[Levels], int | None]) -> bool:
    if capture.levels is None or capture.role == "dump":
        return False
    before, after = (read(levels) for levels in capture.levels)
    seconds = capture.levels[1].at_s - capture.levels[0].at_s
    if before is None or after is None or pace_per_s * seconds < _LEAST_EXPECTED:
        return False
    return after - before < _PACE * pace_per_s * seconds


def _moves_less(capture: Capture, incident: Incident, read: Callable[[Levels], int | None]) -> bool:
    if capture.levels is None or capture.role == "dump":
        return False
    before, after = (read(levels) for levels in capture.levels)
    seconds = capture.levels[1].at_s - capture.levels[0].at_s
    if before is None or after is None or seconds <= 0:
        return False
    return (after - before) / seconds < _LEVEL * incident.alert.threshold.value


_JUDGES: Mapping[TriggerMetric, Callable[[Capture, Incident], bool]] = {
    TriggerMetric.CPU: _cpu,
    TriggerMetric.MEMORY: _memory,
    TriggerMetric.MEMORY_GROWTH: _growth(lambda levels: levels.rss_bytes),
    TriggerMetric.FREE_MEMORY: _memory,
    TriggerMetric.DISK_IO: _disk,
    TriggerMetric.NETWORK: _network,
    TriggerMetric.HANG: _hang,
    TriggerMetric.FD_GROWTH: _growth(lambda levels: levels.fd_count),
    TriggerMetric.THREAD_GROWTH: _growth(lambda levels: levels.thread_count),
}
