"""The target's own programs and libraries, opened for a child without rights that reads their symbols.

Opened through the kernel's own links or the target's root, never by a name here. Only what is mapped: the
same device and inode, a regular file of a bounded size, which the target's user may read. A file system that
keeps us waiting costs two seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitord import procfs
from monitord.model import ProcessKey
from monitord.procfs.maps import Mapping as Mapped
from monitord.procfs.maps import mapped_code
from monitord.procfs.mounts import mount_points

_LIMIT_S = 2.0
_FILES_CAP = 128  # a reader may have 256 descriptors
_SIZE_CAP = 4 << 30
_MAPS_CAP_BYTES = 2 * 1024 * 1024
_FIRST = 64  # of the numbers that descriptors get: above those that a tool's own have
_LOOK = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Ids(Protocol):
    """Lines of /proc/PID/status: Uid, and groups of which the first is the one that it reads files with."""

    @property
    def users(self) -> str: ...

    @property
    def groups(self) -> str: ...


class Process(Protocol):
    """Whose code is opened; capture's Target is one."""

    @property
    def key(self) -> ProcessKey: ...

    @property
    def identity(self) -> Ids: ...

    def is_alive(self) -> bool: ...

    def was_replaced(self) -> object | None: ...


@contextlib.contextmanager
def opened_code(target: Process, limit_s: float | None = None) -> Iterator[Mapping[str, int]]:
    """For the block, descriptors by the names in the target's maps; of fewer files where that can't be."""
    opening = _Opening(target)
    procfs.try_for(limit_s or _LIMIT_S, opening.run, "capture-opening")
    files = opening.take()
    try:
        yield files
    finally:
        for file in files.values():
            os.close(file)


@dataclass(slots=True)
class _Opening:
    """What a thread has opened so far; nobody waits for the rest once it was taken."""

    target: Process
    lock: threading.Lock = field(default_factory=threading.Lock)
    files: dict[str, int] = field(default_factory=dict)
    is_over: bool = False

    def run(self) -> None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = self.target.key.pid
            maps = mapped_code(procfs.read(procfs.path(pid, "maps"), _MAPS_CAP_BYTES))
            mounts = os.fsdecode(procfs.read(procfs.path(pid, "mountinfo"), _MAPS_CAP_BYTES))
            devices = {mount.mount_id: mount.device for mount in mount_points(mounts)}
            for mapped in maps[:_FILES_CAP]:
                file = self._open(mapped, devices)
                if file is not None and not self._keep(mapped.path, file):
                    return

    def _keep(self, path: str, file: int) -> bool:
        with self.lock:
            if self.is_over:
                os.close(file)
            else:
                self.files[path] = file
            return not self.is_over

    def take(self) -> dict[str, int]:
        """All there is; nothing, if the process may be another one by now."""
        with self.lock:
            self.is_over = True
            is_same = self.target.is_alive() and self.target.was_replaced() is None
            for file in () if is_same else self.files.values():
                os.close(file)
            return self.files if is_same else {}

    def _open(self, mapped: Mapped, devices: Mapping[int, int]) -> int | None:
        pid = self.target.key.pid
        for place, is_proof in (
            (procfs.path(pid, f"map_files/{mapped.where}"), True),  # root's alone, with CAP_SYS_ADMIN
            (procfs.path(pid, f"root{mapped.path}"), False),
            (procfs.path(pid, "exe"), False),
        ):
            with contextlib.suppress(OSError):
                file = self._verified(place, mapped, None if is_proof else devices)
                if file is not None:
                    return file
        return None

    def _verified(self, place: str, mapped: Mapped, devices: Mapping[int, int] | None) -> int | None:
        """What is at a place, if it is what is mapped; nothing is read from it or waited for before."""
        seen = os.open(place, _LOOK)
        try:
            found = os.fstat(seen)
            device = mapped.device if devices is None else devices.get(_mount_of(seen))
            is_it = (device, found.st_ino) == (mapped.device, mapped.inode) or devices is None
            is_fit = stat.S_ISREG(found.st_mode) and 0 < found.st_size <= _SIZE_CAP
            if not is_it or not is_fit or not self._may_read(found):
                return None
            file = os.open(f"/proc/self/fd/{seen}", _READ)
        finally:
            os.close(seen)
        try:
            return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _FIRST)
        finally:
            os.close(file)

    def _may_read(self, found: os.stat_result) -> bool:
        """By its mode: what the target may only execute has no names for it either."""
        users, groups = self.target.identity.users.split(), self.target.identity.groups.split()
        if not users or users[-1] == "0":
            return bool(users)
        if users[-1] == str(found.st_uid):
            return bool(found.st_mode & stat.S_IRUSR)
        return bool(found.st_mode & (stat.S_IRGRP if str(found.st_gid) in groups else stat.S_IROTH))


def _mount_of(file: int) -> int:
    lines = procfs.read(f"/proc/self/fdinfo/{file}", 4096).split(b"\n")
    return next((int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:")), -1)
