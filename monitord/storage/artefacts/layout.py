"""The artefact file: it describes itself, and `zstd -dc` still reads it.

A zstd *skippable frame* (RFC 8878 section 3.1.2: magic 0x184D2A50, little-endian length, content: the
metadata as JSON in ASCII), then an ordinary zstd frame with the payload. The metadata's own part,
`"artefact"`, holds the plain payload's size and sha256, so that a copy proves itself without a database.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from monitord.errors import StorageError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = 0x184D2A50
METADATA_LIMIT_BYTES = 4 << 20
CHUNK_BYTES = 256 << 10
_HEADER = struct.Struct("<II")
_VERSION = 1


class ArtefactError(StorageError):
    """An artefact is missing, incomplete, changed, or not something monitord wrote."""


class DiskFullError(StorageError):
    """There is no room left where the store lies."""


def digest(chunks: Iterator[bytes]) -> tuple[int, str]:
    """Size in bytes and sha256 (hex) of what the chunks hold together."""
    total, sha = 0, hashlib.sha256()
    for chunk in chunks:
        total += len(chunk)
        sha.update(chunk)
    return total, sha.hexdigest()


def write_frames(
    out: BinaryIO, chunks: Iterator[bytes], metadata: Mapping[str, Any], expected: tuple[int, str]
) -> None:
    """Write the file's two frames; `expected` is the payload's size and checksum as `digest` gave them."""
    size_bytes, checksum = expected
    header = {**metadata, "artefact": {"version": _VERSION, "size_bytes": size_bytes, "checksum": checksum}}
    encoded = json.dumps(header, separators=(",", ":")).encode("ascii")
    if len(encoded) > METADATA_LIMIT_BYTES:
        raise ArtefactError(f"metadata of {len(encoded)} bytes is over the limit of {METADATA_LIMIT_BYTES}")
    out.write(_HEADER.pack(MAGIC, len(encoded)) + encoded)
    compressor = zstd.ZstdCompressor(level=3)
    compressor.set_pledged_input_size(size_bytes)  # small evidence gets small tables: 3 MB less at the peak
    sha = hashlib.sha256()
    try:
        for chunk in chunks:
            sha.update(chunk)
            out.write(compressor.compress(chunk))
        out.write(compressor.flush())
    except zstd.ZstdError as error:  # more or less than was pledged
        raise ArtefactError("the evidence changed while it was being stored") from error
    if sha.hexdigest() != checksum:
        raise ArtefactError("the evidence changed while it was being stored")


def read_metadata(source: BinaryIO, name: str) -> dict[str, Any]:
    """The metadata; `source` is left at the beginning of the payload's frame."""
    try:
        magic, length = _HEADER.unpack(source.read(_HEADER.size))
        if magic != MAGIC or length > METADATA_LIMIT_BYTES:
            raise ArtefactError(f"{name} is not an artefact of monitord")
        metadata = json.loads(source.read(length))
        own = metadata["artefact"]
        if not isinstance(own["size_bytes"], int) or not isinstance(own["checksum"], str):
            raise ArtefactError(f"{name} has metadata of an unknown kind")
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(f"{name} is incomplete or damaged: its metadata can't be read") from error
    return dict(metadata)


def payload_chunks(source: BinaryIO, metadata: Mapping[str, Any], name: str) -> Iterator[bytes]:
    """The payload piece by piece; raises at the end when it is not exactly what was stored.

    Never gives more bytes than the metadata promises, so a forged frame can't fill the memory.
    """
    expected = (int(metadata["artefact"]["size_bytes"]), str(metadata["artefact"]["checksum"]))
    decompressor, seen, sha = zstd.ZstdDecompressor(), 0, hashlib.sha256()
    try:
        while not decompressor.eof:
            data = source.read(CHUNK_BYTES) if decompressor.needs_input else b""
            if decompressor.needs_input and not data:
                raise ArtefactError(f"{name} is incomplete: its end is missing")
            chunk = decompressor.decompress(data, max_length=CHUNK_BYTES)
            seen += len(chunk)
            sha.update(chunk)
            if seen > expected[0]:
                break
            if chunk:
                yield chunk
    except zstd.ZstdError as error:
        raise ArtefactError(f"{name} is damaged: {error}") from error
    if (seen, sha.hexdigest()) != expected:
        raise ArtefactError(f"{name} is damaged: its checksum does not match")
