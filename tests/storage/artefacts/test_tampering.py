"""Whoever can write to the storage can't change what is encrypted without being found out."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from monitord.storage.artefacts.errors import ArtefactError, DamagedArtefactError, WrongKeyError
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring
from monitord.storage.artefacts.manager import measure
from monitord.storage.artefacts.metadata import BytesPayload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.encrypted import PIECE_BYTES, PREFIX_BYTES, TAG_BYTES, Encrypted
from tests.contracts.test_providers import KEY, NOW, get, put

ENCRYPTED_PIECE = PIECE_BYTES + TAG_BYTES
KEYRING = Keyring(EncryptionKey(bytes(range(32))))
DATA = os.urandom(2 * PIECE_BYTES + 1000)  # three pieces


@pytest.fixture
def bare() -> MemoryStorageProvider:
    return MemoryStorageProvider()


@pytest.fixture
def encrypted(bare: MemoryStorageProvider) -> StorageProvider:
    provider = compose(bare, compression_level=None, keyring=KEYRING)
    put(provider, KEY, DATA, attributes={"pid": 4711}, tags={"severity": "high"})
    return provider


def change_body(bare: StorageProvider, change: Callable[[bytes], bytes], key: str = KEY) -> None:
    metadata, body = get(bare, key)
    bare.store(key, BytesPayload(change(body)), metadata)


def change_metadata(bare: StorageProvider, **changes: object) -> None:
    metadata, body = get(bare, KEY)
    bare.store(KEY, BytesPayload(body), replace(metadata, **changes))  # type: ignore[arg-type]  # any field


def assert_found_out(encrypted: StorageProvider, *, metadata_too: bool) -> None:
    with pytest.raises(DamagedArtefactError):
        get(encrypted, KEY)
    if metadata_too:
        with pytest.raises(DamagedArtefactError):
            encrypted.get_metadata(KEY)


def test_untouched_it_opens(encrypted: StorageProvider) -> None:
    metadata, data = get(encrypted, KEY)
    assert data == DATA
    assert metadata.attributes == {"pid": 4711}


@pytest.mark.parametrize(
    "position",
    [
        0,
        PREFIX_BYTES - 1,
        PREFIX_BYTES,
        PREFIX_BYTES + ENCRYPTED_PIECE - 1,
        PREFIX_BYTES + ENCRYPTED_PIECE,
        PREFIX_BYTES + 2 * ENCRYPTED_PIECE + 500,
        -1,
    ],
)
def test_a_changed_bit_anywhere_in_the_body(
    bare: StorageProvider, encrypted: StorageProvider, position: int
) -> None:
    """In the prefix, in every piece, in every tag."""

    def flip(body: bytes) -> bytes:
        changed = bytearray(body)
        changed[position] ^= 1
        return bytes(changed)

    change_body(bare, flip)
    assert_found_out(encrypted, metadata_too=False)


BODIES: dict[str, Callable[[bytes], bytes]] = {
    "nothing left": lambda body: b"",
    "half a prefix": lambda body: body[:3],
    "only the prefix": lambda body: body[:PREFIX_BYTES],
    "cut within a piece": lambda body: body[:-1],
    "cut after the first piece": lambda body: body[: PREFIX_BYTES + ENCRYPTED_PIECE],
    "cut after the second piece": lambda body: body[: PREFIX_BYTES + 2 * ENCRYPTED_PIECE],
    "first piece gone": lambda body: body[:PREFIX_BYTES] + body[PREFIX_BYTES + ENCRYPTED_PIECE :],
    "pieces swapped": lambda body: (
        body[:PREFIX_BYTES]
        + body[PREFIX_BYTES + ENCRYPTED_PIECE : PREFIX_BYTES + 2 * ENCRYPTED_PIECE]
        + body[PREFIX_BYTES : PREFIX_BYTES + ENCRYPTED_PIECE]
        + body[PREFIX_BYTES + 2 * ENCRYPTED_PIECE :]
    ),
    "a piece twice": lambda body: body[: PREFIX_BYTES + ENCRYPTED_PIECE] + body[PREFIX_BYTES:],
    "the last piece twice": lambda body: body + body[PREFIX_BYTES + 2 * ENCRYPTED_PIECE :],
    "a byte more": lambda body: body + b"\0",
    "much more": lambda body: body + bytes(3 * ENCRYPTED_PIECE),
    "all of it twice": lambda body: body * 2,
}


@pytest.mark.parametrize("change", BODIES.values(), ids=BODIES)
def test_cut_moved_and_added_pieces(
    bare: StorageProvider, encrypted: StorageProvider, change: Callable[[bytes], bytes]
) -> None:
    change_body(bare, change)
    assert_found_out(encrypted, metadata_too=False)


def test_an_empty_artefact_can_be_told_from_a_cut_one(
    bare: StorageProvider, encrypted: StorageProvider
) -> None:
    put(encrypted, KEY, b"")
    assert get(encrypted, KEY)[1] == b""
    change_body(bare, lambda body: body[:-1])
    assert_found_out(encrypted, metadata_too=False)


CHANGES: dict[str, object] = {
    "size": 10,
    "checksum": "sha256:" + "0" * 64,
    "created_at": NOW + timedelta(days=1),
    "updated_at": NOW + timedelta(microseconds=1),
    "tags": {"severity": "low"},
    "content_type": "text/html",
    "compression": "zstd",
    "attributes": {},
}


@pytest.mark.parametrize("name", CHANGES)
def test_edited_metadata(bare: StorageProvider, encrypted: StorageProvider, name: str) -> None:
    """Everything that the metadata says of the artefact is bound to it, and found out without reading it."""
    change_metadata(bare, **{name: CHANGES[name]})
    assert_found_out(encrypted, metadata_too=True)


def test_the_bound_fields_are_all_there_are() -> None:
    """A field that is added to the metadata is either bound, or argued for here."""
    free = {
        "key",  # bound, and given by who asks
        "encryption",  # rotation changes it; a wrapped key opens with nothing but its own artefact
        "stored_size",  # the provider's own count
        "archived_in",  # archiving changes it
    }
    assert set(StorageMetadata.__slots__) - free == set(CHANGES)


def test_attributes_of_another_artefact_and_old_ones(
    bare: StorageProvider, encrypted: StorageProvider
) -> None:
    first = bare.get_metadata(KEY).attributes
    put(encrypted, KEY, DATA, attributes={"pid": 1}, tags={"severity": "high"})
    change_metadata(bare, attributes=first)
    assert_found_out(encrypted, metadata_too=True)


@pytest.mark.parametrize("held", ["", "!", "AAAA", "A" * 400, 5, None, ["x"]])
def test_attributes_of_another_kind(bare: StorageProvider, encrypted: StorageProvider, held: object) -> None:
    change_metadata(bare, attributes={"sealed": held})
    assert_found_out(encrypted, metadata_too=True)


def test_a_piece_of_the_body_passes_for_no_attributes(
    bare: StorageProvider, encrypted: StorageProvider
) -> None:
    """Both are encrypted with the same data key, but with nonces that say what they are for."""
    import base64

    put(encrypted, KEY, zstd.compress(b'["sha256:0",{"pid":1}]'))
    body = get(bare, KEY)[1]
    nonce = body[:PREFIX_BYTES] + bytes(4) + b"\1"
    change_metadata(bare, attributes={"sealed": base64.b64encode(nonce + body[PREFIX_BYTES:]).decode()})
    assert_found_out(encrypted, metadata_too=True)


def test_artefacts_that_change_places(bare: StorageProvider, encrypted: StorageProvider) -> None:
    """Bodies alone, or whole artefacts: neither opens under the other's key."""
    put(encrypted, "other", DATA, attributes={"pid": 4711}, tags={"severity": "high"})
    mine, others = get(bare, KEY), get(bare, "other")
    bare.store(KEY, BytesPayload(others[1]), mine[0])
    assert_found_out(encrypted, metadata_too=False)
    bare.store(KEY, BytesPayload(others[1]), others[0])
    assert_found_out(encrypted, metadata_too=True)


