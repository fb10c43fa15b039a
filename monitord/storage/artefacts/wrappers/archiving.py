"""Old artefacts' bytes move to an archive; a pointer with their metadata stays, and reading goes on.

Each version of an artefact has a name of its own in the archive, so that no two ever overwrite each other.
Broken off anywhere, an upload has either happened or not, and the next attempt uses what is there already.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import replace as changed

from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    DamagedArtefactError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.metadata import BytesPayload, DerivedPayload, Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import exchanging
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from monitord.storage.artefacts.wrappers.tiered import TieredProvider
from monitord.storage.artefacts.wrappers.transfer import Transfer
from monitord.storage.artefacts.wrappers.unarchived import not_here

REST_S = 60.0
_ATTEMPTS = 20
_VERSION_DIGITS = 16


class ArchivingProvider(TieredProvider):
    """`local` with an archive behind it. It has to stand below encryption and compression.

    An archived artefact is listed as before; its `stored_size` is what its pointer takes here. What the
    archive does not hold is not touched by its being away. Without `remote`, or with one of another name,
    pointers can be seen but not read.
    """

    def __init__(
        self,
        local: StorageProvider,
        remote: StorageProvider | None,
        pending: PendingDeletions,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(local, remote, pending)
        self._clock = clock
        self._away_until_s = float("-inf")

    def upload(self, key: str) -> StorageMetadata:
        """Move the artefact's bytes to the archive; the metadata that its pointer has. Moved already: no-op.

        Raises MissingArtefactError, ArtefactChangedError when somebody replaced it meanwhile, TransientError
        when the archive is away; the artefact is then as it was.
        """
        before = self.inner.get_metadata(key)
        if before.archived_in is not None:
            return before
        if self.remote is None:
            raise ArtefactError(f"cannot archive {key}: no archive is configured (storage.archive_url)")
        archive, name = self.remote, copy_name(before)
        self.pending.add(name)  # until a pointer leads there: a copy that nothing leads to is never forgotten
        self._while_there(lambda: Transfer(self.inner, before).to(archive, name))
        with self.pending.alone():  # who deletes or replaces it sees both steps or neither
            pointer = self._point(before, archive.name)
            self.pending.remove(name)
        return pointer

    def _point(self, before: StorageMetadata, archive: str) -> StorageMetadata:
        """Put the pointer in the artefact's place, unless somebody who archives it too was quicker."""
        pointer = changed(before, archived_in=archive)
        try:
            return exchanging(self.inner).exchange(before.key, BytesPayload(b""), pointer, expected=before)
        except ArtefactChangedError:
            now = self.inner.get_metadata(before.key)
            if now.archived_in is None or not _is_same_version(now, before):
                raise
            return now

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        """Store it here; an older version's copy in the archive is to be deleted."""
        here = changed(metadata, archived_in=None)
        if not replace:
            return self.inner.store(key, payload, here, replace=False)
        with ExitStack() as replacing:

            def noted(chunks: Iterator[bytes]) -> Iterator[bytes]:
                replacing.close()  # read once more, for another attempt
                yield from chunks
                # Nobody waits for a long write: only now, when all is written but its name.
                replacing.enter_context(self.pending.alone())
                self._note_copy(self._pointer(key))

            return self.inner.store(key, DerivedPayload(payload, noted), here)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        for _ in range(_ATTEMPTS):
            metadata, chunks = self.inner.retrieve(key)
            if metadata.archived_in is None:
                return metadata, chunks
            chunks.close()
            archive = self._archive_of(metadata)
            try:
                found, chunks = archive.retrieve(copy_name(metadata))
            except MissingArtefactError as error:
                if self.inner.get_metadata(key) == metadata:
                    gone = f"cannot read {key}: its bytes are gone from the archive {archive.name}"
                    raise DamagedArtefactError(gone) from error
                continue  # deleted or replaced just now: look again
            if not _is_same_version(found, metadata):
                chunks.close()
                raise DamagedArtefactError(
                    f"cannot read {key}: the archive {archive.name} holds other bytes for it"
                )
            return metadata, chunks
        raise TransientError(f"cannot read {key}: it is replaced all the time")

    def delete(self, key: str) -> int:
        """Remove the artefact here; the bytes it took here. Its copy in the archive is to be deleted."""
        with self.pending.alone():
            pointer = self._pointer(key)
            if pointer is not None and self.remote is not None:
                self._archive_of(pointer)
            self._note_copy(pointer)
            return self.inner.delete(key)

    def _note_copy(self, pointer: StorageMetadata | None) -> None:
        if pointer is not None:
            self.pending.add(copy_name(pointer))

    def _is_wanted(self, name: str) -> bool:
        """While this version is here, whole or as a pointer: its deletion or its upload broke off.

        What can't be read here may be its pointer, and the copy all there is.
        """
        with self.pending.alone():
            try:
                here = self.inner.get_metadata(key_of_copy(name))
            except MissingArtefactError:
                return False
            except DamagedArtefactError:
                return True
            if copy_name(here) != name:
                return False
            if here.archived_in is not None:
                self.pending.remove(name)
            return True

    def _pointer(self, key: str) -> StorageMetadata | None:
        """The metadata of an archived artefact; None when it is not archived, not there or unreadable."""
        try:
            metadata = self.inner.get_metadata(key)
        except (MissingArtefactError, DamagedArtefactError):
            return None
        return metadata if metadata.archived_in is not None else None

    def _archive_of(self, pointer: StorageMetadata) -> StorageProvider:
        if self.remote is None or self.remote.name != pointer.archived_in:
            raise not_here(pointer)
        return self.remote

    def _while_there(self, upload: Callable[[], None]) -> None:
        """Ask the archive, unless it was found away a moment ago: a hundred uploads wait for it once."""
        if self._clock() < self._away_until_s:
            raise TransientError(f"cannot ask the archive: it did not answer within the last {REST_S:.0f} s")
        try:
            upload()
        except TransientError:
            self._away_until_s = self._clock() + REST_S
            raise


def key_of_copy(name: str) -> str:
    """The artefact whose copy this is; what a copy's data key is bound to."""
    return name.rpartition("/")[0]


def copy_name(metadata: StorageMetadata) -> str:
    """What this version of an artefact is called in the archive; rotating its key does not change it."""
    version = f"{metadata.checksum} {metadata.updated_at.isoformat()}"
    return f"{metadata.key}/{hashlib.sha256(version.encode()).hexdigest()[:_VERSION_DIGITS]}"


def _is_same_version(left: StorageMetadata, right: StorageMetadata) -> bool:
    return _version(left) == _version(right)


def _version(metadata: StorageMetadata) -> tuple[object, ...]:
    return (metadata.size, metadata.checksum, metadata.updated_at, metadata.compression)
