"""Chooses the capture of an incident that tells most, or gives the reason why none was taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from monitord.model import BY_PY_SPY, Alert, Capture, CaptureStatus, Hotspot, Incident, TriggerMetric
from monitord.ownership import line_for_all

FEW_SAMPLES = 5  # of a profile: below that the look from inside the spike says more
_HOT_BEFORE, _NO_LONGER_HOT = 0.2, 0.05
_THIN, _LATE, _CONTEXT, _FAILED = 3, 6, 9, 10
_NOBODY = {
    TriggerMetric.NETWORK: (
        "the recorder saw no TCP socket with this traffic: it was UDP, of a container with"
        " its own network, or of another user",
        "sudo ss -tunpi shows every user's sockets, sudo nsenter --net --target PID ss -tunpi a container's",
    ),
    TriggerMetric.FREE_MEMORY: (
        "no single process held the memory: it was shared memory, the kernel's own, or many small processes",
        "grep -E 'Shmem|Slab|PageTables' /proc/meminfo; df -h -t tmpfs",
    ),
}


def rank(role: str, status: str, *, late: bool = False, sample_count: int | None = None) -> int:
    """How much a capture tells: 0 is best.

    A whole profile of the spike, a part of one, a dump from inside it; then a profile of a handful of
    samples, what was taken when the spike was over, the context, and at last failures.
    """
    if status not in (CaptureStatus.OK.value, CaptureStatus.PARTIAL.value):
        return _FAILED
    if role == "context":
        return _CONTEXT
    is_thin = role == "profile" and sample_count is not None and sample_count < FEW_SAMPLES
    whole = 0 if role == "profile" and status == CaptureStatus.OK.value else 1
    order = 2 if role == "dump" else whole
    return order + (_LATE if late else _THIN if is_thin else 0)


def leading_hotspots(captures: Sequence[Capture]) -> tuple[Hotspot, ...]:
    """Of the best evidence that has any; then what was hot earlier, and the Python of a native function."""
    ranked = sorted(
        captures,
        key=lambda one: rank(one.role, one.status.value, late=one.late, sample_count=one.sample_count),
    )
    leading = next((capture for capture in ranked if capture.hotspots), None)
    if leading is None:
        return ()
    best = leading.hotspots
    earlier = next((one for one in captures if one.role == "dump" and one is not leading), None)
    if earlier is not None and leading.role == "profile":
        best = (*best, *_seen_before(earlier.hotspots, best))
    if leading.hotspots[0].kind != "python":
        best = (*best, *_in_python(captures))
    return best


def _seen_before(earlier: Iterable[Hotspot], now: Sequence[Hotspot]) -> Iterator[Hotspot]:
    """What was hot while the window lasted, and hardly is in the profile: another phase of the program."""
    shares = {(spot.function, spot.file): spot.total_share for spot in now}
    for spot in earlier:
        is_new = shares.get((spot.function, spot.file), 0.0) < _NO_LONGER_HOT
        if spot.self_share >= _HOT_BEFORE and is_new:
            yield replace(spot, seen="before the alert")


def _in_python(captures: Iterable[Capture]) -> Iterator[Hotspot]:
    """The line of Python beside a native function, as py-spy saw it; its samples did not explain enough."""
    for capture in captures:
        if capture.profiler == "py-spy" and capture.role == "profile":
            for spot in capture.hotspots[:1]:
                yield replace(spot, seen=BY_PY_SPY)


def not_taken(incident: Incident) -> tuple[str, str | None] | None:
    """Return the reason and the fix where there is no capture; None where there is one."""
    alert: Alert = incident.alert
    if incident.captures:
        return None
    if alert.target is None and incident.process is None:
        reason, fix = _NOBODY.get(alert.metric) or (
            "no single process could be blamed",
            f"record as root, who sees every user's processes: {line_for_all()}",
        )
        return f"no process to profile: {reason}", fix
    if alert.suppressed_by:
        return alert.suppressed_by, None
    if alert.profiler == "none":
        return f'rule {alert.rule!r} has profiler = "none"', "set its profiler to auto in the configuration"
    return "no profiler was tried before the recorder ended", None
