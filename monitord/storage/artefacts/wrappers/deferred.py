"""A provider that is opened when it is asked for the first time: who never asks loads no client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator

from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import exchanging


class DeferredProvider:
    """What `open_provider()` gives, once something is wanted of it; its errors come then, too."""

    def __init__(self, name: str, open_provider: Callable[[], StorageProvider]) -> None:
        self.name = name
        self._open = open_provider
        self._opened: StorageProvider | None = None
        self._lock = threading.Lock()

    @property
    def _inner(self) -> StorageProvider:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        return self._inner.store(key, payload, metadata, replace=replace)

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        return exchanging(self._inner).exchange(key, payload, metadata, expected=expected)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        return self._inner.retrieve(key)

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._inner.get_metadata(key)

    def delete(self, key: str) -> int:
        return self._inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self._inner.list(prefix)

    def set_aside(self, key: str) -> None:
        self._inner.set_aside(key)

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
