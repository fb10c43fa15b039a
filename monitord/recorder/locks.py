"""One daemon a data directory, one capture at a time: flock, so that a killed owner leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monitord.durable import file_mode, is_shared
from monitord.errors import BusyError, StorageError
from monitord.storage.folder import CAPTURE_LOCK, DAEMON_LOCK, hand_over, holder, pid_in

__all__ = ["CAPTURE_LOCK", "DAEMON_LOCK", "Held", "hold", "holder"]

_ASKED_S = 2.0  # `holder` takes a lock for a moment to see whether it can: that does not count as held


@dataclass(slots=True)
class Held:
    """A lock that is held: which file, by which descriptor (None: the disk could not give one)."""

    path: Path
    what: str
    descriptor: int | None

    def is_lost(self) -> bool:
        """Return whether the path names another file by now, or none: its folder was removed or renamed."""
        try:
            there = self.path.lstat()
        except FileNotFoundError:
            return self.descriptor is not None
        except OSError:
            return False  # a machine without memory or a sick disk says nothing about the file
        if self.descriptor is None:
            return True  # there was none to be had, now there is
        try:
            held = os.fstat(self.descriptor)
        except OSError:
            return False
        return (held.st_dev, held.st_ino) != (there.st_dev, there.st_ino)

    def take_again(self) -> None:
        """Hold the file that the path names now; raises BusyError when it is somebody else's."""
        descriptor = _open(self.path)
        try:
            if descriptor is not None:
                _take(descriptor, self.path, self.what)
        except BaseException:
            if descriptor is not None:
                os.close(descriptor)
            raise
        lost, self.descriptor = self.descriptor, descriptor
        if lost is not None:
            os.close(lost)


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[Held]:
    """Hold the lock file for the block; raise BusyError naming the owner's pid when it stays taken.

    On a disk that can't be written the lock is taken on the file as it is; without any file there is
    nobody to exclude, because a second daemon could not write either.
    """
    held = Held(path, what, _open(path))
    try:
        if held.descriptor is not None:
            _take(held.descriptor, path, what)
        yield held
    finally:
        if held.descriptor is not None:
            os.close(held.descriptor)


def _open(path: Path) -> int | None:
    """Raises StorageError unless it is a plain file with a single name: other locks exclude nobody."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        mode = file_mode(shared=is_shared(path.parent.stat()))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, mode)
    except OSError:
        _require_plain(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | flags)
        except OSError:
            return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise StorageError(f"cannot lock {path}: it is not a regular file, or has several links; remove it")
    with contextlib.suppress(OSError):  # a disk that can't be written
        hand_over(descriptor, path.parent)
    return descriptor


def _require_plain(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"cannot lock {path}: it is not a regular file; remove it")


def _take(descriptor: int, path: Path, what: str) -> None:
    deadline = time.monotonic() + _ASKED_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if time.monotonic() >= deadline:
                pid = pid_in(descriptor)
                raise BusyError(f"{what} (pid {pid or 'unknown'} holds {path})") from error
            time.sleep(0.01)
    with contextlib.suppress(OSError):  # a full or read-only disk: the lock holds without the number
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
