"""The folder that a tool works in, as monitord uses it: the tool's user may have left anything there."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import BinaryIO

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def put(path: Path, content: bytes | bytearray) -> None:
    """Write a new file for the tool to read, in place of whatever has its name; raises OSError.

    The file stays ours: nobody comes into the folder but who owns it, so everybody may read it.
    """
    remove(path)
    with os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(content)


def take(path: Path) -> BinaryIO:
    """Open a plain file of the folder; raises OSError for a link, a pipe or a file with a second name."""
    file = os.fdopen(os.open(path, _OLD), "rb")
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return file
    file.close()
    raise OSError(f"{path.name} is not a plain file")


def size_of(path: Path) -> int:
    """Return the bytes of a regular file; 0 for anything else (a planted link or FIFO is not evidence)."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def remove(path: Path) -> None:
    """Delete what has this name, if anything has."""
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        shutil.rmtree(path, ignore_errors=True)