@pytest.mark.parametrize("wrapped_key", ["", "!", "AAAA", "A" * 80])
def test_another_wrapped_key(bare: StorageProvider, encrypted: StorageProvider, wrapped_key: str) -> None:
    encryption = bare.get_metadata(KEY).encryption
    assert encryption is not None
    change_metadata(bare, encryption=replace(encryption, wrapped_key=wrapped_key))
    assert_found_out(encrypted, metadata_too=True)


def test_every_bit_of_the_wrapped_key_counts(bare: StorageProvider, encrypted: StorageProvider) -> None:
    import base64

    encryption = bare.get_metadata(KEY).encryption
    assert encryption is not None
    held = base64.b64decode(encryption.wrapped_key)
    for position in range(len(held)):
        changed = bytearray(held)
        changed[position] ^= 0x80
        wrapped = base64.b64encode(changed).decode()
        change_metadata(bare, encryption=replace(encryption, wrapped_key=wrapped))
        assert_found_out(encrypted, metadata_too=True)


def test_a_wrong_key_is_no_tampering(bare: StorageProvider, encrypted: StorageProvider) -> None:
    """And the message names the artefact, the key's fingerprint, and those at hand."""
    another = Keyring(EncryptionKey(os.urandom(32)))
    for stranger in (compose(bare, keyring=another), compose(bare)):
        for use in (stranger.retrieve, stranger.get_metadata):
            with pytest.raises(WrongKeyError, match=KEYRING.active.key_id) as raised:
                use(KEY)
            assert KEY in str(raised.value)
    with pytest.raises(WrongKeyError, match=another.active.key_id):
        compose(bare, keyring=another).retrieve(KEY)


