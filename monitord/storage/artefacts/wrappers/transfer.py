"""The bytes of an artefact just as a provider has them, brought to another one and read back there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

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
                raise ArtefactChangedError(f"cannot read {self._key}: it was replaced meanwhile")
            yield from chunks


class Transfer:
    """An artefact on its way. Raises what its provider raises when it can't be read there."""

    def __init__(self, source: StorageProvider, metadata: StorageMetadata) -> None:
        self._metadata = metadata
        self._body = StoredBody(source, metadata.key, metadata)
        self._measured = measure(self._body)

    def to(self, target: StorageProvider, name: str) -> None:
        """Have the same bytes under this name, proven by reading them there; no-op when they are there.

        Raises what `target` raises, ArtefactChangedError when it was replaced meanwhile, DamagedArtefactError
        when it comes back otherwise.
        """
        if self._is_in(target, name):
            return  # an earlier attempt got this far
        target.store(name, self._body, self._metadata)
        if not self._is_in(target, name):
            raise DamagedArtefactError(
                f"cannot upload {self._metadata.key}: it came back changed, and stays where it was"
            )

    def _is_in(self, target: StorageProvider, name: str) -> bool:
        wanted = self._metadata
        try:
            found, chunks = target.retrieve(name)
            with closing(chunks):
                is_same = replace(found, key=wanted.key, stored_size=wanted.stored_size) == wanted
                return is_same and measure(_Once(chunks)) == self._measured
        except (MissingArtefactError, DamagedArtefactError):
            return False


@dataclass(frozen=True, slots=True)
class _Once:
    """A payload that can be read once."""

    given: Iterator[bytes]

    def chunks(self) -> Iterator[bytes]:
        return self.given
