"""Where no keyring is configured: what is encrypted is told as such, instead of as damaged."""

from __future__ import annotations

from collections.abc import Generator

from monitord.storage.artefacts.errors import WrongKeyError
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.wrappers.passing import PassThrough


class Unkeyed(PassThrough):
    """Stands in the place of Encrypted; raises WrongKeyError for what is encrypted."""

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = self.inner.retrieve(key)
        if metadata.encryption is not None:
            chunks.close()
        return _open(key, metadata), chunks

    def get_metadata(self, key: str) -> StorageMetadata:
        return _open(key, self.inner.get_metadata(key))


def _open(key: str, metadata: StorageMetadata) -> StorageMetadata:
    if metadata.encryption is not None:
        raise WrongKeyError(
            f"cannot decrypt {key}: it needs key {metadata.encryption.key_id[:16]!r}, and no key"
            " is configured"
        )
    return metadata
