"""Moves what a spool holds on to the far provider: one key after the other, the longest waiting first.

The local copy goes when the far one was read back and is the same, and not before. A crash between two
steps leaves both; the same steps then lead to the same end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import ArtefactChangedError, ArtefactError
from monitord.storage.artefacts.keys import is_probe
from monitord.storage.artefacts.manager import measure
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.wrappers.stored import StoredBody, holds
from monitord.storage.artefacts.wrappers.tombstones import Tombstones


@dataclass(slots=True)
class Drained:
    """What one round of sending did. `refused` says why unreadable artefacts stay; they hold up no other."""

    moved: int = 0
    moved_bytes: int = 0
    deleted: int = 0
    refused: list[str] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        return not self.moved and not self.deleted


@dataclass(frozen=True, slots=True)
class Drain:
    """The parts of a spool, as its provider has them."""

    local: FileStorageProvider
    remote: StorageProvider
    tombstones: Tombstones
    owned: Callable[[], Container[str]] | None = None

    def run(self, deadline_s: float, done: Drained) -> None:
        """Settle all keys that were stored or deleted until now, or as many as the seconds allow."""
        until_s = time.monotonic() + deadline_s
        with self.tombstones.only_drain():
            for key in self._oldest_first():
                if time.monotonic() >= until_s:
                    break
                self._settle(key, done)

    def _oldest_first(self) -> list[str]:
        moments: dict[str, int] = {}
        for key in self.tombstones.list():
            with contextlib.suppress(FileNotFoundError):
                moments[key] = self.tombstones.changed_ns(key)
        near = set(self.local.list())
        owned = near if self.owned is None else self.owned()
        for key in near:
            if is_probe(key) or key not in owned:
                moments.pop(key, None)  # a look at this disk's health, or what nobody owns yet
                continue
            with contextlib.suppress(FileNotFoundError):
                moments[key] = self.local.path(key).lstat().st_mtime_ns
        return sorted(moments, key=lambda key: (moments[key], key))

    def _settle(self, key: str, done: Drained) -> None:
        with self.tombstones.alone():
            is_near = self.local.holds(key)
            if is_near:  # stored again: what is uploaded now must not be deleted afterwards
                self.tombstones.remove(key)
        if is_near:
            self._move(key, done)
        elif self.tombstones.has(key):
            self.remote.delete(key)
            # A second deletion meanwhile was meant for what we uploaded.
            self.tombstones.remove(key)
            done.deleted += 1

    def _move(self, key: str, done: Drained) -> None:
        try:
            metadata = self.local.get_metadata(key)
            body = StoredBody(self.local, key, metadata)
            measured = measure(body)
        except ArtefactError as error:
            if self.local.holds(key) and not isinstance(error, ArtefactChangedError):
                done.refused.append(str(error))
            return
        try:
            self.remote.store(key, body, metadata)
            is_there = holds(
                self.remote,
                key,
                measured,
                lambda found: replace(found, stored_size=metadata.stored_size) == metadata,
            )
        except StorageError:
            if self._is_still(key, metadata):
                raise
            return  # replaced or deleted while it was read: settled the next time
        with self.tombstones.alone():
            if not self._is_still(key, metadata):
                return
            if not is_there:
                raise StorageError(f"{self.remote.name} storage gives {key} back changed; it stays here")
            done.moved_bytes += self.local.delete(key)
        done.moved += 1

    def _is_still(self, key: str, metadata: StorageMetadata) -> bool:
        try:
            return self.local.get_metadata(key) == metadata
        except ArtefactError:
            return False
