"""StorageManager: the one door through which everything keeps bytes.

It knows what the caller knows (key, bytes, tags) and what the bytes say (size, checksum). How they are
kept is the provider's business and its wrappers'; `opening.open_storage` puts those together.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from monitord.storage.artefacts.errors import DamagedArtefactError, MissingArtefactError, WrongKeyError
from monitord.storage.artefacts.keys import check_key
from monitord.storage.artefacts.metadata import (
    DEFAULT_CONTENT_TYPE,
    BytesPayload,
    ChunkReader,
    FilePayload,
    Payload,
    StorageMetadata,
)
from monitord.storage.artefacts.provider import StorageProvider

if TYPE_CHECKING:
    from monitord.storage.artefacts.cache import CacheManager
    from monitord.storage.artefacts.lifecycle import LifecycleManager
    from monitord.storage.artefacts.monitor import StorageMonitor


def _now() -> datetime:
    return datetime.now(UTC)


class StorageManager:
    """Keeps, finds and checks artefacts; `cache`, `lifecycle` and `monitor` are here to be asked."""

    def __init__(
        self,
        provider: StorageProvider,
        cache: CacheManager | None = None,
        lifecycle: LifecycleManager | None = None,
        monitor: StorageMonitor | None = None,
        *,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self.provider = provider
        self.cache = cache
        self.lifecycle = lifecycle
        self.monitor = monitor
        self._now = now

    def store_data(
        self,
        key: str,
        data: bytes | Path,
        *,
        tags: Mapping[str, str] | None = None,
        content_type: str = DEFAULT_CONTENT_TYPE,
        attributes: Mapping[str, object] | None = None,
        replace: bool = True,
    ) -> StorageMetadata:
        """Keep bytes, or a regular file's content, under a key; durable when this returns.

        Raises InvalidKeyError, ArtefactExistsError (unless `replace`), DiskFullError, TransientError.
        """
        check_key(key)
        now = self._now()
        with _payload_of(data) as payload:
            size, checksum = measure(payload)
            metadata = StorageMetadata(
                key=key,
                size=size,
                created_at=(self._created_at(key) if replace else None) or now,
                updated_at=now,
                checksum=checksum,
                tags=dict(tags or {}),
                content_type=content_type,
                attributes=dict(attributes or {}),
            )
            return self.provider.store(key, payload, metadata, replace=replace)

    def _created_at(self, key: str) -> datetime | None:
        try:
            return self.provider.get_metadata(key).created_at
        except (MissingArtefactError, DamagedArtefactError, WrongKeyError):
            return None

    def retrieve_data(self, key: str) -> bytes:
        """Return the whole artefact, checked; raises MissingArtefactError, DamagedArtefactError."""
        _metadata, chunks = self.provider.retrieve(key)
        return together(chunks)

    def open(self, key: str) -> BinaryIO:
        """Open the artefact to be read in pieces; DamagedArtefactError comes at the end at the latest."""
        _metadata, chunks = self.provider.retrieve(key)
        return io.BufferedReader(ChunkReader(chunks))

    def get_metadata(self, key: str) -> StorageMetadata:
        """What the artefact says of itself; the bytes are not read."""
        return self.provider.get_metadata(key)

    def exists(self, key: str) -> bool:
        """Whether there is an artefact of this key, damaged or not."""
        try:
            self.provider.get_metadata(key)
        except MissingArtefactError:
            return False
        except (DamagedArtefactError, WrongKeyError):
            pass
        return True

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys that begin with this text, in order."""
        return self.provider.list(prefix)

    def delete(self, key: str) -> int:
        """Remove an artefact, durably; the bytes it took, 0 when there was none."""
        return self.provider.delete(key)

    def verify(self, key: str) -> StorageMetadata:
        """Read the whole artefact and check it; its metadata, or the error that says what is wrong."""
        metadata, chunks = self.provider.retrieve(key)
        with closing(chunks):
            for _chunk in chunks:
                pass
        return metadata

    def set_aside(self, key: str) -> None:
        """Put a damaged artefact where nothing finds it any more but a person."""
        self.provider.set_aside(key)

    def close(self) -> None:
        """Let go of files and connections."""
        self.provider.close()


def measure(payload: Payload) -> tuple[int, str]:
    """Size in bytes and checksum (`sha256:<hex>`) of what a payload holds."""
    size, sha = 0, hashlib.sha256()
    for chunk in payload.chunks():
        size += len(chunk)
        sha.update(chunk)
    return size, f"sha256:{sha.hexdigest()}"


def together(chunks: Iterator[bytes]) -> bytes:
    """Join all chunks, a single one as it is. Each is let go of before the next one comes."""
    first, second = next(chunks, b""), next(chunks, None)
    if second is None:
        return first
    whole = io.BytesIO()
    whole.write(first)
    del first
    while second is not None:
        whole.write(second)
        second = next(chunks, None)
    return whole.getvalue()


@contextmanager
def _payload_of(data: bytes | Path) -> Iterator[Payload]:
    if isinstance(data, bytes):
        yield BytesPayload(data)
        return
    payload = FilePayload(data)
    try:
        yield payload
    finally:
        payload.close()
