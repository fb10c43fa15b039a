"""Why an incident has no capture at all, and what would change that: never silence."""

from __future__ import annotations

from monitord.model import Alert, CaptureStatus, Incident, TriggerMetric
from monitord.ownership import line_for_all

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


def not_taken_step(incident: Incident) -> list[dict[str, str | None]]:
    """Return the missing capture as a step without evidence, as `not_captured` lists them."""
    why = not_taken(incident)
    if why is None:
        return []
    return [{"profiler": "auto", "status": CaptureStatus.REFUSED.value, "reason": why[0], "fix": why[1]}]
