"""zstd on the way in and out; what does not shrink is stored as it is.

The first bytes tell (formats that are compressed already), then a trial on the first chunk. A frame says
how large its content is, so that small evidence gets small tables on both sides.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace as changed
from functools import partial

from monitord.storage.artefacts.errors import ArtefactError, DamagedArtefactError
from monitord.storage.artefacts.metadata import (
    CHUNK_BYTES,
    BytesPayload,
    DerivedPayload,
    Payload,
    StorageMetadata,
)
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.zstandard import zstd

METHOD = "zstd"
LEVELS = range(1, 20)  # above 19, windows grow past what reading allows
_TRIAL_BYTES = 64 << 10
_WORTH_IT = 0.95
# 8 MiB, the most that a level below 20 uses: a forged frame can't ask for more memory.
_READING = {int(zstd.DecompressionParameter.window_log_max): 23}

_COMPRESSED_ALREADY = (
    b"\x28\xb5\x2f\xfd",  # zstd
    b"\x1f\x8b",  # gzip
    b"\xfd7zXZ\x00",
    b"BZh",
    b"PK\x03\x04",  # zip, jar, wheel
    b"7z\xbc\xaf\x27\x1c",
    b"\x04\x22\x4d\x18",  # lz4
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",  # jpeg
    b"GIF8",
    b"wOF2",
    b"age-encryption.org/",
)


class Compressed(PassThrough):
    """`level` 1–19, or None to store everything as it is; reads both."""

    def __init__(self, inner: StorageProvider, level: int | None = 3) -> None:
        super().__init__(inner)
        if level is not None and level not in LEVELS:
            raise ValueError(f"compression level {level} is not between {LEVELS[0]} and {LEVELS[-1]}")
        self._level = level

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        smaller = self._smaller(payload, metadata.size)
        if smaller is not None:
            payload, metadata = smaller, changed(metadata, compression=METHOD)
        return self.inner.store(key, payload, metadata, replace=replace)

    def _smaller(self, payload: Payload, size: int) -> Payload | None:
        """The payload compressed, or None when that is not worth it."""
        if self._level is None:
            return None
        if size <= CHUNK_BYTES:  # the trial is the work itself
            smaller = _shrunk(b"".join(payload.chunks()), self._level)
            return None if smaller is None else BytesPayload(smaller)
        first = next(payload.chunks(), b"")
        if _shrunk(first[:_TRIAL_BYTES], self._level) is None:
            return None
        return DerivedPayload(payload, partial(compress, level=self._level, size=size))

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = self.inner.retrieve(key)
        if metadata.compression is None:
            return metadata, chunks
        if metadata.compression != METHOD:
            chunks.close()
            raise ArtefactError(f"cannot read {key}: unknown compression {metadata.compression[:20]!r}")
        return metadata, decompress(chunks, key)


def _shrunk(plain: bytes, level: int) -> bytes | None:
    """Compressed, or None when that is not worth it."""
    if plain.startswith(_COMPRESSED_ALREADY):
        return None
    smaller: bytes = zstd.compress(plain, level)
    return smaller if len(smaller) < _WORTH_IT * len(plain) else None


def compress(chunks: Iterator[bytes], *, level: int, size: int) -> Iterator[bytes]:
    """One zstd frame that holds exactly `size` bytes; raises ArtefactError when there are more or fewer."""
    compressor = zstd.ZstdCompressor(level=level)
    compressor.set_pledged_input_size(size)  # small evidence gets small tables: 3 MB less at the peak
    try:
        for chunk in chunks:
            if smaller := compressor.compress(chunk):
                yield smaller
        yield compressor.flush()
    except zstd.ZstdError as error:
        raise ArtefactError("cannot store the evidence: it changed meanwhile") from error


def decompress(chunks: Generator[bytes], key: str) -> Generator[bytes]:
    """Yield the content of one zstd frame, in pieces of at most CHUNK_BYTES however far it expands."""
    decompressor = zstd.ZstdDecompressor(options=_READING)
    with closing(chunks):
        try:
            for chunk in chunks:
                if decompressor.eof:
                    break
                yield from _unpacked(decompressor, chunk)
            else:
                if decompressor.eof and not decompressor.unused_data:
                    return
        except zstd.ZstdError as error:
            raise DamagedArtefactError(f"cannot read {key}: damaged: {error}") from error
    fault = "more bytes follow its end" if decompressor.eof else "its end is missing"
    raise DamagedArtefactError(f"cannot read {key}: damaged: {fault}")


def _unpacked(decompressor: zstd.ZstdDecompressor, chunk: bytes) -> Iterator[bytes]:
    while True:
        piece = decompressor.decompress(chunk, max_length=CHUNK_BYTES)
        if piece:
            yield piece
        if decompressor.eof or decompressor.needs_input:
            return
        chunk = b""
