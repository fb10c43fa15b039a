"""One daemon a data directory, one capture at a time: flock, so that a killed owner leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from monitord.errors import BusyError
from monitord.storage.folder import hand_over

_ASKED_S = 0.3  # `owner` holds a lock for a moment to see whether it can: that is no refusal
DAEMON_LOCK = "lock"
CAPTURE_LOCK = "capture.lock"


@contextlib.contextmanager
def hold(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file for the block; raise BusyError naming the owner's pid when it stays taken.

    On a disk that can't be written the lock is taken on the file as it is; without any file there is
    nobody to exclude, because a second daemon could not write either.
    """
    descriptor = _open(path)
    try:
        if descriptor is not None:
            _take(descriptor, path, what)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def owner(path: Path) -> int | None:
    """The pid that holds the lock, or None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _pid_in(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int | None:
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
        hand_over(descriptor, path.parent)
        return descriptor
    except OSError:
        try:
            return os.open(path, os.O_RDONLY | flags)
        except OSError:
            return None


def _take(descriptor: int, path: Path, what: str) -> None:
    deadline = time.monotonic() + _ASKED_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if time.monotonic() >= deadline:
                pid = _pid_in(descriptor)
                raise BusyError(f"{what} (pid {pid or 'unknown'} holds {path})") from error
            time.sleep(0.01)
    with contextlib.suppress(OSError):  # a full or read-only disk: the lock holds without the number
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)


def _pid_in(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).split()
    return int(text[0]) if text and text[0].isdigit() else None
