"""A folder on this disk now, a provider far away later: storing never waits for a network.

What is stored is acknowledged by the folder; `drain` moves it on. A deletion takes the local copy at once and
leaves a tombstone, until the far copy is gone too.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Container, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import (
    ArtefactError,
    ArtefactExistsError,
    MissingArtefactError,
    SpoolFullError,
)
from monitord.storage.artefacts.keys import check_key
from monitord.storage.artefacts.metadata import DerivedPayload, Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.wrappers.draining import Drain, Drained
from monitord.storage.artefacts.wrappers.passing import exchanging
from monitord.storage.artefacts.wrappers.tombstones import Tombstones

TOMBSTONES_NAME = "tombstones"
_SMALL_BYTES = 64 << 10
_RESERVE = 0.1  # of the limit, for what is small: that something happened is kept even without its evidence
_UNKNOWN_BYTES = 1  # it is there, and its size can't be read

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the far provider has not taken yet: artefacts, their bytes as stored, and deletions."""

    artefacts: int
    stored_bytes: int
    deletions: int

    @property
    def is_nothing(self) -> bool:
        return not self.artefacts and not self.deletions


class SpooledProvider:
    """`local` takes everything at once, `remote` gets it by `drain`.

    Without `remote` (it is not to be asked from here) what was drained is neither listed nor found, but
    deleting it works. Processes with and without it may use the same folder at the same time.
    """

    def __init__(
        self,
        local: FileStorageProvider,
        remote: StorageProvider | None,
        *,
        limit_bytes: int | None = None,
        free_disk_floor_bytes: int = 0,
    ) -> None:
        """What waits takes at most `limit_bytes`, and leaves at least the floor free on the disk."""
        self.local = local
        self.remote = remote
        self.name = remote.name if remote is not None else local.name
        self._limit_bytes = limit_bytes
        self._floor_bytes = free_disk_floor_bytes
        self._tombstones = Tombstones(local.base_path.with_name(TOMBSTONES_NAME))

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        """Kept on this disk. Raises SpoolFullError when what waits has reached the limit."""
        check_key(key)
        bounded = payload if self._limit_bytes is None else DerivedPayload(payload, self._within_limit)
        with self._tombstones.alone():
            if not replace and self._is_far(key):
                raise ArtefactExistsError(f"artefact {key} exists already")
            stored = self.local.store(key, bounded, metadata, replace=replace)
            self._tombstones.remove(key)  # this one will replace whatever was to be deleted
        return stored

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        """As in `Exchanging`, where the artefact lies."""
        check_key(key)
        with self._tombstones.alone():
            if self.local.holds(key) or self.remote is None or self._tombstones.has(key):
                return exchanging(self.local).exchange(key, payload, metadata, expected=expected)
        return exchanging(self.remote).exchange(key, payload, metadata, expected=expected)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        return self._found(key, lambda provider: provider.retrieve(key))

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._found(key, lambda provider: provider.get_metadata(key))

    def _found(self, key: str, ask: Callable[[StorageProvider], Answer]) -> Answer:
        # The tombstone is looked for first: whatever is stored from then on is found in the folder.
        is_deleted = self._tombstones.has(check_key(key))
        try:
            return ask(self.local)
        except MissingArtefactError:
            if self.remote is None or is_deleted:
                raise
        return ask(self.remote)

    def delete(self, key: str) -> int:
        """The bytes it took, as far as they can be known from here; the far copy goes with `drain`."""
        check_key(key)
        with self._tombstones.alone():
            if self.local.holds(key):
                self._tombstones.add(key)
                return self.local.delete(key)
        far_bytes = self._far_bytes(key)
        if self.remote is None or far_bytes:
            with self._tombstones.alone():
                self._tombstones.add(key)
                return self.local.delete(key) or far_bytes
        return 0

    def list(self, prefix: str = "") -> Iterator[str]:
        deleted = set(self._tombstones.list(prefix))
        # The folder first, and all of it: what is drained from now on is in one of the two at least.
        near = list(self.local.list(prefix))
        far = iter(()) if self.remote is None else self.remote.list(prefix)
        last = ""
        for key in heapq.merge(near, (key for key in far if key not in deleted)):
            if key != last:
                yield key
            last = key

    def set_aside(self, key: str) -> None:
        check_key(key)
        with self._tombstones.alone():
            if self.local.holds(key):
                self._tombstones.add(key)  # an older far copy must not take its place
                self.local.set_aside(key)
                return
        if self.remote is None or self._tombstones.has(key):
            raise MissingArtefactError(f"artefact {key} is missing")
        self.remote.set_aside(key)

    def close(self) -> None:
        self._tombstones.close()
        self.local.close()
        if self.remote is not None:
            self.remote.close()

    def waiting(self) -> Waiting:
        """What is still to be drained."""
        sizes = [self.local.stored_bytes(key) for key in self.local.list()]
        return Waiting(len(sizes), sum(sizes), len(self._tombstones.list()))

    def drain(
        self,
        deadline_s: float = float("inf"),
        done: Drained | None = None,
        *,
        owned: Callable[[], Container[str]] | None = None,
    ) -> Drained:
        """Bring the far provider up to what was stored and deleted here until now, oldest first.

        `owned` says, asked once, which keys may leave; without it all may. Ends after `deadline_s` seconds,
        between two artefacts. Raises what the far provider raises (then that artefact and all later ones
        are still here, and `done` has the earlier ones), BusyError when another process drains.
        """
        if self.remote is None:
            raise StorageError("there is no provider to drain into")
        done = done if done is not None else Drained()
        Drain(self.local, self.remote, self._tombstones, owned).run(deadline_s, done)
        return done

    def _is_far(self, key: str) -> bool:
        return self._far_bytes(key) > 0

    def _far_bytes(self, key: str) -> int:
        """What the far provider has under this key, unless it was deleted here; 0 when that is nothing."""
        if self.remote is None or self._tombstones.has(key):
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
                    f"what waits for the storage fills its {limit / 1e6:g} MB (storage.spool_mb);"
                    " `monitord status` says why it waits"
                )
            if seen > above_floor and not is_small:
                raise SpoolFullError(
                    "the disk has only the space that must stay free (retention.min_free_disk_mb); free some"
                )
            yield chunk

    def _bytes_above_floor(self) -> int:
        disk = os.statvfs(self.local.base_path)
        return disk.f_bavail * disk.f_frsize - self._floor_bytes
