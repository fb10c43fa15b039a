"""The bytes of an artefact just as a provider has them: on their way to somewhere else, and arrived there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from monitord.storage.artefacts.errors import ArtefactChangedError, DamagedArtefactError, MissingArtefactError
from monitord.storage.artefacts.manager import measure
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


def holds(
    provider: StorageProvider,
    key: str,
    measured: tuple[int, str],
    is_same: Callable[[StorageMetadata], bool],
) -> bool:
    """Whether the provider gives back such metadata and, to their end, bytes of this size and checksum."""
    try:
        metadata, chunks = provider.retrieve(key)
        with closing(chunks):
            return is_same(metadata) and measure(_Once(chunks)) == measured
    except (MissingArtefactError, DamagedArtefactError):
        return False


@dataclass(frozen=True, slots=True)
class _Once:
    """A payload that can be read once."""

    given: Iterator[bytes]

    def chunks(self) -> Iterator[bytes]:
        return self.given