def test_naming_another_key_of_the_ring_is_tampering(
    bare: StorageProvider, encrypted: StorageProvider
) -> None:
    encryption = bare.get_metadata(KEY).encryption
    assert encryption is not None
    other = EncryptionKey(os.urandom(32))
    change_metadata(bare, encryption=replace(encryption, key_id=other.key_id))
    with pytest.raises(DamagedArtefactError):
        compose(bare, keyring=Keyring(KEYRING.active, other)).get_metadata(KEY)


def test_an_unknown_algorithm_is_said(bare: StorageProvider, encrypted: StorageProvider) -> None:
    encryption = bare.get_metadata(KEY).encryption
    assert encryption is not None
    change_metadata(bare, encryption=replace(encryption, algorithm="rot13"))
    with pytest.raises(ArtefactError, match="unknown"):
        encrypted.get_metadata(KEY)


def test_what_was_never_encrypted(bare: StorageProvider) -> None:
    """Read by default, because it is older than the key; refused where only encrypted artefacts are trusted."""
    put(bare, KEY, b"plain")
    assert get(Encrypted(bare, KEYRING), KEY)[1] == b"plain"
    strict = Encrypted(bare, KEYRING, reads_plain=False)
    for use in (strict.retrieve, strict.get_metadata):
        with pytest.raises(DamagedArtefactError, match="not encrypted"):
            use(KEY)


def test_taking_the_encryption_out_of_the_header(bare: StorageProvider, encrypted: StorageProvider) -> None:
    """Encrypted bytes that are said to be plain don't have the checksum that is said."""
    change_metadata(bare, encryption=None)
    assert_found_out(encrypted, metadata_too=False)


def test_every_byte_of_the_header(bare: MemoryStorageProvider) -> None:
    """Whatever byte of the stored object changes: the right bytes come, or an error, never other bytes."""
    encrypted = compose(bare, keyring=KEYRING)
    stored = put(encrypted, KEY, b"short evidence", attributes={"pid": 1}, tags={"a": "b"})
    header, *body = bare._kept[KEY]
    said = json.loads(header[8:])
    assert said["artefact"]["encryption"]["key_id"] == KEYRING.active.key_id
    for position in range(len(header)):
        changed = bytearray(header)
        changed[position] ^= 0x01
        bare._kept[KEY] = (bytes(changed), *body)
        try:
            metadata, data = get(encrypted, KEY)
        except ArtefactError:
            continue
        assert data == b"short evidence"
        assert replace(metadata, archived_in=None, encryption=None) == replace(stored, encryption=None)
    assert struct.unpack("<I", header[4:8]) == (len(header) - 8,)


def test_equal_bytes_are_never_encrypted_alike(bare: MemoryStorageProvider) -> None:
    """Nobody can tell from the outside that two artefacts hold the same, or try guesses on a checksum."""
    encrypted = Encrypted(bare, KEYRING)
    seen = set()
    for _time in range(20):
        stored = put(encrypted, KEY, b"same", attributes={"same": 1})
        metadata, body = get(bare, KEY)
        assert metadata.encryption is not None
        seen |= {body, str(metadata.attributes), metadata.encryption.wrapped_key, metadata.checksum}
        assert stored.checksum == encrypted.get_metadata(KEY).checksum == measure(BytesPayload(b"same"))[1]
    assert len(seen) == 80
    assert stored.checksum.removeprefix("sha256:").encode() not in b"".join(bare._kept[KEY])


def test_a_second_pass_over_a_changed_file_uses_other_nonces(bare: StorageProvider) -> None:
    """A retry reads anew; were the bytes to differ under the same nonces, they could be told from each other."""

    class Twice(MemoryStorageProvider):
        def store(self, key, payload, metadata, *, replace=True):  # type: ignore[no-untyped-def]  # as the Protocol
            first = b"".join(payload.chunks())
            assert first[:PREFIX_BYTES] != b"".join(payload.chunks())[:PREFIX_BYTES]
            return super().store(key, payload, metadata, replace=replace)

    put(Encrypted(Twice(), KEYRING), KEY, DATA)
