"""Chooses the capture of an incident that tells most, or gives the reason why none was taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from monitord.model import (
    BEFORE,
    BEFORE_THE_ALERT,
    BY_PY_SPY,
    DURING_THE_ALERT,
    FEW_SAMPLES,
    Alert,
    Capture,
    CaptureStatus,
    Hotspot,
    Incident,
    TriggerMetric,
    not_read_share,
)
from monitord.ownership import line_for_all

_HOT_THEN, _HARDLY_HOT, _MOST = 0.2, 0.05, 0.5
_THIN, _LATE, _CONTEXT, _FAILED = 4, 7, 11, 12
_WHILE_IT_LASTS = (
    "monitord snapshot, while it lasts: it keeps who ran, ended ones included, and in which functions"
)
_NOBODY = {
    TriggerMetric.NETWORK: (
        "the recorder saw no TCP socket with this traffic: it was UDP, of a container with"
        " its own network, or of another user",
        "sudo ss -tunpi shows every user's sockets, sudo nsenter --net --target PID ss -tunpi a container's",
    ),
    TriggerMetric.MEMORY_PRESSURE: (
        "the machine as a whole waited for memory",
        "cat /proc/pressure/memory; ps -eo state,pid,maj_flt,rss,args --sort=-maj_flt | head",
    ),
    TriggerMetric.IO_PRESSURE: (
        "the machine as a whole waited for disks",
        "cat /proc/pressure/io; ps -eo state,pid,args | grep ^D",
    ),
    TriggerMetric.SHORT_LIVED_CPU: (
        "processes of several parents used it, each gone before it could be looked at",
        _WHILE_IT_LASTS,
    ),
    TriggerMetric.SPAWN_STORM: (
        "processes of several parents were started",
        _WHILE_IT_LASTS,
    ),
    TriggerMetric.CPU_PRESSURE: (
        "the machine as a whole waited for processors",
        _WHILE_IT_LASTS,
    ),
    TriggerMetric.OOM_KILL: (
        "what the kernel killed for lack of memory was not followed",
        "sudo journalctl -k -g 'Killed process'",
    ),
    TriggerMetric.FREE_MEMORY: (
        "no single process held the memory: it was shared memory, the kernel's own, or many small processes",
        "grep -E 'Shmem|Slab|PageTables' /proc/meminfo; df -h -t tmpfs",
    ),
}


def rank(
    role: str,
    status: str,
    *,
    late: bool = False,
    sample_count: int | None = None,
    metric: TriggerMetric | None = None,
) -> int:
    """How much a capture tells: 0 is best.

    What the black box held from before the alert; then a whole profile of the spike, a part of one, a dump
    from inside it; then what has a handful of samples, what was taken when the spike was over, the context,
    and at last failures. The black box sees nothing that waits: of a hang it tells least.
    """
    if status not in (CaptureStatus.OK.value, CaptureStatus.PARTIAL.value):
        return _FAILED
    if role == "context":
        return _CONTEXT
    is_thin = role in (BEFORE, "profile") and sample_count is not None and sample_count < FEW_SAMPLES
    if role == BEFORE:
        return _THIN if is_thin or metric is TriggerMetric.HANG else 0
    whole = 1 if role == "profile" and status == CaptureStatus.OK.value else 2
    order = 3 if role == "dump" else whole
    return order + (_LATE if late else _THIN if is_thin else 0)


def leading_hotspots(captures: Sequence[Capture], metric: TriggerMetric | None = None) -> tuple[Hotspot, ...]:
    """Of the best evidence that has any; then what other evidence adds to it, each with when it was seen."""
    ranked = sorted(
        captures,
        key=lambda one: rank(
            one.role, one.status.value, late=one.late, sample_count=one.sample_count, metric=metric
        ),
    )
    leading = next((capture for capture in ranked if capture.hotspots), None)
    if leading is None:
        return ()
    if leading.role == BEFORE:
        return _before_and_during(leading, ranked)
    best = leading.hotspots
    earlier = next((one for one in ranked if one.role in (BEFORE, "dump") and one is not leading), None)
    if earlier is not None and leading.role == "profile":
        best = (*best, *_other_phase(earlier.hotspots, best, BEFORE_THE_ALERT))
    if leading.hotspots[0].kind != "python":
        best = (*best, *_in_python(captures))
    return best


def _before_and_during(before: Capture, ranked: Sequence[Capture]) -> tuple[Hotspot, ...]:
    """What ran before, then what only the profile shows; that, or a look, first where it has no name."""
    best = before.hotspots
    is_nameless = best[0].func_id is None and best[0].function.startswith("[")
    is_nameless = is_nameless or not_read_share(best) >= _MOST
    seen = {"profile": DURING_THE_ALERT}
    if is_nameless:
        seen["dump"] = BEFORE_THE_ALERT  # a look of few samples, which has what the black box could not read
    for role, when in seen.items():
        other = next((one for one in ranked if one.role == role and one.hotspots and not one.late), None)
        if other is not None and (found := tuple(_other_phase(other.hotspots, best, when))):
            return (*found, *best) if is_nameless else (*best, *found)
    return best


def _other_phase(other: Sequence[Hotspot], shown: Sequence[Hotspot], seen: str) -> Iterator[Hotspot]:
    """What was hot at another time, and hardly is in what is shown: another phase of the program.

    Of Python functions that were read now and then, less is shown than there was: the other's hottest one
    counts, though some of it is shown. Those behind it may be what threads wait in.
    """
    shares = {(spot.function, spot.file): spot.total_share for spot in shown}
    is_partly_read = not_read_share(shown) > 0
    for place, spot in enumerate(other):
        hardly = spot.self_share / 2 if is_partly_read and place == 0 else _HARDLY_HOT
        is_new = shares.get((spot.function, spot.file), 0.0) < hardly
        if spot.self_share >= _HOT_THEN and is_new:
            yield replace(spot, seen=seen)


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
        return f"there is no process to profile: {reason}", fix
    if alert.suppressed_by:
        return alert.suppressed_by, None
    if alert.profiler == "none":
        return f'rule {alert.rule!r} has profiler = "none"', "set its profiler to auto in the configuration"
    return "no profiler was tried before the recorder ended", None
