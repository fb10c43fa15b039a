"""The control groups of a target, of version 1 and 2: limits, what pressed on them, frozen or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitord.capture import procfs

_FILES: Mapping[str, tuple[str, ...]] = {
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

FROZEN = "its control group is frozen (a paused container)"


def limits(memberships: str) -> dict[str, str]:
    """Read the files of the groups in a /proc/PID/cgroup, by name; version 1 stands before version 2."""
    found: dict[str, str] = {}
    for controller, folder in _folders(memberships):
        found |= {name: text for name in _FILES[controller] if (text := _text(f"{folder}/{name}"))}
    return found


def is_frozen(files: Mapping[str, str]) -> bool:
    """Whether the group, or one above it, is paused: the kernel says so in each group beneath it, too."""
    return files.get("freezer.state", "").startswith("FR") or "frozen 1" in files.get("cgroup.events", "")


def is_process_frozen(pid: int) -> bool:
    """Return whether the group of a process that runs now is paused; False where that can't be read."""
    return is_frozen(
        {
            name: _text(f"{folder}/{name}") or ""
            for controller, folder in _folders(_text(f"/proc/{pid}/cgroup") or "")
            for name in ("freezer.state", "cgroup.events")
            if name in _FILES[controller]
        }
    )


def _folders(memberships: str) -> Iterator[tuple[str, str]]:
    """Where the groups are to be seen; a group of another namespace (`..`) is not."""
    own = [line.split(":", 2) for line in memberships.splitlines() if line.count(":") >= 2]
    mounts = _text("/proc/self/mountinfo", 1 << 18) or ""
    for controller in _FILES:
        path = next((row[2] for row in own if controller in row[1].split(",")), None)
        if path is None or ".." in path.split("/"):
            continue
        for line in mounts.splitlines():
            before, _, after = line.partition(" - ")
            fields, kinds = before.split(), after.split()
            is_first = kinds[:1] == ["cgroup"] and controller in kinds[-1].split(",")
            if is_first if controller else kinds[:1] == ["cgroup2"]:
                within = path.removeprefix(fields[3]) if fields[3] != "/" else path
                yield controller, f"{fields[4]}/{within}"
                break


def _text(path: str, cap_bytes: int = 16384) -> str | None:
    try:
        return procfs.read(path, cap_bytes).decode("utf-8", "replace").strip()
    except OSError:
        return None
