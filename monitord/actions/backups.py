"""All of the store elsewhere, and back: once into a new folder, or one more into the configured one."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.actions.workspace import Workspace
from monitord.errors import PermissionDeniedError, UsageError
from monitord.model import sized

if TYPE_CHECKING:
    from monitord.config import Settings
    from monitord.storage.artefact_store import OpenArtefacts
    from monitord.storage.manifest import Manifest


@dataclass(frozen=True, slots=True)
class BackupRun:
    """A backup that was made and restored on trial. `flaws` are what is wrong with the store it is of."""

    path: Path
    manifest: Manifest
    flaws: tuple[str, ...]
    removed_count: int


def back_up(workspace: Workspace, destination: Path) -> Manifest:
    """Copy database and artefacts into a new folder, consistent while the recorder goes on."""
    from monitord.storage.backup import backup

    _check_place(destination.absolute().parent)
    return backup(workspace.data_dir, destination, open_artefacts=workspace.open_full_store)


def _check_place(folder: Path) -> None:
    """With rights that others lack, refuse a folder in which they could exchange what we write."""
    from monitord.actions.files import calling_user
    from monitord.ownership import is_privileged, why_untrusted

    if not is_privileged() or not folder.is_dir():
        return
    caller = calling_user()
    owners = frozenset({os.geteuid(), *((caller[0],) if caller else ())})
    status = folder.stat()
    if status.st_mode & stat.S_ISVTX and status.st_uid in owners:
        folder = folder.parent  # /tmp: what we make there stays ours
    reason = why_untrusted(folder, owners=owners)
    if reason is not None:
        raise PermissionDeniedError(f"cannot back up below {folder}: {reason}; choose a folder of root's")


def back_up_again(workspace: Workspace) -> BackupRun:
    """Add a backup to the configured folder, restore it on trial, and let the oldest ones go.

    Artefacts that the last good one has unchanged are hard links to it. Raises UsageError without a folder;
    StorageError when there is no room, or the backup does not come back: then the earlier ones stay.
    """
    from monitord.storage import backup_folder as kept
    from monitord.storage.artefacts.providers.descriptors import explained as explained_files
    from monitord.storage.backup import backup, synchronise_path
    from monitord.storage.trial import restore_on_trial

    settings = workspace.settings
    if not settings.backup.folder:
        raise UsageError("cannot back up: no DEST, and no folder in [backup] of the configuration")
    folder, now = Path(settings.backup.folder), datetime.now(UTC)
    place = kept.BackupFolder(folder, workspace.data_dir)
    with explained_files(f"cannot back up to {folder}"), kept.held(place):
        kept.remove_left_over(folder)
        _check_room(workspace, settings, folder)
        last = kept.last_good(folder, now)
        incoming, trial = folder / kept.INCOMING, folder / kept.TRIAL
        backup(
            workspace.data_dir,
            incoming,
            open_artefacts=workspace.open_full_store,
            earlier=last.path if last else None,
        )
        manifest, flaws = restore_on_trial(incoming, trial, open_artefacts=_in_one_folder(settings))
        final = folder / kept.next_name(folder, now, is_flawed=bool(flaws))
        incoming.rename(final)
        synchronise_path(folder)
        removed = kept.rotate(folder, None if flaws else settings.backup.keep, now)
    return BackupRun(final, manifest, tuple(flaws), removed)


def _check_room(workspace: Workspace, settings: Settings, folder: Path) -> None:
    """Refuse to begin what would leave the disk less than it must have free: a copy, and one on trial."""
    from monitord.storage.artefacts import DiskFullError
    from monitord.storage.readonly import stored_bytes
    from monitord.storage.schema import DATABASE_NAME
    from monitord.storage.usage import floor_of

    # Not the whole directory: captures under way lie there, which the recorder's child may not enter.
    database = workspace.data_dir / DATABASE_NAME
    files = (database, database.with_name(f"{DATABASE_NAME}-wal"))
    held = sum(path.stat().st_size for path in files if path.exists())
    wanted = 2 * (held + (stored_bytes(database) if database.exists() else 0))
    disk = os.statvfs(folder)
    free, floor = disk.f_bavail * disk.f_frsize, floor_of(folder, settings.retention.min_free_disk_bytes)
    if free - wanted < floor:
        raise DiskFullError(
            f"cannot back up to {folder}: {sized(free, 'disk_bytes')} free, {sized(wanted, 'disk_bytes')}"
            f" needed beside the {sized(floor, 'disk_bytes')} that must stay free; free some space there"
        )


def _in_one_folder(settings: Settings) -> OpenArtefacts:
    """How a restored store is opened: all lies in it, encrypted with the configured keys."""
    import msgspec

    from monitord.recorder.artefact_stores import open_local_store

    storage = msgspec.structs.replace(settings.storage, url="", archive_url="")
    return open_local_store(msgspec.structs.replace(settings, storage=storage))


def restore(workspace: Workspace, source: Path) -> Manifest:
    """Make an empty data directory what a backup holds: all of it, checked, or nothing."""
    from monitord.recorder.locks import DAEMON_LOCK, hold
    from monitord.storage.restoring import restore as restored

    folder = workspace.data_dir
    what = "cannot restore: the recorder runs here; try `monitord service stop` first"
    with hold(folder / DAEMON_LOCK, what) if folder.is_dir() else contextlib.nullcontext():
        return restored(source, folder)
