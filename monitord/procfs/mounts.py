"""What is mounted where, from /proc/PID/mountinfo (proc_pid_mountinfo(5)). Pure text work."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

CAP_BYTES = 1 << 18
# How file systems are called whose files lie elsewhere: no disk here counts their I/O, and locks may fail.
NETWORK = (
    *("nfs", "cifs", "smb", "9p", "fuse", "ceph", "afs", "gluster", "lustre", "virtiofs", "ncp"),
    *("vboxsf", "prl_fs"),
)
_ESCAPED = re.compile(r"\\([0-7]{3})")  # blank, tab, newline and backslash; other bytes stay as they are


@dataclass(frozen=True, slots=True)
class MountPoint:
    """`root` is the folder of the file system that is seen at `point`; `options` are the file system's own.

    `device` is the one that the kernel names in maps, too; `source` is what was mounted, in its words.
    """

    mount_id: int
    device: int
    root: str
    point: str
    kind: str
    options: tuple[str, ...]
    source: str = ""


def mount_points(mountinfo: str) -> Iterator[MountPoint]:
    """In the kernel's order; lines that make no sense are left out."""
    for line in mountinfo.split("\n"):
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(kinds) < 3:
            continue
        major, _, minor = fields[2].partition(":")
        if all(word.isascii() and word.isdigit() for word in (fields[0], major, minor)):
            yield MountPoint(
                int(fields[0]),
                os.makedev(int(major), int(minor)),
                _plain(fields[3]),
                _plain(fields[4]),
                kinds[0],
                tuple(kinds[2].split(",")),
                _plain(kinds[1]),
            )


def _plain(field: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)
