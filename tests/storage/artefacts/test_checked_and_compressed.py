"""What is read is what was stored, however it lies there; nothing forged fills the memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.storage.artefacts.errors import ArtefactError, DamagedArtefactError
from monitord.storage.artefacts.manager import StorageManager, measure
from monitord.storage.artefacts.metadata import (
    CHUNK_BYTES,
    BytesPayload,
    DerivedPayload,
    FilePayload,
    StorageMetadata,
)
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.checked import Checked
from monitord.storage.artefacts.wrappers.compressed import Compressed
from tests.contracts.test_providers import KEY, NOW, described, get, put

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b"%d;function_%d (file.py:%d)\n" % (n, n % 7, n % 100) for n in range(30_000))


@pytest.fixture
def bare() -> MemoryStorageProvider:
    return MemoryStorageProvider()


@pytest.fixture
def composed(bare: MemoryStorageProvider) -> StorageProvider:
    return compose(bare)


@pytest.mark.parametrize("size", [100, 1000, CHUNK_BYTES, CHUNK_BYTES + 1, len(TEXT)])
def test_text_shrinks_and_comes_back(bare: StorageProvider, composed: StorageProvider, size: int) -> None:
    data = (TEXT * 2)[:size]
    stored = put(composed, KEY, data)
    assert stored.compression == "zstd"
    assert zstd.decompress(get(bare, KEY)[1]) == data
    assert get(composed, KEY) == (stored, data)


@pytest.mark.parametrize("level", [1, 3, 19])
def test_every_level_is_read_by_every_other(bare: StorageProvider, level: int) -> None:
    put(compose(bare, compression_level=level), KEY, TEXT)
    for other in (None, 1, 19):
        assert get(compose(bare, compression_level=other), KEY)[1] == TEXT


@pytest.mark.parametrize("level", [0, -1, 20, 22])
def test_a_level_that_reading_does_not_allow_is_refused(bare: StorageProvider, level: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 19"):
        Compressed(bare, level)


def zipped(data: bytes) -> bytes:
    with io.BytesIO() as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("x", data)
        return out.getvalue()


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.compress,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zip": zipped,
    "png": lambda data: b"\x89PNG\r\n\x1a\n" + data,
    "jpeg": lambda data: b"\xff\xd8\xff\xe0" + data,
}


@pytest.mark.parametrize("compressed", COMPRESSED.values(), ids=COMPRESSED)
def test_what_is_compressed_already_is_stored_as_it_is(
    bare: StorageProvider, composed: StorageProvider, compressed: Callable[[bytes], bytes]
) -> None:
    """Its first bytes tell, even where it would shrink once more."""
    data = compressed(TEXT)
    assert put(composed, KEY, data).compression is None
    assert get(bare, KEY)[1] == get(composed, KEY)[1] == data


@pytest.mark.parametrize("size", [0, 1, 10, 5000, CHUNK_BYTES, 3 * CHUNK_BYTES])
def test_what_does_not_shrink_is_stored_as_it_is(composed: StorageProvider, size: int) -> None:
    data = os.urandom(size)
    assert put(composed, KEY, data).compression is None
    assert get(composed, KEY)[1] == data


def test_an_artefact_of_the_first_version_is_read(
    bare: MemoryStorageProvider, composed: StorageProvider
) -> None:
    """Its header has no key and no times, its checksum no name, its body is always compressed."""
    checksum = measure(BytesPayload(TEXT))[1].removeprefix("sha256:")
    header = b'{"a":1,"artefact":{"version":1,"size_bytes":%d,"checksum":"%s"}}' % (
        len(TEXT),
        checksum.encode(),
    )
    framed = b"P*M\x18" + len(header).to_bytes(4, "little") + header
    bare._kept[KEY] = (framed, zstd.compress(TEXT))
    metadata, data = get(composed, KEY)
    assert data == TEXT
    assert metadata.attributes == {"a": 1}


def forged(bare: StorageProvider, body: bytes, size: int, data: bytes = b"") -> None:
    """An artefact that promises `size` bytes and has this body."""
    checksum = measure(BytesPayload(data))[1]
    metadata = StorageMetadata(KEY, size, NOW, NOW, checksum, compression="zstd")
    bare.store(KEY, BytesPayload(body), metadata)


def peak_of(use: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        use()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_frame_that_blows_up_is_cut_off(bare: StorageProvider, composed: StorageProvider) -> None:
    """4 GB in a few hundred kB: what is given never exceeds the promise, what is held never a few pieces."""
    compressor = zstd.ZstdCompressor(level=1)
    zeros = bytes(1 << 24)
    body = b"".join([*(compressor.compress(zeros) for _ in range(256)), compressor.flush()])
    assert len(body) < 1 << 20
    forged(bare, body, 1 << 20)
    given = 0

    def read() -> None:
        nonlocal given
        for chunk in composed.retrieve(KEY)[1]:
            assert len(chunk) <= CHUNK_BYTES
            given += len(chunk)

    def refused() -> None:
        with pytest.raises(DamagedArtefactError):
            read()

    assert peak_of(refused) < 8 << 20
    assert given <= 1 << 20


def test_a_frame_that_wants_a_large_window_is_refused(
    bare: StorageProvider, composed: StorageProvider
) -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.compression_level: 1}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(bytes(1000)) + compressor.flush()
    forged(bare, body, 1000, bytes(1000))
    with pytest.raises(DamagedArtefactError):
        get(composed, KEY)


def test_frames_that_are_cut_off_or_followed_by_more(
    bare: StorageProvider, composed: StorageProvider
) -> None:
    frame = zstd.compress(TEXT)
    for body in (b"", frame[:4], frame[:-1], frame + b"x", frame + frame, frame + bytes(CHUNK_BYTES * 2)):
        forged(bare, body, len(TEXT), TEXT)
        with pytest.raises(DamagedArtefactError):
            get(composed, KEY)
    forged(bare, frame, len(TEXT), TEXT)
    assert get(composed, KEY)[1] == TEXT


def test_every_changed_byte_is_told(bare: StorageProvider, composed: StorageProvider) -> None:
    """Of a compressed body and of one that is not: an error, never other bytes."""
    for data in (TEXT[:2000], os.urandom(2000)):
        put(composed, KEY, data)
        metadata, body = get(bare, KEY)
        for position in range(0, len(body), 7):
            changed = bytearray(body)
            changed[position] ^= random.Random(position).randrange(1, 256)
            bare.store(KEY, BytesPayload(bytes(changed)), metadata)
            try:
                assert get(composed, KEY)[1] == data
            except DamagedArtefactError:
                continue


@pytest.mark.parametrize("size", [999, 1001, 0])
def test_more_or_fewer_bytes_than_promised(bare: StorageProvider, size: int) -> None:
    checksum = measure(BytesPayload(b"x" * 1000))[1]
    bare.store(KEY, BytesPayload(b"x" * 1000), StorageMetadata(KEY, size, NOW, NOW, checksum))
    with pytest.raises(DamagedArtefactError):
        get(Checked(bare), KEY)


def test_the_last_piece_is_given_only_when_all_was_right(bare: StorageProvider) -> None:
    """So nothing of a small artefact, and no end of a large one, leaves unverified."""
    data = os.urandom(3 * CHUNK_BYTES)
    wrong = StorageMetadata(KEY, len(data), NOW, NOW, "sha256:" + "0" * 64)
    bare.store(KEY, BytesPayload(data), wrong)
    given = 0
    with pytest.raises(DamagedArtefactError):  # noqa: PT012  # how far it came is the point
        for chunk in Checked(bare).retrieve(KEY)[1]:
            given += len(chunk)
    assert given < len(data)


def test_an_unknown_compression_and_an_unknown_checksum_are_said(bare: StorageProvider) -> None:
    put(bare, KEY, b"x", compression="brotli")
    with pytest.raises(ArtefactError, match="brotli"):
        get(compose(bare), KEY)
    put(bare, KEY, b"x", checksum="md5:0")
    with pytest.raises(DamagedArtefactError):
        get(compose(bare), KEY)


class Changing:
    """A payload that is another one when it is read a second time, as a file that is still written to."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = list(contents)

    def chunks(self) -> Iterator[bytes]:
        held = self.contents.pop(0) if len(self.contents) > 1 else self.contents[0]
        yield from BytesPayload(held).chunks()


