"""A store opened to its group for reading: what an earlier version or a restore left to its owner alone.

Root does it in a folder of the service's user, so names are reached by descriptors and no link is followed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from monitord.durable import file_mode, folder_mode
from monitord.storage.folder import DAEMON_LOCK
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DATABASE = (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm")
_FILES = (*_DATABASE, DAEMON_LOCK, "status.json")


def share_with_group(data_dir: Path, uid: int, gid: int) -> int:
    """Give the store to `uid` and let the group `gid` read it; how many files were opened to it.

    All else (spool, quarantine, databases set aside, locks) is its owner's alone. Nobody may record there
    meanwhile. Raises OSError.
    """
    root = os.open(data_dir, _READ | os.O_DIRECTORY)
    done = 0
    try:
        for path, _folders, names, folder in os.fwalk(".", dir_fd=root, follow_symlinks=False):
            parts = Path(path).parts
            is_evidence = parts[:1] == (ARTEFACTS_NAME,)
            _share_folder(folder, uid, gid, is_read=is_evidence or not parts)
            for name in names:
                # A hidden one is a lock or half a file: who can open it can hold its lock.
                is_read = not name.startswith(".") if is_evidence else not parts and name in _FILES
                done += _share_file(folder, name, (uid, gid), is_read=is_read)
    finally:
        os.close(root)
    return done


def _share_folder(folder: int, uid: int, gid: int, *, is_read: bool) -> None:
    os.fchown(folder, uid, gid)  # first: it would take the group's sign away again
    os.fchmod(folder, stat.S_ISGID | folder_mode(shared=True) if is_read else folder_mode(shared=False))


def _share_file(folder: int, name: str, owner: tuple[int, int], *, is_read: bool) -> bool:
    """Whether it was opened; whatever it is, it belongs to its new owner afterwards."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return False  # gone, or a link that somebody put there
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return False
        os.fchown(descriptor, *owner)
        os.fchmod(descriptor, file_mode(shared=True) if is_read else found.st_mode & stat.S_IRWXU)
    finally:
        os.close(descriptor)
    return is_read
