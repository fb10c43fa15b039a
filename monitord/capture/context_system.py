"""The machine and the cgroup around a target: load, pressure, memory, limits and throttling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monitord import procfs
from monitord.procfs import cgroups
from monitord.redaction import redact_name

_MEMINFO = frozenset(
    [
        "MemTotal",
        "MemFree",
        "MemAvailable",
        "Buffers",
        "Cached",
        "SwapTotal",
        "SwapFree",
        "Dirty",
        "Writeback",
        "AnonPages",
        "Shmem",
        "Slab",
        "SUnreclaim",
        "Committed_AS",
        "HugePages_Total",
        "Hugetlb",
    ]
)
_LIMITS: Mapping[str, tuple[str, ...]] = {
    "": (
        *("memory.current", "memory.max", "memory.high", "memory.events", "cpu.stat", "cpu.max"),
        *("pids.current", "pids.max", "cpu.pressure", "memory.pressure", "io.pressure", "cgroup.events"),
    ),
    "memory": (
        *("memory.usage_in_bytes", "memory.limit_in_bytes"),
        *("memory.failcnt", "memory.oom_control"),
    ),
    "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.stat"),
    "pids": ("pids.current", "pids.max"),
    "freezer": ("freezer.state",),
}
"""Controller → its files; version 2 has no name."""


def machine() -> dict[str, Any]:
    """Load, pressure and memory of the whole machine."""
    return {
        "loadavg": procfs.text("/proc/loadavg") or None,
        "pressure": {name: procfs.text(f"/proc/pressure/{name}") or None for name in ("cpu", "memory", "io")},
        "meminfo": _meminfo(),
        "arc_bytes": _arc_bytes(),
    }


def cgroup(text: str) -> dict[str, Any]:
    """Where the target belongs, from its /proc/PID/cgroup, and the limits that press on it."""
    path = cgroups.best_path(text) or ""
    unit, container = cgroups.unit_in(path), cgroups.container_in(path)
    return {
        "paths": {names or "unified": redact_name(path) for names, path in cgroups.hierarchies(text)},
        "unit": unit and redact_name(unit),
        "container_id": container and redact_name(container),
        "limits": limits(text),
    }


def limits(memberships: str) -> dict[str, str]:
    """Files of the groups in a /proc/PID/cgroup, by name; what version 1 says stands before version 2."""
    paths, here = cgroups.memberships(memberships), cgroups.mounted_here()
    found: dict[str, str] = {}
    for controller, names in _LIMITS.items():
        for folder in cgroups.folders_of(controller, paths, here)[:1]:
            found |= {name: text for name in names if (text := procfs.text(f"{folder}/{name}"))}
    return found


def _meminfo() -> dict[str, str]:
    table = procfs.table(procfs.text("/proc/meminfo"))
    return {key: value for key, value in table.items() if key in _MEMINFO}


def _arc_bytes() -> int | None:
    """What ZFS caches, which no line of meminfo counts; None without ZFS."""
    rows = (line.split() for line in procfs.text("/proc/spl/kstat/zfs/arcstats").splitlines())
    return next((int(row[2]) for row in rows if row[:1] == ["size"] and row[-1].isdigit()), None)
