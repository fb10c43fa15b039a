"""AES-256-GCM, a data key per artefact: changed, swapped or cut bytes are detected.

The data key is wrapped by the keyring's active key and bound to the artefact's key and metadata, so a
wrapped key opens nothing but its own artefact. The body is encrypted in pieces whose nonces count, and tell
the last one: a piece that is missing, moved or added does not open. docs/decisions has the format and its
limits.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace as changed
from datetime import UTC
from itertools import chain
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from monitord.storage.artefacts.envelope import HEADER_LIMIT_BYTES
from monitord.storage.artefacts.errors import ArtefactError, DamagedArtefactError
from monitord.storage.artefacts.keyring import KEY_BYTES, NONCE_BYTES, Keyring, aes_gcm
from monitord.storage.artefacts.metadata import (
    DerivedPayload,
    Encryption,
    Payload,
    StorageMetadata,
)
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.zstandard import zstd

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Bytes = bytes | memoryview

ALGORITHM = "aes-256-gcm"
PIECE_BYTES = 64 << 10
TAG_BYTES = 16
PREFIX_BYTES = 7
_HIDDEN = "sealed"  # the one attribute that an encrypted artefact shows
_MIDDLE, _LAST, _FACTS = b"\0", b"\1", b"\2"  # the last byte of a nonce: what it is for


class Encrypted(PassThrough):
    """Encrypts bytes, attributes and checksum with the active key, opens with any key of the keyring.

    Raises WrongKeyError when the key is not at hand, DamagedArtefactError when what is stored does not open.
    What was stored before encryption was switched on is read as it is, unless `reads_plain` is False: then
    nobody who can write to the storage can put something in that was never encrypted.
    """

    def __init__(self, inner: StorageProvider, keyring: Keyring, *, reads_plain: bool = True) -> None:
        super().__init__(inner)
        self._keyring = keyring
        self._reads_plain = reads_plain

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        data_key, active = os.urandom(KEY_BYTES), self._keyring.active
        cipher = aes_gcm(data_key)
        # The checksum of the plain bytes would tell who guesses them, and which artefacts are alike.
        shown = changed(metadata, checksum=f"{_HIDDEN}:{os.urandom(16).hex()}")
        encryption = Encryption(ALGORITHM, active.key_id, active.wrap(data_key, bound(key, shown)))
        hidden = changed(shown, encryption=encryption, attributes={_HIDDEN: _encrypt_facts(cipher, metadata)})
        encrypted = DerivedPayload(payload, lambda chunks: encrypt(chunks, cipher))
        stored = self.inner.store(key, encrypted, hidden, replace=replace)
        return changed(stored, checksum=metadata.checksum, attributes=metadata.attributes)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = self.inner.retrieve(key)
        try:
            opened, cipher = self._opened(key, metadata)
        except ArtefactError:
            chunks.close()
            raise
        return opened, chunks if cipher is None else decrypt(chunks, cipher, key)

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._opened(key, self.inner.get_metadata(key))[0]

    def _opened(self, key: str, metadata: StorageMetadata) -> tuple[StorageMetadata, AESGCM | None]:
        """Metadata with its attributes, and what opens the body (None: it is not encrypted)."""
        if metadata.encryption is None:
            if not self._reads_plain:
                raise DamagedArtefactError(
                    f"cannot read {key}: it is not encrypted, and only encrypted artefacts are trusted here"
                )
            return metadata, None
        cipher = aes_gcm(open_data_key(self._keyring, key, metadata))
        checksum, attributes = _open_facts(cipher, key, metadata)
        return changed(metadata, checksum=checksum, attributes=attributes), cipher


def open_data_key(keyring: Keyring, key: str, metadata: StorageMetadata) -> bytes:
    """What the artefact is encrypted with; raises WrongKeyError, DamagedArtefactError."""
    encryption = metadata.encryption
    if encryption is None or encryption.algorithm != ALGORITHM:
        raise ArtefactError(f"cannot decrypt {key}: unknown method")
    encryption_key = keyring.find(encryption.key_id, key)
    try:
        return encryption_key.unwrap(encryption.wrapped_key, bound(key, metadata))
    except (InvalidTag, ValueError) as error:
        raise _tampered(key) from error


def bound(key: str, metadata: StorageMetadata) -> bytes:
    """What can't be changed without being found out: the key and all that the metadata says of the bytes.

    Left out: how the data key is wrapped, where the bytes lie and what they take there; rotation and archive
    change that.
    """
    said = {
        "algorithm": ALGORITHM,
        "key": key,
        "size": metadata.size,
        "checksum": metadata.checksum,
        "created_at": metadata.created_at.astimezone(UTC).isoformat(),
        "updated_at": metadata.updated_at.astimezone(UTC).isoformat(),
        "tags": dict(metadata.tags),
        "content_type": metadata.content_type,
        "compression": metadata.compression,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode("ascii")


def _encrypt_facts(cipher: AESGCM, metadata: StorageMetadata) -> str:
    """What is not to be seen of the metadata: the attributes, and the checksum of the plain bytes."""
    facts = [metadata.checksum, dict(metadata.attributes)]
    plain = json.dumps(facts, separators=(",", ":")).encode("ascii")
    if len(plain) > HEADER_LIMIT_BYTES:  # as without encryption, however well it compresses
        raise ArtefactError(f"invalid metadata: {len(plain)} bytes, expected at most {HEADER_LIMIT_BYTES}")
    nonce = os.urandom(NONCE_BYTES - 1) + _FACTS
    encrypted = cipher.encrypt(nonce, zstd.compress(plain), None)
    return base64.b64encode(nonce + encrypted).decode("ascii")


def _open_facts(cipher: AESGCM, key: str, metadata: StorageMetadata) -> tuple[str, dict[str, object]]:
    if metadata.attributes.keys() != {_HIDDEN}:
        raise _tampered(key)
    try:
        held = base64.b64decode(str(metadata.attributes[_HIDDEN]), validate=True)
        nonce = held[:NONCE_BYTES]
        if nonce[-1:] != _FACTS:  # or a piece of the body would pass for them
            raise _tampered(key)
        packed = cipher.decrypt(nonce, held[NONCE_BYTES:], None)
        checksum, attributes = json.loads(zstd.decompress(packed))
        return str(checksum), dict(attributes)
    except (InvalidTag, ValueError, TypeError, zstd.ZstdError) as error:
        raise _tampered(key) from error


def encrypt(chunks: Iterable[bytes], cipher: AESGCM) -> Iterator[bytes]:
    """Yield a random prefix, new each time because a retry may read other bytes, then encrypted pieces."""
    prefix = os.urandom(PREFIX_BYTES)
    yield prefix
    for number, (piece, is_last) in enumerate(pieces(chunks, PIECE_BYTES)):
        yield cipher.encrypt(_nonce(prefix, number, is_last), piece, None)


def decrypt(chunks: Generator[bytes], cipher: AESGCM, key: str) -> Generator[bytes]:
    """The plain bytes, piece by piece, none of them before it is known to be right."""
    with closing(chunks):
        prefix, rest = _split(chunks)
        for number, (piece, is_last) in enumerate(pieces(rest, PIECE_BYTES + TAG_BYTES)):
            try:
                plain = cipher.decrypt(_nonce(prefix, number, is_last), piece, None)
            except (InvalidTag, ValueError) as error:
                raise _tampered(key) from error
            if plain:
                yield plain


def pieces(chunks: Iterable[Bytes], size: int) -> Iterator[tuple[Bytes, bool]]:
    """The same bytes in pieces of `size`, each with whether it is the last; at least one, maybe empty.

    Views where that is possible: nothing is copied but what lies across two chunks.
    """
    held: list[Bytes] = []
    length = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while length + len(view) > size:  # not when equal: whether it is the last one is not known yet
            cut = size - length
            held.append(view[:cut])
            yield _together(held), False
            held, length, view = [], 0, view[cut:]
        held.append(view)
        length += len(view)
    yield _together(held), True


def _together(held: list[Bytes]) -> Bytes:
    return held[0] if len(held) == 1 else b"".join(held)


def _split(chunks: Iterator[bytes]) -> tuple[bytes, Iterable[Bytes]]:
    """The prefix, and what follows it."""
    begin = b""
    while len(begin) < PREFIX_BYTES and (chunk := next(chunks, b"")):
        begin = begin + chunk if begin else chunk
    return begin[:PREFIX_BYTES], chain((memoryview(begin)[PREFIX_BYTES:],), chunks)


def _nonce(prefix: bytes, number: int, is_last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + (_LAST if is_last else _MIDDLE)


def _tampered(key: str) -> DamagedArtefactError:
    return DamagedArtefactError(f"{key} is damaged: it was changed since it was encrypted")
