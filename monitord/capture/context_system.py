"""The machine and the cgroup around a target: load, pressure, memory, limits and throttling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from monitord.capture import procfs

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
    ]
)
_CGROUP_FILES = [
    "memory.current",
    "memory.max",
    "memory.high",
    "memory.events",
    "cpu.stat",
    "cpu.max",
    "pids.current",
    "pids.max",
    "cpu.pressure",
    "memory.pressure",
    "io.pressure",
]
_V2_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def machine() -> dict[str, Any]:
    """Load, pressure and memory of the whole machine."""
    return {
        "loadavg": _text("/proc/loadavg"),
        "pressure": {name: _text(f"/proc/pressure/{name}") for name in ("cpu", "memory", "io")},
        "meminfo": _meminfo(),
    }


def cgroup(text: str) -> dict[str, Any]:
    """Where the target belongs, from its /proc/PID/cgroup, and the version 2 limits that press on it."""
    paths = {controllers or "unified": path for _, controllers, path in _fields(text)}
    container = _CONTAINER_ID.search(text)
    parts = [part for path in paths.values() for part in path.split("/")]
    units = [part for part in parts if part.endswith((".service", ".scope"))]
    return {
        "paths": paths,
        "unit": units[-1] if units else None,
        "container_id": container[0] if container else None,
        "limits": _limits(paths.get("unified", "/")),
    }


def _fields(text: str) -> list[list[str]]:
    return [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]


def _limits(path: str) -> dict[str, str]:
    if ".." in path.split("/"):
        return {}  # another cgroup namespace: its files are not reachable by this path
    for mount in _V2_MOUNTS:
        folder = Path(mount + path)
        if (folder / "cgroup.procs").exists():
            found = {name: _text(str(folder / name)) for name in _CGROUP_FILES}
            return {name: value for name, value in found.items() if value is not None}
    return {}


def _meminfo() -> dict[str, str]:
    lines = (line.partition(":") for line in (_text("/proc/meminfo") or "").splitlines())
    return {key: value.strip() for key, _, value in lines if key in _MEMINFO}


def _text(path: str) -> str | None:
    try:
        return procfs.read(path, 16384).decode("utf-8", "replace").strip()
    except OSError:
        return None
