"""What is known of an artefact, and bytes on their way: what passes between wrappers and providers."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from monitord.storage.artefacts.errors import ArtefactError

CHUNK_BYTES = 256 << 10
DEFAULT_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Encryption:
    """How an artefact is encrypted: its data key, wrapped by the key `key_id`, nonce inside (base64)."""

    algorithm: str
    key_id: str
    wrapped_key: str


@dataclass(frozen=True, slots=True)
class StorageMetadata:
    """What an artefact says of itself.

    `size` and `checksum` (`sha256:<hex>`) are of the plain bytes, whatever wrappers did to them;
    `stored_size` is what the provider holds, metadata included (0 until it is stored). Times are aware
    UTC. `tags` are short texts to choose by (policies, `list`); `attributes` is whatever else, JSON-able,
    the caller wants back: it is encrypted along with the bytes when encryption is on, tags are not.
    `archived_in` names the provider that has the bytes when only a pointer is left here.
    """

    key: str
    size: int
    created_at: datetime
    updated_at: datetime
    checksum: str
    tags: Mapping[str, str] = field(default_factory=dict)
    content_type: str = DEFAULT_CONTENT_TYPE
    compression: str | None = None
    encryption: Encryption | None = None
    stored_size: int = 0
    attributes: Mapping[str, object] = field(default_factory=dict)
    archived_in: str | None = None


class Payload(Protocol):
    """Bytes that may be read more than once (a retry does), piece by piece; never whole in memory."""

    def chunks(self) -> Iterator[bytes]:
        """Yield it from the beginning, in pieces of at most a few times CHUNK_BYTES, none of them empty."""
        ...


@dataclass(frozen=True, slots=True)
class BytesPayload:
    """Bytes that are in memory already."""

    data: bytes

    def chunks(self) -> Iterator[bytes]:
        if 0 < len(self.data) <= CHUNK_BYTES:
            yield self.data
            return
        view = memoryview(self.data)
        for start in range(0, len(view), CHUNK_BYTES):
            yield bytes(view[start : start + CHUNK_BYTES])


class FilePayload:
    """A regular file's content, held open from the start: what is stored is what was checked."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            raise ArtefactError(f"cannot read {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ArtefactError(f"cannot store {path}: it is not a regular file")
        self._source: BinaryIO = os.fdopen(descriptor, "rb")

    def chunks(self) -> Iterator[bytes]:
        self._source.seek(0)
        while chunk := self._source.read(CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        self._source.close()


@dataclass(frozen=True, slots=True)
class DerivedPayload:
    """Another payload's bytes, passed through a function of iterators; read anew each time."""

    source: Payload
    change: Callable[[Iterator[bytes]], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        return self.change(self.source.chunks())


class ChunkReader(io.RawIOBase):
    """An iterator of chunks as a file to read from (wrap it in io.BufferedReader)."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview | bytearray) -> int:  # type: ignore[override]  # typeshed wants Buffer, which 3.11 has not
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)  # a generator holds a file or a connection
        if close is not None:
            close()
        super().close()
