"""Artefacts in this process's memory: for tests, for trying things out, for what may end with the process."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from datetime import UTC, datetime

from monitord.errors import ConfigError
from monitord.storage.artefacts.envelope import PREFIX_BYTES, pack_header, parse_header, stored
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactExistsError,
    DiskFullError,
    MissingArtefactError,
)
from monitord.storage.artefacts.keys import check_key
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.urls import StorageURL

_Kept = tuple[bytes, ...]  # the header, then the body in the pieces in which it came


def open_memory(url: StorageURL) -> MemoryStorageProvider:
    """Open the provider of `memory://`; option: `max_bytes`."""
    url.check_options("max_bytes")
    if url.host is not None or url.path not in ("", "/"):
        raise ConfigError(f"invalid URL {url}: expected memory:// without host and path")
    limit = url.options.get("max_bytes")
    if limit is not None and not (limit.isascii() and limit.isdigit()):
        raise ConfigError(f"invalid URL {url}: max_bytes, expected a number of bytes")
    return MemoryStorageProvider(int(limit) if limit is not None else None)


class MemoryStorageProvider:
    """Artefacts in a dictionary, at most `max_bytes` of them (no limit when None)."""

    name = "memory"

    def __init__(self, max_bytes: int | None = None) -> None:
        self.max_bytes = max_bytes
        self._kept: dict[str, _Kept] = {}
        self._set_aside: list[tuple[str, _Kept]] = []
        self._used_bytes = 0
        self._lock = threading.Lock()

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        check_key(key)
        kept = self._collect(key, payload, metadata)
        with self._lock:
            if key in self._kept and not replace:
                raise ArtefactExistsError(f"cannot create artefact {key}: it exists already")
            return stored(metadata, self._put(key, kept))

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        check_key(key)
        kept = self._collect(key, payload, metadata)
        with self._lock:
            before = self._kept.get(key)
            if before is None or _metadata(before, key) != expected:
                raise ArtefactChangedError(
                    f"cannot exchange artefact {key}: it was replaced or deleted meanwhile"
                )
            return stored(metadata, self._put(key, kept))

    def _put(self, key: str, kept: _Kept) -> int:
        """Under the lock; what it takes."""
        size = _size(kept)
        used = self._used_bytes + size - _size(self._kept.get(key, ()))
        self._check_room(key, used)
        self._kept[key] = kept
        self._used_bytes = used
        return size

    def _collect(self, key: str, payload: Payload, metadata: StorageMetadata) -> _Kept:
        pieces = [pack_header(metadata)]
        size = len(pieces[0])
        for chunk in payload.chunks():
            size += len(chunk)
            self._check_room(key, size)  # before it is all in memory
            pieces.append(chunk)
        return tuple(pieces)

    def _check_room(self, key: str, used_bytes: int) -> None:
        if self.max_bytes is not None and used_bytes > self.max_bytes:
            raise DiskFullError(
                f"cannot store artefact {key}: memory:// is limited to {self.max_bytes} bytes"
            )

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        kept = self._find(key)
        return _metadata(kept, key), (chunk for chunk in kept[1:])

    def get_metadata(self, key: str) -> StorageMetadata:
        return _metadata(self._find(key), key)

    def _find(self, key: str) -> _Kept:
        check_key(key)
        with self._lock:
            try:
                return self._kept[key]
            except KeyError:
                raise MissingArtefactError(f"cannot find artefact {key}") from None

    def delete(self, key: str) -> int:
        check_key(key)
        with self._lock:
            size = _size(self._kept.pop(key, ()))
            self._used_bytes -= size
        return size

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._lock:
            found = sorted(key for key in self._kept if key.startswith(prefix))
        return iter(found)

    def set_aside(self, key: str) -> None:
        check_key(key)
        with self._lock:
            if key not in self._kept:
                raise MissingArtefactError(f"cannot find artefact {key}")
            self._set_aside.append((key, self._kept.pop(key)))

    def close(self) -> None:
        """Nothing to let go of: what is kept lives as long as this object."""


def _size(kept: tuple[bytes, ...]) -> int:
    return sum(map(len, kept))


def _metadata(kept: _Kept, key: str) -> StorageMetadata:
    return parse_header(kept[0][PREFIX_BYTES:], key, _size(kept), datetime.now(UTC))
