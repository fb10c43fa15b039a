"""Who else has the database open: the readers that keep SQLite from folding the WAL back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from monitord import procfs
from monitord.redaction import printable

# Where SQLite's locks lie in the -shm file: five marks of readers after those of writer, checkpointer and
# recovery (sqlite3's os_unix.c, UNIX_SHM_BASE and SQLITE_SHM_NLOCK).
_FIRST_READER, _LAST_READER = 123, 127


def database_holder(database: Path) -> str | None:
    """Another program that reads the database at this moment, in words; None when none is seen (Linux)."""
    others = [pid for pid in readers(database) if pid != os.getpid()]
    if not others:
        return None
    return f"another program ({', '.join(named(pid) for pid in others)}) keeps the database open"


def readers(database: Path) -> Iterator[int]:
    """Pids with a lock among the readers' marks, from /proc/locks; a pid may be out of our sight."""
    try:
        status = database.with_name(f"{database.name}-shm").stat()
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    seen: set[int] = set()
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or fields[1] != "POSIX" or fields[5] != wanted:
            continue
        with contextlib.suppress(ValueError):
            pid, start, end = int(fields[4]), int(fields[6]), int(fields[7])
            if pid > 0 and pid not in seen and start <= _LAST_READER and end >= _FIRST_READER:
                seen.add(pid)
                yield pid


def named(pid: int) -> str:
    """Write a pid with its process's name, where it is known."""
    name = procfs.text(procfs.path(pid, "comm"), 64)
    return f"pid {pid}, {printable(name)}" if name else f"pid {pid}"
