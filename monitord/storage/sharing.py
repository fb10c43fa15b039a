"""A store opened to its group for reading: what an earlier version or a restore left to its owner alone.

Root does it in a folder of the service's user, so names are reached by descriptors and no link is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from monitord.durable import file_mode, folder_mode
from monitord.storage.folder import CAPTURE_LOCK, DAEMON_LOCK
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DATABASE = (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm")
_FILES = (*_DATABASE, DAEMON_LOCK, CAPTURE_LOCK, "status.json")


def share_with_group(data_dir: Path, uid: int, gid: int) -> int:
    """Give the store to `uid` and let the group `gid` read it; how many files were opened to it.

    All else (spool, quarantine, databases set aside) stays its owner's. Nobody may record there
    meanwhile. Raises OSError.
    """
    root = os.open(data_dir, _READ | os.O_DIRECTORY)
    try:
        _share_folder(root, uid, gid)
        done = sum(_share_file(root, name, uid, gid) for name in _FILES)
        return done + sum(_share_file(folder, name, uid, gid) for folder, name in _artefacts(root, uid, gid))
    finally:
        os.close(root)


def _artefacts(root: int, uid: int, gid: int) -> Iterator[tuple[int, str]]:
    try:
        os.stat(ARTEFACTS_NAME, dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return
    for _path, _folders, names, folder in os.fwalk(ARTEFACTS_NAME, dir_fd=root, follow_symlinks=False):
        _share_folder(folder, uid, gid)
        yield from ((folder, name) for name in names)


def _share_folder(folder: int, uid: int, gid: int) -> None:
    os.fchown(folder, uid, gid)  # first: it would take the group's sign away again
    os.fchmod(folder, stat.S_ISGID | folder_mode(shared=True))


def _share_file(folder: int, name: str, uid: int, gid: int) -> bool:
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return False  # not there, or a link that somebody put there
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return False
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, file_mode(shared=True))
    finally:
        os.close(descriptor)
    return True
