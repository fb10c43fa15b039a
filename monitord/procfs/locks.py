"""Locks on files and who waits for them, from /proc/locks (proc_locks(5)). Pure text work, but for `read`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from monitord import procfs

CAP_BYTES = 4 << 20
NO_PROCESS = -1  # what the kernel writes of locks that belong to an open file, not to a process
_KINDS = {"FLOCK": "flock", "POSIX": "fcntl", "OFDLCK": "OFD", "LEASE": "lease", "DELEG": "delegation"}


@dataclass(frozen=True, slots=True)
class Lock:
    """One line: a lock that is held, or (`waits`) one that the lock of the same `number` keeps waiting.

    `kind` is flock, fcntl, OFD, or lease. `pid` is of the process that asked for it (-1: of no
    process but of an open file); `begin` and `end` are bytes of the file, `end` None for its end.
    """

    number: int
    waits: bool
    kind: str
    mode: str
    pid: int
    device: int
    inode: int
    begin: int
    end: int | None


def read() -> list[Lock]:
    """Every lock of this machine that can be seen from our pid namespace; raises OSError."""
    return parse(os.fsdecode(procfs.read("/proc/locks", CAP_BYTES)))


def parse(text: str) -> list[Lock]:
    """Lines that make no sense are left out."""
    return [lock for line in text.split("\n") if (lock := parse_line(line)) is not None]


def parse_line(line: str) -> Lock | None:
    """One line of /proc/locks, or of the locks in a descriptor's fdinfo; None for anything else."""
    words = line.split(None, 16)
    waits = "->" in words[1:3]
    words = [word for word in words if word != "->"]
    if len(words) != 8 or not words[0].endswith(":") or words[1] not in _KINDS:
        return None
    try:
        major, minor, inode = words[5].split(":")
        return Lock(
            int(words[0][:-1]),
            waits,
            _KINDS[words[1]],
            words[3].lower(),
            int(words[4]),
            os.makedev(int(major, 16), int(minor, 16)),
            int(inode),
            int(words[6]),
            None if words[7] == "EOF" else int(words[7]),
        )
    except (ValueError, OverflowError):
        return None


def blockers(locks: list[Lock], waiting: Lock) -> list[Lock]:
    """The lock that keeps this one waiting: of its number, and held."""
    return [lock for lock in locks if lock.number == waiting.number and not lock.waits]
