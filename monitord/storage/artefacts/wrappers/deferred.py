"""A provider that is opened when it is asked for the first time: who never asks loads no client."""

from __future__ import annotations

import threading
from collections.abc import Callable

from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging


class DeferredProvider(PassThrough):
    """What `open_provider()` gives, once something is wanted of it; its errors come then, too."""

    def __init__(self, name: str, open_provider: Callable[[], StorageProvider]) -> None:
        self.name = name
        self._open = open_provider
        self._opened: StorageProvider | None = None
        self._lock = threading.Lock()

    @property
    def inner(self) -> StorageProvider:
        """Opened now, if it was not."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        return exchanging(self.inner).exchange(key, payload, metadata, expected=expected)

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
