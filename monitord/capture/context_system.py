"""The machine and the cgroup around a target: load, pressure, memory, limits and throttling."""

from __future__ import annotations

import re
from typing import Any

from monitord.capture import procfs, target_groups
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
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def machine() -> dict[str, Any]:
    """Load, pressure and memory of the whole machine."""
    return {
        "loadavg": _text("/proc/loadavg"),
        "pressure": {name: _text(f"/proc/pressure/{name}") for name in ("cpu", "memory", "io")},
        "meminfo": _meminfo(),
        "arc_bytes": _arc_bytes(),
    }


def cgroup(text: str) -> dict[str, Any]:
    """Where the target belongs, from its /proc/PID/cgroup, and the limits that press on it."""
    paths = {controllers or "unified": path for _, controllers, path in _fields(text)}
    container = _CONTAINER_ID.search(text)
    parts = [part for path in paths.values() for part in path.split("/")]
    units = [part for part in parts if part.endswith((".service", ".scope"))]
    return {
        "paths": {name: redact_name(path) for name, path in paths.items()},
        "unit": redact_name(units[-1]) if units else None,
        "container_id": container[0] if container else None,
        "limits": target_groups.limits(text),
    }


def _fields(text: str) -> list[list[str]]:
    return [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]


def _meminfo() -> dict[str, str]:
    lines = (line.partition(":") for line in (_text("/proc/meminfo") or "").splitlines())
    return {key: value.strip() for key, _, value in lines if key in _MEMINFO}


def _arc_bytes() -> int | None:
    """What ZFS caches, which no line of meminfo counts; None without ZFS."""
    rows = (line.split() for line in (_text("/proc/spl/kstat/zfs/arcstats") or "").splitlines())
    return next((int(row[2]) for row in rows if row[:1] == ["size"] and row[-1].isdigit()), None)


def _text(path: str) -> str | None:
    try:
        return procfs.read(path, 16384).decode("utf-8", "replace").strip()
    except OSError:
        return None
