"""All of the store elsewhere, and back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.workspace import Workspace

if TYPE_CHECKING:
    from monitord.storage.manifest import Manifest


def back_up(workspace: Workspace, destination: Path) -> Manifest:
    """Copy database and artefacts into a new folder, consistent while the recorder goes on."""
    from monitord.storage.backup import backup

    return backup(workspace.data_dir, destination, open_artefacts=workspace.open_full_store)


def restore(workspace: Workspace, source: Path) -> Manifest:
    """Make an empty data directory what a backup holds: all of it, checked, or nothing."""
    from monitord.recorder.locks import DAEMON_LOCK, hold
    from monitord.storage.restoring import restore as restored

    folder = workspace.data_dir
    what = "cannot restore: the recorder runs here; try `monitord service stop` first"
    with hold(folder / DAEMON_LOCK, what) if folder.is_dir() else contextlib.nullcontext():
        return restored(source, folder)
