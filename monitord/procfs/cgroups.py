"""The control groups of a process: where they are mounted, what they stand for, whether they are paused.

Path formats: systemd's "Control Group Interfaces" page (slices, scopes, `user@UID.service`, a leading
`_` where a name would clash with a cgroup file), and the default cgroup drivers of docker, podman,
containerd/CRI, cri-o, lxc and systemd-nspawn. A unit keeps the name systemctl knows, `\\x2d` included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from monitord.procfs import path as path_of
from monitord.procfs import text as text_of
from monitord.procfs.mounts import CAP_BYTES, mount_points

FROZEN = "its control group is frozen (a paused container)"
MAX_DEPTH = 8
_UNIT_KINDS = (".service", ".scope", ".socket", ".mount", ".swap")

_LONG_ID = re.compile(
    r"(?:^|[-:.])(?:docker-|libpod-(?:payload-)?|cri-containerd[-:]|crio-)?(?P<id>[0-9a-f]{64})(?:\.scope)?$"
)
_NAMED = re.compile(r"^(?:lxc\.payload\.|machine-|systemd-nspawn@)(?P<name>.+?)(?:\.scope|\.service)?$")
_MONITORS = ("libpod-conmon-", "crio-conmon-")
"""Scopes of a container's supervisor: beside the container, not in it."""


def hierarchies(text: str) -> list[tuple[str, str]]:
    """The lines of /proc/PID/cgroup as (controllers, path); version 2 has no controllers.

    Split at newlines alone: the kernel refuses them in the name of a group, and nothing else.
    """
    rows = (line.split(":", 2) for line in text.split("\n"))
    return [(row[1], row[2]) for row in rows if len(row) == 3]


def memberships(text: str) -> dict[str, str]:
    """The same by single controller: the path of its group."""
    return {name: path for names, path in hierarchies(text) for name in names.split(",")}


def best_path(text: str) -> str | None:
    """The telling path of /proc/PID/cgroup: the unified hierarchy, else systemd's own, else the deepest.

    On mixed systems `0::/` is empty while a v1 hierarchy has the path; a removed group is marked
    ` (deleted)` by the kernel.
    """
    paths = [(controllers, path.removesuffix(" (deleted)")) for controllers, path in hierarchies(text)]
    for wanted in ("", "name=systemd"):
        for controllers, path in paths:
            if controllers == wanted and path != "/":
                return path
    return max((path for _, path in paths), key=lambda path: path.count("/") * (path != "/"), default=None)


def unit_in(path: str) -> str | None:
    """The innermost unit of a path; a slice when there is nothing closer; None outside systemd."""
    parts = [part.removeprefix("_") for part in path.split("/") if part]
    for part in reversed(parts):
        if part.endswith(_UNIT_KINDS):
            return part
    return next((part for part in reversed(parts) if part.endswith(".slice")), None)


def container_in(path: str) -> str | None:
    """Id (64 hex digits) or name of the innermost container of a path; None on the host."""
    parts = [part for part in path.split("/") if part]
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if part.startswith(_MONITORS):
            continue
        if found := _LONG_ID.search(part):
            return found["id"]
        if named := _NAMED.match(part):
            return named["name"].replace(r"\x2d", "-")
        if index and parts[index - 1] in ("lxc", "lxc.payload"):
            return part
    return None


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where a hierarchy is to be seen, and which of its groups is seen as its root there."""

    point: str
    root: str

    def folders(self, path: str) -> list[str]:
        """The group's folder and those above it, innermost first; in a container its own is the topmost."""
        inside = path if self.root == "/" else path.removeprefix(self.root)
        is_below = self.root == "/" or (inside != path and inside[:1] in ("", "/"))
        if not is_below or ".." in path.split("/"):
            return []  # a group beside the one that is seen here
        parts = [part for part in inside.split("/") if part]
        deepest = len(parts) - MAX_DEPTH
        return ["/".join((self.point, *parts[:end])) for end in range(len(parts), max(-1, deepest), -1)]


def mounted(mountinfo: str) -> dict[str, Hierarchy]:
    """Controller → its hierarchy, from /proc/self/mountinfo; version 2 has no name."""
    found: dict[str, Hierarchy] = {}
    for one in mount_points(mountinfo):
        if one.kind in ("cgroup", "cgroup2"):
            for name in ("",) if one.kind == "cgroup2" else one.options:
                found.setdefault(name, Hierarchy(one.point, one.root))
    return found


def mounted_here(root: str = "/proc") -> dict[str, Hierarchy]:
    """Of this process, which sees what it may; empty where there are none."""
    return mounted(text_of(path_of("self", "mountinfo", root), CAP_BYTES))


def folders_of(controller: str, paths: Mapping[str, str], here: Mapping[str, Hierarchy]) -> list[str]:
    """The folders of one controller's group by `memberships`, innermost first; [] when none is to be seen."""
    return here[controller].folders(paths[controller]) if controller in here and controller in paths else []


def tell_frozen(files: Mapping[str, str]) -> bool:
    """Whether a group is paused, or one above it, by the texts of its files (version 1 and 2)."""
    state, events = files.get("freezer.state", ""), files.get("cgroup.events", "")
    return state.startswith(("FROZEN", "FREEZING")) or "frozen 1" in events


def unit_of(pid: int, root: str = "/proc") -> str | None:
    """The systemd unit that a process runs in; None without one, and where that can't be read."""
    path = best_path(text_of(path_of(pid, "cgroup", root)))
    return unit_in(path) if path is not None else None


def is_frozen(pid: int, root: str = "/proc", here: Mapping[str, Hierarchy] | None = None) -> bool:
    """Whether the group of a process, or one above it, is paused; False where that can't be read."""
    here = mounted_here(root) if here is None else here
    paths = memberships(text_of(path_of(pid, "cgroup", root)))
    return any(
        tell_frozen({name: text_of(f"{folder}/{name}")})
        for controller, name in (("freezer", "freezer.state"), ("", "cgroup.events"))
        for folder in folders_of(controller, paths, here)
    )
