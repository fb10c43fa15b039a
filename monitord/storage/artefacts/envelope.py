"""The form in which every provider keeps an artefact: it describes itself, and a copy proves itself.

A zstd *skippable frame* (RFC 8878 section 3.1.2: magic 0x184D2A50, little-endian length, content: the
metadata as JSON in ASCII), then the body. A compressed body is an ordinary zstd frame, so `zstd -dc` on the
whole object still gives the plain evidence to anybody without monitord.

Version 1 had no key, no times and a bare hex checksum, and its body was always compressed; it is still read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, BinaryIO

from monitord.storage.artefacts.errors import ArtefactError, DamagedArtefactError
from monitord.storage.artefacts.metadata import CHUNK_BYTES, DEFAULT_CONTENT_TYPE, Encryption, StorageMetadata

MAGIC = 0x184D2A50
HEADER_LIMIT_BYTES = 4 << 20
_PREFIX = struct.Struct("<II")
PREFIX_BYTES = _PREFIX.size
_VERSION = 2
_OWN = "artefact"  # the metadata's own part; the other members are the caller's attributes


def pack_header(metadata: StorageMetadata) -> bytes:
    """The frame that goes before the body. Raises ArtefactError when the metadata is too large."""
    own = {
        "version": _VERSION,
        "key": metadata.key,
        "size_bytes": metadata.size,
        "checksum": metadata.checksum,
        "created_at": metadata.created_at.isoformat(),
        "updated_at": metadata.updated_at.isoformat(),
        "tags": dict(metadata.tags),
        "content_type": metadata.content_type,
        "compression": metadata.compression,
        "encryption": asdict(metadata.encryption) if metadata.encryption else None,
        "archived_in": metadata.archived_in,
    }
    encoded = json.dumps({**metadata.attributes, _OWN: own}, separators=(",", ":")).encode("ascii")
    if len(encoded) > HEADER_LIMIT_BYTES:
        raise ArtefactError(f"invalid metadata: {len(encoded)} bytes, expected at most {HEADER_LIMIT_BYTES}")
    return _PREFIX.pack(MAGIC, len(encoded)) + encoded


def header_length(prefix: bytes, key: str) -> int:
    """How many bytes of JSON follow the first PREFIX_BYTES; raises DamagedArtefactError."""
    if len(prefix) < PREFIX_BYTES:
        raise DamagedArtefactError(f"cannot read the metadata of {key}: it is incomplete or damaged")
    magic, length = _PREFIX.unpack(prefix[:PREFIX_BYTES])
    if magic != MAGIC or length > HEADER_LIMIT_BYTES:
        raise DamagedArtefactError(f"cannot read {key}: it is not an artefact of monitord")
    return int(length)


def parse_header(encoded: bytes, key: str, stored_size: int, changed_at: datetime) -> StorageMetadata:
    """Read the metadata from the frame's content. `changed_at` is for version 1, which knew no times."""
    try:
        held = json.loads(encoded)
        own = held.pop(_OWN)
        if own["version"] == 1:
            return _of_version_1(held, own, key, stored_size, changed_at)
        encryption = own["encryption"]
        return StorageMetadata(
            key=key,
            size=_whole(own["size_bytes"]),
            created_at=_time(own["created_at"]),
            updated_at=_time(own["updated_at"]),
            checksum=_text(own["checksum"]),
            tags={str(name): str(value) for name, value in own["tags"].items()},
            content_type=_text(own["content_type"]),
            compression=own["compression"],
            encryption=Encryption(**encryption) if encryption else None,
            stored_size=stored_size,
            attributes=held,
            archived_in=own["archived_in"],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedArtefactError(
            f"cannot read the metadata of {key}: it is incomplete or damaged"
        ) from error


def _of_version_1(
    attributes: dict[str, Any], own: dict[str, Any], key: str, stored_size: int, changed_at: datetime
) -> StorageMetadata:
    return StorageMetadata(
        key=key,
        size=_whole(own["size_bytes"]),
        created_at=changed_at,
        updated_at=changed_at,
        checksum=f"sha256:{_text(own['checksum'])}",
        content_type=DEFAULT_CONTENT_TYPE,
        compression="zstd",
        stored_size=stored_size,
        attributes=attributes,
    )


def read_header(source: BinaryIO, key: str, stored_size: int, changed_at: datetime) -> StorageMetadata:
    """Read the metadata from an open object; `source` is left at the beginning of the body."""
    length = header_length(source.read(PREFIX_BYTES), key)
    return parse_header(source.read(length), key, stored_size, changed_at)


def body_chunks(source: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of an open object."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def stored(metadata: StorageMetadata, stored_size: int) -> StorageMetadata:
    """The metadata as a provider gives it back."""
    return replace(metadata, stored_size=stored_size)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a size")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _time(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("a time without zone")
    return moment.astimezone(UTC)
