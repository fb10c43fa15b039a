"""A folder on this disk now, a remote provider later: storing never waits for a network.

What is stored is acknowledged by the folder; `upload_all` moves it on, whole. A deletion takes the local
copy at once and is pending until the remote copy is gone too.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from typing import TypeVar

from monitord.errors import MonitordError, StorageError
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    ArtefactExistsError,
    MissingArtefactError,
    SpoolFullError,
)
from monitord.storage.artefacts.keys import check_key, has_no_row
from monitord.storage.artefacts.metadata import DerivedPayload, Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.wrappers.passing import exchanging
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from monitord.storage.artefacts.wrappers.tiered import TieredProvider, Uploaded
from monitord.storage.artefacts.wrappers.transfer import Transfer

_SMALL_BYTES = 64 << 10
_RESERVE = 0.1  # of the limit, for what is small: that something happened is kept even without its evidence
_UNKNOWN_BYTES = 1  # it is there, and its size can't be read

Answer = TypeVar("Answer")


class UploadingProvider(TieredProvider):
    """`local` takes everything at once, `remote` gets it by `upload_all`.

    Without `remote` what was uploaded is neither listed nor found.
    """

    def __init__(
        self,
        local: FileStorageProvider,
        remote: StorageProvider | None,
        pending: PendingDeletions,
        *,
        limit_bytes: int | None = None,
        free_disk_floor_bytes: int = 0,
    ) -> None:
        """What waits takes at most `limit_bytes`, and leaves at least the floor free on the disk."""
        super().__init__(local, remote, pending)
        self.local = local
        self.name = remote.name if remote is not None else local.name
        self._limit_bytes = limit_bytes
        self._floor_bytes = free_disk_floor_bytes

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        """Kept on this disk. Raises SpoolFullError when what waits has reached the limit."""
        check_key(key)
        bounded = payload if self._limit_bytes is None else DerivedPayload(payload, self._within_limit)
        with self.pending.alone():
            if not replace and self._remote_bytes(key):
                raise ArtefactExistsError(f"cannot create artefact {key}: it exists already")
            stored = self.local.store(key, bounded, metadata, replace=replace)
            self.pending.remove(key)  # this one will replace whatever was to be deleted
        return stored

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        """As in `Exchanging`, where the artefact lies."""
        check_key(key)
        with self.pending.alone():
            if self.local.holds(key) or self.remote is None or self.pending.has(key):
                return exchanging(self.local).exchange(key, payload, metadata, expected=expected)
        return exchanging(self.remote).exchange(key, payload, metadata, expected=expected)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        return self._found(key, lambda provider: provider.retrieve(key))

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._found(key, lambda provider: provider.get_metadata(key))

    def _found(self, key: str, ask: Callable[[StorageProvider], Answer]) -> Answer:
        # Pending deletions are looked at first: whatever is stored from then on is found in the folder.
        is_deleted = self.pending.has(check_key(key))
        try:
            return ask(self.local)
        except MissingArtefactError:
            if self.remote is None or is_deleted:
                raise
        return ask(self.remote)

    def delete(self, key: str) -> int:
        """The bytes it took, as far as they can be known from here; the remote copy goes later."""
        check_key(key)
        with self.pending.alone():
            if self.local.holds(key):
                self.pending.add(key)
                return self.local.delete(key)
        remote_bytes = self._remote_bytes(key)
        if self.remote is None or remote_bytes:
            with self.pending.alone():
                self.pending.add(key)
                return self.local.delete(key) or remote_bytes
        return 0

    def list(self, prefix: str = "") -> Iterator[str]:
        deleted = set(self.pending.list(prefix))
        # The folder first, and all of it: what is uploaded from now on is in one of the two at least.
        local = list(self.local.list(prefix))
        remote = iter(()) if self.remote is None else self.remote.list(prefix)
        last = ""
        for key in heapq.merge(local, (key for key in remote if key not in deleted)):
            if key != last:
                yield key
            last = key

    def set_aside(self, key: str) -> None:
        check_key(key)
        with self.pending.alone():
            if self.local.holds(key):
                self.pending.add(key)  # an older remote copy must not take its place
                self.local.set_aside(key)
                return
        if self.remote is None or self.pending.has(key):
            raise MissingArtefactError(f"cannot find artefact {key}")
        self.remote.set_aside(key)

    def upload_all(
        self,
        deadline_s: float = float("inf"),
        done: Uploaded | None = None,
        *,
        owned: Callable[[], Container[str]] | None = None,
    ) -> Uploaded:
        """Bring the remote provider up to what was deleted and stored here until now, oldest first.

        `owned` says, asked once, which keys may leave; without it all may. Ends after `deadline_s` seconds,
        between two artefacts. Raises what the remote provider raises (then that artefact and all later ones
        are still here, and `done` has the earlier ones; one that lets nothing be deleted gets everything
        first), BusyError when another process uploads.
        """
        if self.remote is None:
            raise StorageError("cannot upload: no remote provider is configured")
        done = done if done is not None else Uploaded()
        until_s = time.monotonic() + deadline_s
        refusal: MonitordError | None = None
        with self.pending.only_uploader():
            try:
                self.delete_pending(done, until_s)
            except MonitordError as error:
                refusal = error  # a bucket may take what it lets nobody delete
            for key in self._oldest_first(owned):
                if time.monotonic() >= until_s:
                    break
                self._move(key, self.remote, done)
        if refusal is not None:
            raise refusal
        return done

    def _is_wanted(self, name: str) -> bool:
        """Whether it is here, stored anew: what is uploaded now must not be deleted afterwards."""
        with self.pending.alone():
            if is_local := self.local.holds(name):
                self.pending.remove(name)
        return is_local

    def _oldest_first(self, owned: Callable[[], Container[str]] | None) -> Sequence[str]:
        local = [key for key in self.local.list() if not has_no_row(key)]  # a look at this disk's health
        may_leave = set(local) if owned is None else owned()
        moments: dict[str, int] = {}
        for key in local:
            with contextlib.suppress(FileNotFoundError):
                if key in may_leave:
                    moments[key] = self.local.path(key).lstat().st_mtime_ns
        return sorted(moments, key=lambda key: (moments[key], key))

    def _move(self, key: str, remote: StorageProvider, done: Uploaded) -> None:
        if not self._is_wanted(key):
            return
        try:
            metadata = self.local.get_metadata(key)
            transfer = Transfer(self.local, metadata)
        except ArtefactError as error:
            if self.local.holds(key) and not isinstance(error, ArtefactChangedError):
                done.refused.append(str(error))
            return
        try:
            transfer.to(remote, key)
        except StorageError:
            if self._is_still(key, metadata):
                raise
            return  # replaced or deleted while it was read: settled the next time
        with self.pending.alone():
            if not self._is_still(key, metadata):
                return
            done.moved_bytes += self.local.delete(key)
        done.moved += 1

    def _is_still(self, key: str, metadata: StorageMetadata) -> bool:
        try:
            return self.local.get_metadata(key) == metadata
        except ArtefactError:
            return False

    def _remote_bytes(self, key: str) -> int:
        """What the remote provider has under this key, unless it was deleted here; 0 when that is nothing."""
        if self.remote is None or self.pending.has(key):
            return 0
        try:
            return self.remote.get_metadata(key).stored_size or _UNKNOWN_BYTES
        except MissingArtefactError:
            return 0
        except ArtefactError:
            return _UNKNOWN_BYTES

    def _within_limit(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        limit = self._limit_bytes or 0
        left, above_floor = limit - self.local.total_bytes(), self._bytes_above_floor()
        seen = 0
        for chunk in chunks:
            seen += len(chunk)
            is_small = seen <= _SMALL_BYTES
            if seen > left - (0 if is_small else limit * _RESERVE):
                raise SpoolFullError(
                    f"cannot take more: what waits for the storage fills its {limit / 1e6:g} MB"
                    " (storage.spool_mb); `monitord status` says why it waits"
                )
            if seen > above_floor and not is_small:
                raise SpoolFullError(
                    "cannot take more: the disk has only the space that must stay free"
                    " (retention.min_free_disk_mb); free some"
                )
            yield chunk

    def _bytes_above_floor(self) -> int:
        disk = os.statvfs(self.local.base_path)
        return disk.f_bavail * disk.f_frsize - self._floor_bytes
