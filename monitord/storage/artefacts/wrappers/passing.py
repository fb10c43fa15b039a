"""What every wrapper is made from: it passes all calls on, and a wrapper changes only what it is for."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from monitord.errors import StorageError
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.provider import Exchanging, StorageProvider


class PassThrough:
    """A provider around another one."""

    def __init__(self, inner: StorageProvider) -> None:
        self._inner = inner
        self.name = inner.name

    @property
    def inner(self) -> StorageProvider:
        """Who the calls are passed on to."""
        return self._inner

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        return self.inner.store(key, payload, metadata, replace=replace)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        return self.inner.retrieve(key)

    def get_metadata(self, key: str) -> StorageMetadata:
        return self.inner.get_metadata(key)

    def delete(self, key: str) -> int:
        return self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return self.inner.list(prefix)

    def set_aside(self, key: str) -> None:
        self.inner.set_aside(key)

    def close(self) -> None:
        self.inner.close()


def exchanging(provider: StorageProvider) -> Exchanging:
    """The provider as one that can exchange; raises StorageError when it can't."""
    if not hasattr(provider, "exchange"):
        raise StorageError(
            f"cannot exchange artefacts: the {provider.name} storage does not compare before it replaces"
        )
    return provider  # type: ignore[return-value]  # checked by name: a protocol with members can't be narrowed to
