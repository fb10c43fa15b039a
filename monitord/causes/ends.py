"""Who has the other end of a pipe or socket, and who holds the lock that a descriptor waits for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from monitord import procfs
from monitord.procfs import cgroups, descriptors, holders, locks, tcp_table
from monitord.redaction import redact_name

_MOST_HOLDERS = 8
_MOST_LOOKED_AT = 200_000


@dataclass(frozen=True, slots=True)
class Process:
    """A process that holds something: pid, name, and its container where it is in one."""

    pid: int
    name: str
    container: str | None = None

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process as it is now; None when it has ended."""
        stat = procfs.stat_of(pid)
        if stat is None:
            return None
        path = cgroups.best_path(procfs.text(procfs.path(pid, "cgroup"))) or ""
        container = cgroups.container_in(path)
        return cls(pid, redact_name(stat.name)[:40], container and redact_name(container)[:64])


def pipe_ends(link: str, *, writing: bool) -> list[Process]:
    """Who could write to a pipe (or, not `writing`, read from it)."""
    inode = descriptors.inode_in(link)
    by = holders.holders([inode], "pipe").get(inode, {}) if inode else {}
    return _processes(
        pid
        for pid, held in by.items()
        if any(
            (info.writes if writing else info.reads)
            for descriptor in held
            if (info := descriptors.info_of(pid, descriptor)) is not None
        )
    )


@dataclass(frozen=True, slots=True)
class SocketEnd:
    """The other end of a socket: its address, who holds it where that is on this machine, or why unknown."""

    remote: str | None = None
    state: str | None = None
    holders: tuple[Process, ...] = ()


def socket_end(pid: int, link: str) -> SocketEnd:
    """The other end of a TCP socket, in the network namespace of the process; empty for other sockets."""
    inode = descriptors.inode_in(link)
    table = tcp_table.connections(lambda name: procfs.text(procfs.path(pid, name), tcp_table.CAP_BYTES))
    own = next((row for row in table if row.inode == inode), None) if inode else None
    if own is None:
        return SocketEnd()
    other = next((row for row in table if (row.local, row.remote) == (own.remote, own.local)), None)
    by = holders.holders([other.inode]).get(other.inode, {}) if other and other.inode else {}
    return SocketEnd(own.remote, own.state, tuple(_processes(by)))


# -------------------------------------------------------------------------------------- locks on files


@dataclass(frozen=True, slots=True)
class FileLock:
    """A lock that somebody waits for. `holders` is empty where nobody on this machine can be seen to hold it.

    `taken_by` is who asked for it, where that is another process than those that hold the open file now.
    """

    kind: str
    mode: str
    holders: tuple[Process, ...]
    taken_by: int | None = None


def lock_holders(pid: int, descriptor: int, kinds: tuple[str, ...], begin: int | None) -> FileLock | None:
    """Who holds what a thread waits for on this descriptor; None when it is not in the kernel's list."""
    info, link = descriptors.info_of(pid, descriptor), descriptors.link_of(pid, descriptor)
    if info is None or link is None:
        return None
    every = locks.read()
    waiting = [
        lock
        for lock in every
        if lock.waits
        and lock.inode == info.inode
        and lock.kind in kinds
        and lock.pid in (pid, locks.NO_PROCESS)
    ]
    exact = [lock for lock in waiting if lock.begin == begin]
    for waiter in exact or waiting:
        for lock in locks.blockers(every, waiter):
            return _held(lock, link)
    return None


def waits_for(pid: int) -> list[int]:
    """The processes whose locks a process waits for, as far as they are known by pid."""
    every = locks.read()
    waiting = [lock for lock in every if lock.waits and lock.pid == pid]
    return [holder.pid for lock in waiting for holder in locks.blockers(every, lock) if holder.pid > 0]


def _held(lock: locks.Lock, link: str) -> FileLock:
    """A lock belongs to an open file, which children inherit; one of fcntl to a table of descriptors.

    A process that shares the table may outlive who took the lock, whose pid another one has by then.
    """
    if lock.pid > 0 and _has_lock(lock.pid, lock):
        return FileLock(lock.kind, lock.mode, tuple(_processes([lock.pid])))
    found = tuple(_processes(_who_has(lock, link)))
    taken_by = lock.pid if lock.pid > 0 and lock.pid not in [one.pid for one in found] else None
    return FileLock(lock.kind, lock.mode, found, taken_by)


def _who_has(lock: locks.Lock, link: str) -> list[int]:
    """Processes with an open file that has the lock: first those with its name, then all."""
    name = link.removesuffix(descriptors.DELETED).rpartition("/")[2]
    for is_named in (True, False):
        left, found = _MOST_LOOKED_AT, []
        for pid in procfs.pids():
            try:
                each = list(descriptors.links(pid))
            except OSError:
                continue  # gone, or may not be read
            left -= len(each)
            if left < 0:
                break
            likely = [one for one, where in each if where.startswith("/") and (name in where or not is_named)]
            if any(_is_of(lock, info) for one in likely if (info := descriptors.info_of(pid, one))):
                found.append(pid)
        if found:
            return found
    return []


def _has_lock(pid: int, lock: locks.Lock) -> bool:
    """Of fcntl, who may not be looked at is believed to."""
    try:
        return any(
            _is_of(lock, info)
            for descriptor, where in descriptors.links(pid)
            if where.startswith("/") and (info := descriptors.info_of(pid, descriptor)) is not None
        )
    except PermissionError:
        return lock.kind == "fcntl"
    except OSError:
        return False


def _is_of(lock: locks.Lock, info: descriptors.Info) -> bool:
    """Whether an open file has this very lock."""
    own = (locks.parse_line(line) for line in info.locks)
    return any(
        one is not None
        and not one.waits
        and (one.kind, one.device, one.inode, one.begin, one.end)
        == (lock.kind, lock.device, lock.inode, lock.begin, lock.end)
        for one in own
    )


def _processes(pids: Iterator[int] | list[int] | dict[int, set[int]]) -> list[Process]:
    found = (Process.of(pid) for pid in list(pids)[:_MOST_HOLDERS])
    return [one for one in found if one is not None]


# ------------------------------------------------------------------------------------------- children


def children_of(pid: int) -> list[tuple[int, procfs.Stat]]:
    """The children of a process with their states, zombies included."""
    found = ((one, procfs.stat_of(one)) for one in procfs.pids())
    return [(one, stat) for one, stat in found if stat is not None and stat.parent_pid == pid]


def parsed_flock(memory: bytes) -> int | None:
    """Where the range of a struct flock begins, if it is told from the beginning of the file; else None."""
    if len(memory) < 16 or int.from_bytes(memory[2:4], "little") != os.SEEK_SET:
        return None
    return int.from_bytes(memory[8:16], "little", signed=True)
