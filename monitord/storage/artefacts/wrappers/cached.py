"""Written through, read from memory when it is there: no byte is hashed, opened or copied again on a hit."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from monitord.storage.artefacts.cache import CacheManager, Ticket
from monitord.storage.artefacts.metadata import BytesPayload, Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough


class Cached(PassThrough):
    """The outermost wrapper. A large artefact streams past the cache, a file is kept only once it is read."""

    def __init__(self, inner: StorageProvider, cache: CacheManager) -> None:
        super().__init__(inner)
        self._cache = cache

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        with self._cache.changing(key) as change:
            stored = self.inner.store(key, payload, metadata, replace=replace)
            if isinstance(payload, BytesPayload):  # a file would have to be read again, and may have changed
                change.stored, change.data = stored, payload.data
        return stored

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        entry = self._cache.asked(key)
        if entry is not None:
            return entry.metadata, _whole(entry.data)
        ticket = self._cache.reading(key)
        metadata, chunks = self.inner.retrieve(key)
        if not self._cache.takes(metadata.size):
            return metadata, chunks
        return metadata, self._keeping(ticket, metadata, chunks)

    def _keeping(
        self, ticket: Ticket, metadata: StorageMetadata, chunks: Generator[bytes]
    ) -> Generator[bytes]:
        """The same chunks; kept when all of them came."""
        held = []
        with closing(chunks):
            for chunk in chunks:
                held.append(chunk)
                yield chunk
        self._cache.fill(ticket, metadata, b"".join(held))

    def get_metadata(self, key: str) -> StorageMetadata:
        entry = self._cache.get(key)
        return self.inner.get_metadata(key) if entry is None else entry.metadata

    def delete(self, key: str) -> int:
        with self._cache.changing(key):
            return self.inner.delete(key)

    def set_aside(self, key: str) -> None:
        with self._cache.changing(key):
            self.inner.set_aside(key)


def _whole(data: bytes) -> Generator[bytes]:
    if data:
        yield data