@pytest.mark.parametrize("size", [500, 3 * CHUNK_BYTES])
@pytest.mark.parametrize("makes", [os.urandom, lambda n: (TEXT * 2)[:n]], ids=["random", "text"])
def test_evidence_that_changes_while_it_is_stored_is_refused(
    bare: StorageProvider, composed: StorageProvider, size: int, makes: Callable[[int], bytes]
) -> None:
    """Longer, shorter or other bytes than were measured; nothing is left behind."""
    data = makes(size)
    metadata = described(KEY, BytesPayload(data))
    for other in (data + b"x", data[:-1], b"y" + data[1:], data + data, b""):
        with pytest.raises(ArtefactError):
            composed.store(KEY, Changing(other), metadata)
        assert list(bare.list()) == []


def test_a_file_that_grows_after_it_was_measured_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evidence"
    path.write_bytes(TEXT)
    payload = FilePayload(path)
    metadata = described(KEY, payload)
    with path.open("ab") as more:
        more.write(b"more")
    with pytest.raises(ArtefactError, match="it changed meanwhile"):
        compose(MemoryStorageProvider()).store(KEY, payload, metadata)
    payload.close()


def test_only_pieces_are_held_while_streaming(bare: StorageProvider) -> None:
    """Compressing and reading 64 MB takes a few pieces of memory, whatever the whole is."""

    class Nowhere(MemoryStorageProvider):
        def store(self, key, payload, metadata, *, replace=True):  # type: ignore[no-untyped-def]  # as the Protocol
            return super().store(key, BytesPayload(b"%d" % sum(map(len, payload.chunks()))), metadata)

    def many(_chunks: Iterator[bytes]) -> Iterator[bytes]:
        for _ in range(256):
            yield TEXT[:CHUNK_BYTES]

    payload = DerivedPayload(BytesPayload(b""), many)
    metadata = described(KEY, payload)
    assert peak_of(lambda: compose(Nowhere()).store(KEY, payload, metadata)) < 8 << 20


def test_the_manager_reads_back_through_everything(bare: StorageProvider) -> None:
    manager = StorageManager(compose(bare))
    manager.store_data(KEY, TEXT, tags={"a": "b"})
    assert manager.retrieve_data(KEY) == TEXT
    with manager.open(KEY) as source:
        assert source.read(10) == TEXT[:10]
        assert source.read() == TEXT[10:]
    assert manager.verify(KEY).tags == {"a": "b"}
