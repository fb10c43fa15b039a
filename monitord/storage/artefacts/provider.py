"""What can keep artefacts: five verbs, one meaning each, whatever stands behind them.

Cache, compression, encryption, retry, metrics, archive and upload are wrappers with this same interface
(`wrappers/`); `opening.py` puts them around a provider. `tests/contracts/test_providers.py` is the suite
that every member, bare or wrapped, has to pass.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol

from monitord.storage.artefacts.metadata import Payload, StorageMetadata


class StorageProvider(Protocol):
    """Keeps artefacts by key. Safe to use from several threads, and from several processes at once.

    Every method checks the key first (InvalidKeyError). Errors are those of `errors.py`, and nothing
    else: TransientError for what is worth another try, DiskFullError, AccessDeniedError, StorageError.
    """

    name: str
    """One word for metrics and messages: file, memory, redis, s3 …"""

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        """Keep the payload and its metadata, whole or not at all; durable when this returns.

        Returns the metadata with `stored_size`. The payload may be read several times. A reader sees
        the old artefact or the new one, never a mixture. Raises ArtefactExistsError when one is there
        and `replace` is False (of two who try at once, one wins); DiskFullError.
        """
        ...

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        """Return the metadata, and the stored bytes in pieces; close the iterator unless it is read to its
        end.

        Raises MissingArtefactError at the call; DamagedArtefactError and TransientError also while reading.
        """
        ...

    def get_metadata(self, key: str) -> StorageMetadata:
        """Return the metadata without the bytes; raises MissingArtefactError, DamagedArtefactError."""
        ...

    def delete(self, key: str) -> int:
        """Remove the artefact, durably; the bytes it took, 0 when there was none."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with this text, in the order of their characters.

        Damaged artefacts are listed too. What comes or goes meanwhile may or may not be in it.
        """
        ...

    def set_aside(self, key: str) -> None:
        """Put a damaged artefact where `list` does not find it, for a person to look at; nothing is lost."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class Exchanging(StorageProvider, Protocol):
    """A provider that can compare before it replaces; what rewrites artefacts (key rotation) needs it."""

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        """Like `store`, but only in the place of the artefact that `get_metadata` gave as `expected`.

        Raises ArtefactChangedError when another one or none is there: who replaced or deleted it wins.
        """
        ...
