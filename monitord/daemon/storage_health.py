"""The daemon's eye on its own storage: what is measured, and what a look at its health looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.storage.artefact_store import open_folder
from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.monitor import (
    AlertManager,
    HealthChecker,
    HealthLimits,
    StorageAlert,
    StorageMonitor,
)
from monitord.storage.artefacts.monitor.health import Room
from monitord.storage.schema import ARTEFACTS_NAME
from monitord.storage.usage import floor_of

if TYPE_CHECKING:
    from monitord.config.settings import BackupSettings
    from monitord.storage.artefacts.keyring import Keyring


def watch(
    data_dir: Path,
    room: Callable[[], Room],
    free_disk_floor_bytes: int,
    tell: Callable[[StorageAlert], object],
    keyring: Callable[[], Keyring] | None = None,
) -> StorageMonitor:
    """A monitor of the artefacts that lie in this data directory.

    The probe goes past what is measured: the counts are of evidence. With a keyring, whether its key can be
    had is looked at, too.
    """

    def opened() -> StorageManager:
        return open_folder(data_dir / ARTEFACTS_NAME, create=False).artefacts

    limits = HealthLimits(free_disk_floor_bytes=floor_of(data_dir, free_disk_floor_bytes))
    checker = HealthChecker(opened, limits, room=room, keyring=keyring)
    return StorageMonitor(health_checker=checker, alert_manager=AlertManager(tell))


def use_backup(monitor: StorageMonitor, data_dir: Path, backup: BackupSettings) -> None:
    """Look at the age of the backups from now on, or no longer."""
    if monitor.health_checker is None:
        return
    if not backup.folder:
        monitor.health_checker.others = ()
        return
    from monitord.storage.backup_folder import BackupFolder, check_age  # only with backups

    place = BackupFolder(Path(backup.folder), data_dir)
    monitor.health_checker.others = (lambda: check_age(place, backup.every_h, datetime.now(UTC)),)


def use_floor(monitor: StorageMonitor, data_dir: Path, free_disk_floor_bytes: int) -> None:
    """Take over another configuration's limit, from the next look on."""
    if monitor.health_checker is not None:
        floor_bytes = floor_of(data_dir, free_disk_floor_bytes)
        limits = replace(monitor.health_checker.limits, free_disk_floor_bytes=floor_bytes)
        monitor.health_checker.limits = limits
