"""The bytes of an artefact just as a provider has them, on their way to somewhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from monitord.storage.artefacts.errors import ArtefactChangedError
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider


class StoredBody:
    """A payload: the body that `provider` holds under `key`, while its metadata are the expected ones."""

    def __init__(self, provider: StorageProvider, key: str, expected: StorageMetadata) -> None:
        self._provider, self._key, self._expected = provider, key, expected

    def chunks(self) -> Iterator[bytes]:
        metadata, chunks = self._provider.retrieve(self._key)
        with closing(chunks):
            if metadata != self._expected:
                raise ArtefactChangedError(f"{self._key} was replaced while it was being read")
            yield from chunks
