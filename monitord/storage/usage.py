"""What a data directory takes on disk: the one count that status, doctor, metrics and retention go by."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from monitord.errors import MonitordError
from monitord.storage.folder import CAPTURE_LOCK, DAEMON_LOCK, holder
from monitord.storage.readonly import stored_bytes
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME, QUARANTINE_NAME, WARM_NAME
from monitord.storage.views import Usage

SPOOL_NAME = "spool"
_ABANDONED_S = 86_400  # no capture works or waits to be saved for so long in any recorder
# The WAL counts in the budget, so what it may grow to between two checkpoints is kept free: `room_for_rows`.
# In a restless hour the memory of the limits alone, saved after every alert, writes it full in seconds.
WAL_PAGES = 64
WAL_LIMIT_BYTES = WAL_PAGES * 4096
ROWS_BYTES = 64 * 1024  # what an incident's rows or a minute of history may add to the database
_ROOM_SHARE = 0.15  # of a small budget
_SMALL_DISK_BYTES = 2_000_000_000
_KINDS = ("database", "wal", "artefact", "quarantine", "set_aside", "temporary", "warm", "other")
_SET_ASIDE = (f"{DATABASE_NAME}.damaged-", f"{DATABASE_NAME}.before-")


def usage_of(data_dir: Path, *, is_remote: bool = False) -> Usage:
    """Every file below the directory, by what it is. Raises OSError when there is no directory.

    `is_remote`: artefacts go to a remote provider; they are counted as the rows tell it, wherever they lie.
    """
    disk = os.statvfs(data_dir)
    sizes = dict.fromkeys(_KINDS, 0)
    for name, size in _sizes(data_dir):
        sizes[_kind_of(name)] += size
    abandoned = sum(size for _path, size in abandoned_files(data_dir)) if sizes["temporary"] else 0
    found = Usage(
        database_bytes=sizes["database"],
        wal_bytes=sizes["wal"],
        artefact_bytes=sizes["artefact"] + sizes["quarantine"],
        free_disk_bytes=disk.f_bavail * disk.f_frsize,
        set_aside_bytes=sizes["set_aside"],
        temporary_bytes=max(0, sizes["temporary"] - abandoned),
        other_bytes=sizes["other"] + abandoned,
        disk_bytes=disk.f_blocks * disk.f_frsize,
        warm_bytes=sizes["warm"],
    )
    if is_remote:
        with contextlib.suppress(MonitordError, TypeError, ValueError):
            stored = stored_bytes(data_dir / DATABASE_NAME)
            return replace(found, artefact_bytes=stored + sizes["quarantine"])
    return found


def room_for_rows(budget_bytes: int) -> int:
    """What is kept free of a budget until room is made the next time.

    The rows in the database and in the WAL, and the WAL's growth by whatever else is written meanwhile. A
    transaction that is longer than the WAL may be makes it longer: room for two.
    """
    return min(2 * ROWS_BYTES + 2 * WAL_LIMIT_BYTES, int(_ROOM_SHARE * budget_bytes))


def floor_bytes(wanted_bytes: int, disk_bytes: int) -> int:
    """What must stay free on a disk of this size; one below 2 GB keeps a tenth of itself free, and no more.

    Else nothing could be kept on a small partition at all. 0 stands for a size that is not known.
    """
    return min(wanted_bytes, disk_bytes // 10) if 0 < disk_bytes < _SMALL_DISK_BYTES else wanted_bytes


def floor_of(folder: Path, wanted_bytes: int) -> int:
    """As `floor_bytes`, for the disk that a folder lies on."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return wanted_bytes
    return floor_bytes(wanted_bytes, disk.f_blocks * disk.f_frsize)


def set_aside_files(data_dir: Path) -> list[tuple[Path, int]]:
    """Databases that were set aside and quarantined files, each with its size, the oldest first."""
    folders = ((data_dir, _SET_ASIDE), (data_dir / QUARANTINE_NAME, ""))
    found = [
        (status.st_ctime, Path(entry.path), status.st_size)
        for folder, beginning in folders
        for entry, status in _entries(folder)
        if entry.name.startswith(beginning) and stat.S_ISREG(status.st_mode)
    ]
    return [(path, size) for _changed, path, size in sorted(found)]


def abandoned_files(data_dir: Path) -> list[tuple[Path, int]]:
    """What captures left in the spool when they were killed: files and folders, each with its size."""
    entries = list(_entries(data_dir / SPOOL_NAME))
    # Asked afterwards: what was there before and has nobody who works now is nobody's.
    at_work = any(holder(data_dir / lock) is not None for lock in (DAEMON_LOCK, CAPTURE_LOCK))
    before_s = time.time() - _ABANDONED_S
    return [
        (Path(entry.path), _size_below(entry.path) if stat.S_ISDIR(status.st_mode) else status.st_size)
        for entry, status in entries
        if not at_work or max(status.st_mtime, status.st_ctime) < before_s
    ]


def _kind_of(name: str) -> str:
    if name in (ARTEFACTS_NAME, QUARANTINE_NAME, SPOOL_NAME):
        return {ARTEFACTS_NAME: "artefact", QUARANTINE_NAME: "quarantine", SPOOL_NAME: "temporary"}[name]
    if name == WARM_NAME:
        return "warm"
    if name == DATABASE_NAME:
        return "database"
    if name == f"{DATABASE_NAME}-wal":
        return "wal"
    return "set_aside" if name.startswith(_SET_ASIDE) else "other"


def _sizes(data_dir: Path) -> Iterator[tuple[str, int]]:
    """Each name in the directory with what lies under it."""
    for entry, status in _entries(data_dir):
        yield entry.name, _size_below(entry.path) if stat.S_ISDIR(status.st_mode) else status.st_size


def _size_below(folder: str) -> int:
    return sum(
        _size_below(entry.path) if stat.S_ISDIR(status.st_mode) else status.st_size
        for entry, status in _entries(folder)
    )


def _entries(folder: Path | str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    """What lies in a folder, links followed nowhere; what is gone meanwhile is left out."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                yield entry, entry.stat(follow_symlinks=False)
