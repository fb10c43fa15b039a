"""Keeping the database in shape: VACUUM, PRAGMA optimize, integrity check; each says what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from monitord.jobs.incidents import Usage
from monitord.storage.artefacts.lifecycle import TaskResult

# In WAL mode VACUUM writes the new database into the WAL before it replaces the old one: room for two.
_VACUUM_COPIES = 2


class MaintainedStore(Protocol):
    """What maintenance needs of the store."""

    def usage(self) -> Usage: ...
    def settle(self) -> object: ...
    def vacuum(self) -> str | None: ...
    def compact(self) -> object: ...
    def optimize(self) -> object: ...
    def integrity_check(self) -> Sequence[str]: ...
    def drop_quarantine_before(self, when: datetime, /) -> int: ...


MaintenanceOutcome = TaskResult  # ok, refused or damaged, and one line for a person


def vacuum_when_idle(store: MaintainedStore, *, is_idle: bool, max_total_bytes: int) -> MaintenanceOutcome:
    """Rebuild the database compactly, unless the machine is busy or there is no room to do it in.

    On the disk there must be room for two copies; where the copy would break the store's own budget only the
    free pages are given back, which needs no room.
    """
    if not is_idle:
        return MaintenanceOutcome("refused", "the machine is busy; VACUUM waits for a quiet moment")
    before = store.usage()
    needed = _VACUUM_COPIES * before.database_bytes
    if before.free_disk_bytes < needed:
        return MaintenanceOutcome(
            "refused", f"VACUUM needs {needed} bytes of free disk, there are {before.free_disk_bytes}"
        )
    if before.total_bytes + before.database_bytes > max_total_bytes:
        store.compact()
        words = "gave back free pages only: a copy of the database would not fit into the budget"
    else:
        refusal = store.vacuum()
        if refusal is not None:
            return MaintenanceOutcome("refused", refusal)
        words = "rebuilt the database"
    return MaintenanceOutcome(
        "ok", f"{words}: {before.total_bytes} bytes before, {store.usage().total_bytes} after"
    )


def optimize(store: MaintainedStore) -> MaintenanceOutcome:
    """Let SQLite refresh the statistics that its query planner goes by."""
    store.optimize()
    return MaintenanceOutcome("ok", "statistics are fresh")


def check_integrity(store: MaintainedStore) -> MaintenanceOutcome:
    """Read the whole database; damage is reported, never repaired in place."""
    problems = store.integrity_check()
    if not problems or list(problems) == ["ok"]:
        return MaintenanceOutcome("ok", "the database is sound")
    return MaintenanceOutcome("damaged", f"{len(problems)} problems, the first: {problems[0]}")
