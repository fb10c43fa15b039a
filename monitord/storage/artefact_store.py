"""The artefacts of one data directory: the door to them, and the folder behind it that lies on this disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from monitord.storage.artefacts import StorageManager
from monitord.storage.artefacts.providers.file import FileStorageConfig, FileStorageProvider

if TYPE_CHECKING:
    from monitord.storage.artefacts.monitor import StorageMonitor
    from monitord.storage.artefacts.provider import StorageProvider
    from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
    from monitord.storage.artefacts.wrappers.uploading import UploadingProvider


@dataclass(frozen=True, slots=True)
class ArtefactStore:
    """`artefacts` gives what is kept, wherever it lies; `folder` only what this disk holds.

    With `uploading`, the folder's artefacts are on their way to a remote provider. With `archiving`, old ones
    may have left a pointer where they were.
    """

    artefacts: StorageManager
    folder: FileStorageProvider
    uploading: UploadingProvider | None = None
    archiving: ArchivingProvider | None = None

    @property
    def can_see_remote(self) -> bool:
        """False where artefacts may be remote and can't be asked for: what is not found is not missing."""
        return self.uploading is None or self.uploading.remote is not None

    @property
    def as_stored(self) -> StorageProvider:
        """All artefacts, compressed and encrypted as they lie there."""
        return self.uploading or self.archiving or self.folder

    def close(self) -> None:
        """Let go of files and connections."""
        self.artefacts.close()


class OpenArtefacts(Protocol):
    """Opens what is kept in and behind this folder; with `create` it is made when it is not there."""

    def __call__(self, folder: Path, *, create: bool = True) -> ArtefactStore: ...


def open_folder(folder: Path, *, create: bool = True, monitor: StorageMonitor | None = None) -> ArtefactStore:
    """All artefacts lie in the folder: checked, compressed, a file each; the monitor is told of each call."""
    from monitord.storage.artefacts.opening import compose

    files = FileStorageProvider(folder, FileStorageConfig(create=create))
    return ArtefactStore(StorageManager(compose(files, recorder=monitor), monitor=monitor), files)
