"""Old artefacts' bytes move to a second provider; a pointer with their metadata stays, and reading goes on.

Nothing here is let go before the copy there was read back and found the same. Each version of an artefact has
a name of its own in the archive, so that no two ever overwrite each other. Broken off anywhere, an archiving
has either happened or not, and the next attempt uses what is there already.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace as changed
from functools import partial
from typing import TypeVar

from monitord.errors import StorageError
from monitord.logs import get_logger
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    DamagedArtefactError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.manager import measure
from monitord.storage.artefacts.metadata import BytesPayload, Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging
from monitord.storage.artefacts.wrappers.stored import StoredBody, holds
from monitord.storage.artefacts.wrappers.tombstones import Tombstones
from monitord.storage.artefacts.wrappers.unarchived import not_here

REST_S = 60.0
_ATTEMPTS = 20
_VERSION_DIGITS = 16

Answer = TypeVar("Answer")


class ArchivingProvider(PassThrough):
    """`inner` with an archive behind it. It has to stand below encryption and compression.

    An archived artefact is listed as before; its `stored_size` is what its pointer takes here. What the
    archive does not hold is not touched by its being away. Without `archive`, or with one of another name,
    pointers can be seen but neither read nor deleted: their bytes would be left behind. With `condemned`
    deletions need no archive and wait for none: what is to go there is noted, durably, and goes with `sweep`.
    """

    def __init__(
        self,
        inner: StorageProvider,
        archive: StorageProvider | None,
        *,
        condemned: Tombstones | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(inner)
        self._archive = archive
        self._condemned = condemned
        self._clock = clock
        self._away_until_s = float("-inf")

    def archive(self, key: str) -> StorageMetadata:
        """Move the artefact's bytes to the archive; the metadata that its pointer has. Moved already: no-op.

        Raises MissingArtefactError, ArtefactChangedError when somebody replaced it meanwhile, TransientError
        when the archive is away; the artefact is then as it was.
        """
        before = self.inner.get_metadata(key)
        if before.archived_in is not None:
            return before
        if self._archive is None:
            raise ArtefactError(f"{key} can't be archived: no archive is configured")
        archive, target = self._archive, exchanging(self.inner)
        if self._condemned is not None:
            self._condemned.remove(copy_name(key, before))
        self._while_there(lambda: self._copy(archive, key, before))
        pointer = changed(before, archived_in=archive.name)
        try:
            return target.exchange(key, BytesPayload(b""), pointer, expected=before)
        except ArtefactChangedError:
            return self._overtaken(key, pointer)

    def _copy(self, archive: StorageProvider, key: str, metadata: StorageMetadata) -> None:
        """Have the same bytes in the archive, proven by reading them there."""
        body, name = StoredBody(self.inner, key, metadata), copy_name(key, metadata)
        measured, is_same = measure(body), partial(_same_version, metadata)
        if holds(archive, name, measured, is_same):
            return  # an earlier attempt got this far
        archive.store(name, body, metadata)
        if not holds(archive, name, measured, is_same):
            raise DamagedArtefactError(f"the archive gave {key} back changed; it stays where it was")

    def _overtaken(self, key: str, pointer: StorageMetadata) -> StorageMetadata:
        """Somebody was quicker. When it was to archive, all is well; a copy of what is gone is removed."""
        try:
            now = self.inner.get_metadata(key)
        except ArtefactError:
            self._forget(key, pointer)
            raise
        if not _same_version(now, pointer):
            self._forget(key, pointer)
        elif now.archived_in is not None:
            return now
        raise ArtefactChangedError(f"{key} was changed while it was being archived")

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        """Store it here; an older version's bytes in the archive are removed as far as possible."""
        older = self._pointer(key) if replace else None
        stored = self.inner.store(key, payload, changed(metadata, archived_in=None), replace=replace)
        if older is not None:
            self._forget(key, older)
        return stored

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        for _ in range(_ATTEMPTS):
            metadata, chunks = self.inner.retrieve(key)
            if metadata.archived_in is None:
                return metadata, chunks
            chunks.close()
            archive = self._archive_of(metadata)
            try:
                found, chunks = archive.retrieve(copy_name(key, metadata))
            except MissingArtefactError as error:
                if self.inner.get_metadata(key) == metadata:
                    gone = f"{key} is archived in {archive.name}, and its bytes are gone there"
                    raise DamagedArtefactError(gone) from error
                continue  # deleted or replaced just now: look again
            if not _same_version(found, metadata):
                chunks.close()
                raise DamagedArtefactError(f"{archive.name} holds other bytes for {key}")
            return metadata, chunks
        raise TransientError(f"{key} is replaced all the time")

    def delete(self, key: str) -> int:
        """Remove the artefact here and in the archive; the bytes it took here.

        Raises TransientError when its bytes are in the archive and that is away: then nothing was removed.
        """
        pointer = self._pointer(key)
        if pointer is not None:
            self._remove_copy(key, pointer)
        return self.inner.delete(key)

    def _remove_copy(self, key: str, version: StorageMetadata) -> None:
        name = copy_name(key, version)
        if self._condemned is not None:
            self._condemned.add(name)
            return
        archive = self._archive_of(version)
        self._while_there(lambda: archive.delete(name))

    def sweep(self) -> int:
        """Remove from the archive what was condemned; how many. Raises TransientError when it is away.

        What a pointer still leads to is left alone: its deletion broke off, and will come again.
        """
        count = 0
        if self._condemned is None or self._archive is None:
            return count
        for name in self._condemned.list():
            key = key_of_copy(name)
            pointer = self._pointer(key)
            if pointer is None or copy_name(key, pointer) != name:
                self._archive.delete(name)
                self._condemned.remove(name)
                count += 1
        return count

    def unreferenced(self) -> Iterator[str]:
        """What the archive holds though no pointer leads there: left by a crash, or another machine's.

        For a person to decide about: after the loss of this disk it would be everything.
        """
        if self._archive is None:
            return
        for name in self._archive.list():
            key = key_of_copy(name)
            pointer = self._pointer(key) if key else None
            if pointer is None or copy_name(key, pointer) != name:
                yield name

    def close(self) -> None:
        self.inner.close()
        if self._archive is not None:
            self._archive.close()

    def _pointer(self, key: str) -> StorageMetadata | None:
        """The metadata of an archived artefact; None when it is not archived, not there or unreadable."""
        try:
            metadata = self.inner.get_metadata(key)
        except (MissingArtefactError, DamagedArtefactError):
            return None
        return metadata if metadata.archived_in is not None else None

    def _archive_of(self, pointer: StorageMetadata) -> StorageProvider:
        if self._archive is None or self._archive.name != pointer.archived_in:
            raise not_here(pointer.key, pointer)
        return self._archive

    def _forget(self, key: str, version: StorageMetadata) -> None:
        """Remove a copy that nothing leads to any more; one that can't be is `unreferenced`."""
        try:
            self._remove_copy(key, version)
        except StorageError as error:
            get_logger().warning("archive.copy_left", key=key, reason=str(error))

    def _while_there(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the archive, unless it was found away a moment ago: a hundred deletions wait for it once."""
        if self._clock() < self._away_until_s:
            raise TransientError(f"the archive did not answer within the last {REST_S:.0f} s")
        try:
            return ask()
        except TransientError:
            self._away_until_s = self._clock() + REST_S
            raise


def key_of_copy(name: str) -> str:
    """The artefact whose copy this is; what a copy's data key is bound to."""
    return name.rpartition("/")[0]


def copy_name(key: str, metadata: StorageMetadata) -> str:
    """What this version of an artefact is called in the archive; rotating its key does not change it."""
    version = f"{metadata.checksum} {metadata.updated_at.isoformat()}"
    return f"{key}/{hashlib.sha256(version.encode()).hexdigest()[:_VERSION_DIGITS]}"


def _same_version(left: StorageMetadata, right: StorageMetadata) -> bool:
    return _version(left) == _version(right)


def _version(metadata: StorageMetadata) -> tuple[object, ...]:
    return (metadata.size, metadata.checksum, metadata.updated_at, metadata.compression)
