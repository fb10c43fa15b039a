"""Keeping the database in shape: VACUUM, PRAGMA optimize, integrity check; each says what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from monitord.model import counted, sized
from monitord.scheduling import TaskResult
from monitord.storage.usage import floor_bytes
from monitord.storage.views import Usage

# In WAL mode VACUUM writes the new database into the WAL before it replaces the old one: room for two.
_VACUUM_COPIES = 2


class MaintainedStore(Protocol):
    """What maintenance needs of the store."""

    def usage(self) -> Usage: ...
    def settle(self) -> object: ...
    def vacuum(self) -> object: ...
    def compact(self) -> str | None: ...
    def has_free_pages(self) -> bool: ...
    def optimize(self) -> object: ...
    def sweep(self) -> int: ...
    def integrity_check(self) -> Sequence[str]: ...
    def drop_quarantine_before(self, when: datetime, /) -> int: ...


def vacuum_when_idle(
    store: MaintainedStore, *, is_idle: bool, min_free_disk_bytes: int, max_total_bytes: int | None = None
) -> TaskResult:
    """Give back the free pages, then rebuild the database compactly where there is room to do it in.

    The copies are gone when it is done; meanwhile they respect the floor of the disk and `max_total_bytes`.
    Only a database whose free pages can't be given back otherwise may exceed the latter.
    """
    if not is_idle:
        return TaskResult("refused", "the machine is busy; VACUUM waits for a quiet moment")
    before = store.usage()
    held_by = store.compact()
    if held_by is not None:
        return TaskResult("refused", f"{held_by}: nothing can be given back until it is done")
    lean = store.usage()
    copies_bytes = _VACUUM_COPIES * lean.database_bytes
    needed = copies_bytes + floor_bytes(min_free_disk_bytes, lean.disk_bytes)
    is_over = max_total_bytes is not None and lean.total_bytes + copies_bytes > max_total_bytes
    if lean.free_disk_bytes < needed:
        words = (
            "gave back the free pages; to rebuild the database as well,"
            f" {sized(needed, 'disk_bytes')} must be free on the disk, and"
            f" {sized(lean.free_disk_bytes, 'disk_bytes')} are"
        )
    elif is_over and not store.has_free_pages():
        words = "gave back the free pages; the copies of a rebuild would take the store over its budget"
    else:
        store.vacuum()
        words = "rebuilt the database"
    after = store.usage()
    was, now_is = (sized(usage.total_bytes, "disk_bytes") for usage in (before, after))
    return TaskResult("ok", f"{words}: {was} before, {now_is} after")


def optimize(store: MaintainedStore) -> TaskResult:
    """Let SQLite refresh the statistics that its query planner goes by."""
    store.optimize()
    return TaskResult("ok", "statistics are fresh")


def check_integrity(store: MaintainedStore) -> TaskResult:
    """Read the whole database; damage is reported, never repaired in place."""
    problems = store.integrity_check()
    if not problems or list(problems) == ["ok"]:
        return TaskResult("ok", "the database is sound")
    return TaskResult("damaged", f"{counted(len(problems), 'problem')}, the first: {problems[0]}")
