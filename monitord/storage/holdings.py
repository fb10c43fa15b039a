"""The artefacts of one data directory: the door to them, and the folder behind it that lies on this disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider

if TYPE_CHECKING:
    from monitord.storage.artefacts.monitor import StorageMonitor
    from monitord.storage.artefacts.wrappers.archived import ArchivingProvider
    from monitord.storage.artefacts.wrappers.spooled import SpooledProvider


@dataclass(frozen=True, slots=True)
class Holdings:
    """`artefacts` gives what is kept, wherever it lies; `folder` only what this disk holds.

    With a `spool`, the folder's artefacts are on their way to a far provider. With an `archive`, old ones may
    have left a pointer where they were.
    """

    artefacts: StorageManager
    folder: FileStorageProvider
    spool: SpooledProvider | None = None
    archive: ArchivingProvider | None = None

    @property
    def is_whole(self) -> bool:
        """False where artefacts may lie far away and can't be asked for: what is not found is not missing."""
        return self.spool is None or self.spool.remote is not None

    def close(self) -> None:
        """Let go of files and connections."""
        self.artefacts.close()


class OpenHoldings(Protocol):
    """Opens what is kept in and behind this folder; with `create` it is made when it is not there."""

    def __call__(self, folder: Path, *, create: bool = True) -> Holdings: ...


def open_local(folder: Path, *, create: bool = True, monitor: StorageMonitor | None = None) -> Holdings:
    """All artefacts lie in the folder: checked, compressed, a file each; the monitor is told of each call."""
    from monitord.storage.artefacts.opening import compose

    files = FileStorageProvider(folder, FileStorageConfig(create=create))
    return Holdings(StorageManager(compose(files, recorder=monitor), monitor=monitor), files)
