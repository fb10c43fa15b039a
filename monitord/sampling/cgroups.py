"""From a cgroup path to the systemd unit or the container it stands for. Pure text work.

Path formats: systemd's "Control Group Interfaces" page (slices, scopes, `user@UID.service`, a leading
`_` where a name would clash with a cgroup file), and the default cgroup drivers of docker, podman,
containerd/CRI, cri-o, lxc and systemd-nspawn. A unit keeps the name systemctl knows, `\\x2d` included.
"""

from __future__ import annotations

import re

_UNIT_KINDS = (".service", ".scope", ".socket", ".mount", ".swap")

_LONG_ID = re.compile(
    r"(?:^|[-:.])(?:docker-|libpod-(?:payload-)?|cri-containerd[-:]|crio-)?(?P<id>[0-9a-f]{64})(?:\.scope)?$"
)
_NAMED = re.compile(r"^(?:lxc\.payload\.|machine-|systemd-nspawn@)(?P<name>.+?)(?:\.scope|\.service)?$")
_MONITORS = ("libpod-conmon-", "crio-conmon-")
"""Scopes of a container's supervisor: beside the container, not in it."""


def best_path(text: str) -> str | None:
    """The telling path of /proc/PID/cgroup: the unified hierarchy, else systemd's own, else the deepest.

    On mixed systems `0::/` is empty while a v1 hierarchy has the path; a removed group is marked
    ` (deleted)` by the kernel.
    """
    rows = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    paths = [(row[1], row[2].removesuffix(" (deleted)")) for row in rows]
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
