"""What is to be deleted at a remote provider that is not asked now, and the locks of who uploads."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from monitord.errors import BusyError
from monitord.storage.artefacts.metadata import BytesPayload, StorageMetadata
from monitord.storage.artefacts.providers.descriptors import explained
from monitord.storage.artefacts.providers.file import FileStorageProvider

_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTHING = BytesPayload(b"")
_CHECKSUM_OF_NOTHING = f"sha256:{hashlib.sha256().hexdigest()}"


class PendingDeletions:
    """A folder with an empty artefact for each name, as durable as any; made with the first of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: FileStorageProvider | None = None

    def has(self, name: str) -> bool:
        """Whether this name has still to be deleted."""
        folder = self._existing()
        return folder is not None and folder.holds(name)

    def add(self, name: str) -> None:
        """Durable when this returns."""
        now = datetime.now(UTC)
        self._made().store(name, _NOTHING, StorageMetadata(name, 0, now, now, _CHECKSUM_OF_NOTHING))

    def remove(self, name: str) -> None:
        """It was deleted, or is not to be deleted any more."""
        folder = self._existing()
        if folder is not None:
            folder.delete(name)

    def list(self, prefix: str = "") -> list[str]:
        """All names that begin with this text."""
        folder = self._existing()
        return list(folder.list(prefix)) if folder is not None else []

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """A block that one thread of one process enters at a time, among all that use this folder."""
        with self._locked(".lock", fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def only_uploader(self) -> Iterator[None]:
        """Be the only process that uploads, for the block; raises BusyError."""
        try:
            with self._locked(".drain.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield
        except BlockingIOError as error:
            raise BusyError("cannot upload: another process does already") from error

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Iterator[None]:
        """Hold a lock file, whose name can't be a key, by a descriptor of its own: threads wait, too."""
        self._made()
        with explained(f"cannot lock {self._path}"):
            descriptor = os.open(self._path / name, _LOCK_FILE, 0o600)
        try:
            _hand_over(descriptor, self._path)
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _existing(self) -> FileStorageProvider | None:
        if self._folder is None and self._path.exists():
            return self._made()
        return self._folder

    def _made(self) -> FileStorageProvider:
        if self._folder is None:
            with explained(f"cannot make {self._path}"), contextlib.suppress(FileExistsError):
                self._path.mkdir(mode=0o700)
                _hand_over(self._path, self._path.parent)
            self._folder = FileStorageProvider(self._path)
        return self._folder

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder is not None:
            self._folder.close()
            self._folder = None


def _hand_over(made: Path | int, folder: Path) -> None:
    """What root makes in a service's directory belongs to the service, which must be able to use it."""
    if os.geteuid() == 0:
        status = folder.stat()
        os.chown(made, status.st_uid, status.st_gid)
