"""One daemon a data directory, one capture at a time: flock, so that a killed owner leaves nothing behind.

Who can open a file can hold its lock. So locks are their owner's alone, but for the daemon's, by which
readers of a shared store see that somebody records; one of theirs on it excludes nobody.
"""

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
        fresh = Held(self.path, self.what, _open(self.path))
        try:
            fresh.take()
        except BaseException:
            fresh.close()
            raise
        self.close()
        self.descriptor = fresh.descriptor

    def take(self) -> None:
        """Lock what is opened, or what takes the place of a file that a mere reader has locked."""
        if self.descriptor is None or _take(self.descriptor):
            return
        if _is_held_by_readers(self.descriptor) and (replaced := _replace(self.path)) is not None:
            os.close(self.descriptor)
            self.descriptor = replaced
            return
        pid = pid_in(self.descriptor)
        raise BusyError(f"{self.what} (pid {pid or 'unknown'} holds {self.path})")

    def close(self) -> None:
        """Let go of the lock."""
        if self.descriptor is not None:
            os.close(self.descriptor)


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[Held]:
    """Hold the lock file for the block; raise BusyError naming the owner's pid when it stays taken.

    On a disk that can't be written the lock is taken on the file as it is; without any file there is
    nobody to exclude, because a second daemon could not write either.
    """
    held = Held(path, what, _open(path))
    try:
        held.take()
        yield held
    finally:
        held.close()


def _open(path: Path) -> int | None:
    """Raises StorageError unless it is a plain file with a single name: other locks exclude nobody."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    mode = _mode_of(path)
    try:
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
        if stat.S_IMODE(found.st_mode) != mode:  # made by an earlier version
            os.fchmod(descriptor, mode)
    return descriptor


def _require_plain(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"cannot lock {path}: it is not a regular file; remove it")


def _mode_of(path: Path) -> int:
    with contextlib.suppress(OSError):
        return file_mode(shared=path.name == DAEMON_LOCK and is_shared(path.parent.stat()))
    return file_mode(shared=False)


def _take(descriptor: int) -> bool:
    deadline = time.monotonic() + _ASKED_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
    with contextlib.suppress(OSError):  # a full or read-only disk: the lock holds without the number
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return True


def _is_held_by_readers(descriptor: int) -> bool:
    """Whether all that the kernel tells of who holds the lock are users who may not write the file.

    The owner's process has written its number into it. Where the kernel tells nothing, that one holds it.
    """
    found, number = os.fstat(descriptor), pid_in(descriptor)
    holders = [_identity(pid) for pid in _holders(found.st_ino)]
    trusted = {0, found.st_uid, os.geteuid()}
    is_ours = (uid in trusted and (number is None or number in numbers) for uid, numbers in holders)
    return bool(holders) and not any(is_ours)


def _holders(inode: int) -> list[int]:
    """Processes that hold a flock on a file of this number, on whatever disk (proc_locks(5))."""
    try:
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    return [int(each[4]) for each in words if each[1] == "FLOCK" and each[5].endswith(f":{inode}")]


def _identity(pid: int) -> tuple[int | None, tuple[int, ...]]:
    """The real user (the effective one is whose program it has become) and its numbers, a container's too.

    (None, ()) when it is gone.
    """
    from monitord import procfs  # commands that only ask who records need not load it

    try:
        told = procfs.status_of(pid)
        return int(told["Uid"].split()[0]), tuple(map(int, told.get("NSpid", "").split()))
    except (OSError, KeyError):
        return None, ()


def _replace(path: Path) -> int | None:
    """Put a file of ours in the place of the lock: nobody else can open it before it is locked."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, flags, 0o600)
        try:
            _take(descriptor)
            hand_over(descriptor, path.parent)
            os.fchmod(descriptor, _mode_of(path))
            draft.replace(path)
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
    except OSError:
        return None  # a disk that can't be written
    return descriptor
