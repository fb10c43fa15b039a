"""What is read is what was stored: size and checksum of the plain bytes, on their way in and out."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing

from monitord.storage.artefacts.errors import ArtefactError, DamagedArtefactError
from monitord.storage.artefacts.metadata import BytesPayload, DerivedPayload, Payload, StorageMetadata
from monitord.storage.artefacts.wrappers.passing import PassThrough


class Checked(PassThrough):
    """Gives never more bytes than the metadata promises, and the last ones only when all were right."""

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        """Raises ArtefactError when the payload is not what was measured (a file still written to)."""

        def checked(chunks: Iterator[bytes]) -> Iterator[bytes]:
            return _matching(chunks, metadata, ArtefactError(f"cannot store {key}: it changed meanwhile"))

        if not isinstance(payload, BytesPayload):  # bytes can't change between measuring and storing
            payload = DerivedPayload(payload, checked)
        return self.inner.store(key, payload, metadata, replace=replace)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = self.inner.retrieve(key)
        return metadata, self._verified(key, chunks, metadata)

    def _verified(self, key: str, chunks: Generator[bytes], metadata: StorageMetadata) -> Generator[bytes]:
        refusal = DamagedArtefactError(
            f"cannot read {key}: damaged, it is not what was stored; try `monitord storage verify --repair`"
        )
        with closing(chunks):
            yield from _matching(chunks, metadata, refusal)


def _matching(chunks: Iterator[bytes], metadata: StorageMetadata, refusal: ArtefactError) -> Iterator[bytes]:
    left, sha = metadata.size, hashlib.sha256()
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise refusal
        sha.update(chunk)
        if left == 0 and f"sha256:{sha.hexdigest()}" != metadata.checksum:
            raise refusal
        yield chunk
    if left or (not metadata.size and f"sha256:{sha.hexdigest()}" != metadata.checksum):
        raise refusal
