"""A write-ahead log (WAL) longer than the recorder lets it become, and who keeps it long."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from monitord.model import sized
from monitord.storage.holders import named, readers
from monitord.storage.schema import DATABASE_NAME
from monitord.storage.usage import WAL_LIMIT_BYTES

LONG_BYTES = 4 * WAL_LIMIT_BYTES
"""A commit folds the WAL back at a quarter of this, and a long transaction makes it twice as long as that."""


@dataclass(frozen=True, slots=True)
class LongWal:
    """`holders` are processes with a transaction open at this moment; empty: who has one is unknown."""

    bytes: int
    holders: tuple[int, ...]
    detail: str
    fix: str


def long_wal(data_dir: Path, recorder_pid: int | None = None) -> LongWal | None:
    """Look at a store's WAL; None while it is as short as it should be. `recorder_pid`: who writes it."""
    database = data_dir / DATABASE_NAME
    try:
        size = database.with_name(f"{DATABASE_NAME}-wal").lstat().st_size
    except OSError:
        return None
    if size <= LONG_BYTES:
        return None
    mine = (os.getpid(), recorder_pid)
    holders = tuple(sorted(pid for pid in readers(database) if pid not in mine))
    head = f"the write-ahead log (WAL) is {sized(size, 'disk_bytes')} long"
    if holders:
        who = ", ".join(map(named, holders))
        verb = "keeps" if len(holders) == 1 else "keep"
        detail = (
            f"{head}: {who} {verb} a transaction open on the database, so nothing of it can be folded back"
        )
        listed = ",".join(map(str, holders))
        return LongWal(
            size, holders, detail, f"ps -fp {listed}   # let it finish or end it: the rest follows by itself"
        )
    if recorder_pid is None:
        return LongWal(
            size, (), f"{head}: nobody records, and so nobody folds it back", "monitord service start"
        )
    detail = (
        f"{head}: who keeps it from being folded back is unknown, nobody is seen to read the database now"
    )
    return LongWal(
        size, (), detail, f"sudo fuser -v {database}   # who has it open; let them finish or end them"
    )
