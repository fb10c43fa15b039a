"""`python -m monitord.actions.backup_errand`: makes a backup into the configured folder if one is due.

A child of the recorder. May be killed at any moment: a backup gets its name last, and what is left of a
killed run the next one removes.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from monitord import logs, rights
from monitord.actions.backups import back_up_again
from monitord.actions.workspace import Workspace
from monitord.children import answer, end_with_parent
from monitord.errors import MonitordError
from monitord.model import counted, sized
from monitord.scheduling import TaskResult
from monitord.storage.backup_folder import BackupFolder, check_whose, is_due, last_made

_FIX = "; `monitord storage verify --repair`, then `monitord storage backup`"


def main() -> int:
    """Do what is due and print how it went, as JSON."""
    parser = argparse.ArgumentParser(prog="monitord backup")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    try:
        done = run(Workspace(arguments.data_dir, arguments.config))
    except (MonitordError, OSError) as error:
        done = TaskResult("failed", str(error))
    answer(done.outcome, done.detail)
    return 0 if done.outcome == "ok" else 1


def run(workspace: Workspace) -> TaskResult:
    """Back up when the last good backup is old enough."""
    settings = workspace.settings
    logs.configure(settings.log.level, settings.log.style)
    rights.keep_only(())  # it may ask a remote provider
    now = datetime.now(UTC)
    place = BackupFolder(Path(settings.backup.folder), workspace.data_dir)
    check_whose(place)
    last = last_made(place.path, now)
    if last is not None and not is_due(last, settings.backup.every_h, now):
        outcome = "damaged" if last.is_flawed else "ok"
        return TaskResult(outcome, f"the last one is {last.path.name}{_FIX if last.is_flawed else ''}")
    made = back_up_again(workspace)
    size = sized(made.manifest.size_bytes, "disk_bytes")
    detail = f"{made.path.name}: {counted(len(made.manifest.files), 'file')}, {size}, restored on trial"
    if made.flaws:
        more = f" and {len(made.flaws) - 1} more" if len(made.flaws) > 1 else ""
        return TaskResult("damaged", f"{made.path.name}: {made.flaws[0]}{more}{_FIX}")
    return TaskResult("ok", detail)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a client's thread that hangs in a network must not hold up the end
