"""The open descriptors of a process: where each points, and what fdinfo says of it (proc_pid_fdinfo(5)).

Links are read and never followed: following one into a dead network file system waits for ever.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from monitord import procfs

LOOK_CAP = 20_000
_INFO_BYTES = 8192
DELETED = " (deleted)"


@dataclass(frozen=True, slots=True)
class Info:
    """What a descriptor is: position, open flags, id of its mount, and inode (None before Linux 5.14).

    `locks` are the lines of locks that were taken by this very open file.
    """

    position: int
    flags: int
    mount_id: int
    inode: int | None
    locks: tuple[str, ...] = ()

    @property
    def reads(self) -> bool:
        return self.flags & os.O_ACCMODE in (os.O_RDONLY, os.O_RDWR)

    @property
    def writes(self) -> bool:
        return self.flags & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)


def links(pid: int, most: int = LOOK_CAP) -> Iterator[tuple[int, str]]:
    """Descriptors with where they point, `most` of them; raises OSError when they may not be read."""
    folder = procfs.path(pid, "fd")
    for name in procfs.entries(folder)[:most]:
        try:
            yield int(name), procfs.link(f"{folder}/{name}")
        except OSError:
            continue  # closed meanwhile


def link_of(pid: int, descriptor: int) -> str | None:
    """Where one descriptor points; None when there is no such, or it may not be read."""
    try:
        return procfs.link(procfs.path(pid, f"fd/{descriptor}"))
    except OSError:
        return None


def info_of(pid: int, descriptor: int) -> Info | None:
    """What the kernel says of one descriptor; None when there is no such, or it may not be read."""
    raw = procfs.read_once(procfs.path(pid, f"fdinfo/{descriptor}"), _INFO_BYTES)
    return None if raw is None else info_in(os.fsdecode(raw))


def info_in(text: str) -> Info | None:
    """The same of a text; None for what the kernel does not write."""
    told: dict[str, str] = {}
    locks = []
    for line in text.split("\n"):
        key, _, value = line.partition(":")
        if key == "lock":
            locks.append(value.strip())
        else:
            told.setdefault(key, value.strip())
    try:
        inode = int(told["ino"]) if "ino" in told else None
        return Info(
            int(told["pos"]), int(told["flags"], 8), int(told.get("mnt_id", "0")), inode, tuple(locks)
        )
    except (KeyError, ValueError):
        return None


def kind_of(link: str) -> str:
    """What a descriptor is, by where its link points."""
    if link.startswith("anon_inode:"):
        return link[:40]
    for prefix in ("socket:", "pipe:"):
        if link.startswith(prefix):
            return prefix[:-1]
    if link.startswith("/dev/"):
        return "device"
    return "file" if link.startswith("/") else "other"


def inode_in(link: str) -> int | None:
    """The inode of a pipe or socket, from where its descriptor points: `socket:[123]`."""
    inside = link.partition(":[")[2].removesuffix("]")
    return int(inside) if inside.isascii() and inside.isdigit() else None
