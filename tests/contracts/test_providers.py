"""What everything that keeps artefacts must hold. A new kind joins by one line in KINDS.

Over 400 lines: it is one list of promises, and the wrapped providers take it over whole.
"""

from __future__ import annotations

import itertools
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.errors import BusyError
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    ArtefactExistsError,
    DamagedArtefactError,
    InvalidKeyError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.keys import check_key
from monitord.storage.artefacts.manager import measure
from monitord.storage.artefacts.metadata import (
    CHUNK_BYTES,
    BytesPayload,
    DerivedPayload,
    Encryption,
    Payload,
    StorageMetadata,
)
from monitord.storage.artefacts.provider import Exchanging, StorageProvider
from monitord.storage.artefacts.providers import open_provider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from monitord.storage.artefacts.wrappers.uploading import UploadingProvider
from tests.servers import RedisServer, S3Server

KEY = "20260301T030000Z-4711-abcdefghijkl-profile.folded.zst"
NOW = datetime(2026, 3, 1, 3, 0, 0, 123456, tzinfo=UTC)


PLUGIN = Path(__file__).parent.parent / "plugin"


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere artefacts are kept. `open` gives a provider; `plant` puts raw bytes there behind its back.

    `url` is for another process; what is in this one's memory has none.
    """

    open: Callable[[], StorageProvider]
    plant: Callable[[str, bytes], None]
    raw: Callable[[str], bytes]
    url: str = ""


def file_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    folder = tmp_path / "artefacts"

    def plant(key: str, data: bytes) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / key).write_bytes(data)

    url = f"file://{folder}"
    return Place(lambda: open_provider(url), plant, lambda key: (folder / key).read_bytes(), url)


def memory_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    provider = MemoryStorageProvider()

    def plant(key: str, data: bytes) -> None:
        length = 8 + int.from_bytes(data[4:8], "little")  # the header is a piece of its own
        provider._kept[key] = (data[:length], data[length:])

    return Place(lambda: provider, plant, lambda key: b"".join(provider._kept[key]))


def redis_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    import redis

    server: RedisServer = request.getfixturevalue("redis_server")
    client = redis.Redis(port=server.port)
    request.addfinalizer(client.close)
    prefix = f"{secrets.token_hex(8)}*[:"  # what a pattern would take for more than it is
    url = f"{server.url}?prefix={quote(prefix)}"
    name = f"{prefix}artefact:"
    return Place(
        lambda: open_provider(url),
        lambda key, data: client.set(name + key, data),
        lambda key: client.get(name + key),
        url,
    )


def s3_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server: S3Server = request.getfixturevalue("s3_server")
    bucket = server.new_bucket()
    url = f"s3://{bucket}/some/prefix?{server.options(tmp_path)}"
    path = f"/{bucket}/some/prefix/"
    return Place(
        lambda: open_provider(url),
        lambda key, data: server.request("PUT", path + key, data),
        lambda key: server.request("GET", path + key),
        url,
    )


def plugin_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Another package's provider, found by the entry point of its real dist-info."""
    request.getfixturevalue("monkeypatch").syspath_prepend(PLUGIN)
    database = tmp_path / "shelf.db"
    url = f"shelf://{database}"

    def query(sql: str, *values: object) -> Any:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            return connection.execute(sql, values).fetchone()

    return Place(
        lambda: open_provider(url),
        lambda key, data: query("INSERT OR REPLACE INTO shelf VALUES (?, ?)", key, data),
        lambda key: query("SELECT object FROM shelf WHERE key = ?", key)[0],
        url,
    )


def waiting_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What was stored waits to be uploaded."""
    near, far = file_place(request, tmp_path), memory_place(request, tmp_path)
    return Place(lambda: uploading(UploadingProvider, tmp_path, far), near.plant, near.raw)


def uploaded_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """What was stored went to the remote provider at once."""

    class AtOnce(UploadingProvider):
        def store(
            self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
        ) -> StorageMetadata:
            stored = super().store(key, payload, metadata, replace=replace)
            with suppress(BusyError):  # another thread uploads, and will have it
                self.upload_all()
            return stored

    waiting, far = waiting_place(request, tmp_path), memory_place(request, tmp_path)

    def raw(key: str) -> bytes:
        near = tmp_path / "artefacts" / key
        return near.read_bytes() if near.exists() else far.raw(key)

    return Place(lambda: uploading(AtOnce, tmp_path, far), waiting.plant, raw)


def uploading(kind: type[UploadingProvider], folder: Path, far: Place) -> UploadingProvider:
    return kind(FileStorageProvider(folder / "artefacts"), far.open(), PendingDeletions(folder / "deletions"))


KINDS: dict[str, Callable[[pytest.FixtureRequest, Path], Place]] = {
    "file": file_place,
    "memory": memory_place,
    "redis": redis_place,
    "s3": s3_place,
    "plugin": plugin_place,
    "waiting": waiting_place,
    "uploaded": uploaded_place,
}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return KINDS[request.param](request, tmp_path)


@pytest.fixture
def provider(place: Place) -> Iterator[StorageProvider]:
    opened = place.open()
    yield opened
    opened.close()


def described(key: str, payload: Payload, **changes: object) -> StorageMetadata:
    size, checksum = measure(payload)
    metadata = StorageMetadata(key=key, size=size, created_at=NOW, updated_at=NOW, checksum=checksum)
    return replace(metadata, **changes)  # type: ignore[arg-type]  # a test names what it wants to change


def put(
    provider: StorageProvider, key: str, data: bytes, *, replace: bool = True, **changes: object
) -> StorageMetadata:
    payload = BytesPayload(data)
    return provider.store(key, payload, described(key, payload, **changes), replace=replace)


def get(provider: StorageProvider, key: str) -> tuple[StorageMetadata, bytes]:
    metadata, chunks = provider.retrieve(key)
    with closing(chunks):
        return metadata, b"".join(chunks)


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 20_000_000]
)
def test_what_is_stored_is_retrieved(provider: StorageProvider, place: Place, size: int) -> None:
    """The same bytes and metadata, at the ends of every size at which something begins anew."""
    data = os.urandom(size)
    stored = put(provider, KEY, data)
    assert stored.stored_size == len(place.raw(KEY)) > size
    assert get(provider, KEY) == (stored, data)
    assert provider.get_metadata(KEY) == stored


texts = st.text(st.characters(), max_size=20)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=3000),
    tags=st.dictionaries(texts, texts, max_size=12),
    name=st.binary(max_size=30).map(os.fsdecode),
    content_type=texts,
)
def test_metadata_comes_back_as_it_was(
    provider: StorageProvider, data: bytes, tags: dict[str, str], name: str, content_type: str
) -> None:
    """Every text there is, bytes that are no UTF-8 among them, as tags, as attributes and as content type."""
    stored = put(
        provider,
        KEY,
        data,
        tags=tags,
        content_type=content_type,
        attributes={"name": name, "list": [1, None, 2.5, {"deep": [True]}]},
        updated_at=NOW + timedelta(microseconds=len(data)),
        compression="zstd",
        encryption=Encryption("AES-256-GCM", "key-1", "d3JhcHBlZA=="),
        archived_in="s3",
    )
    assert get(provider, KEY) == (stored, data)
    assert provider.get_metadata(KEY) == stored
    assert stored.attributes["name"] == name
    assert stored.tags == tags


def test_another_provider_of_the_same_place_sees_it(provider: StorageProvider, place: Place) -> None:
    stored = put(provider, "a/b/key", b"data")
    with closing(place.open()) as second:
        assert get(second, "a/b/key") == (stored, b"data")
        assert second.delete("a/b/key") == stored.stored_size
    assert list(provider.list()) == []


def test_a_key_is_taken_once_unless_replacing(provider: StorageProvider) -> None:
    first = put(provider, KEY, b"one", replace=False)
    with pytest.raises(ArtefactExistsError, match="exists"):
        put(provider, KEY, b"two", replace=False)
    assert get(provider, KEY) == (first, b"one")
    second = put(provider, KEY, b"twice as long", replace=True)
    assert get(provider, KEY) == (second, b"twice as long")
    provider.delete(KEY)
    put(provider, KEY, b"three", replace=False)
    assert get(provider, KEY)[1] == b"three"


def test_what_is_not_there_is_missing_everywhere(provider: StorageProvider) -> None:
    put(provider, "a/b", b"")
    for key in (KEY, "a", "a/b/c", "a/c", "b/b", "a/b-"):
        for use in (provider.retrieve, provider.get_metadata, provider.set_aside):
            with pytest.raises(MissingArtefactError, match="cannot find"):
                use(key)
        assert provider.delete(key) == 0
    assert list(provider.list()) == ["a/b"]


def test_a_deletion_says_what_it_took_and_holds(provider: StorageProvider) -> None:
    stored = put(provider, KEY, b"x" * 1000)
    put(provider, "other", b"y")
    assert provider.delete(KEY) == stored.stored_size
    assert provider.delete(KEY) == 0
    with pytest.raises(MissingArtefactError):
        provider.get_metadata(KEY)
    assert list(provider.list()) == ["other"]


KEYS = ("0", "a-b", "a.b", "a/b", "a/c/d", "a/c/e", "a0", "ab", "A", "Z/z", "_x", "-x", "x" * 200)
PREFIXES = [
    *("", "a", "a/", "a/c", "a/c/", "a/c/d", "a-", "x" * 201, "b", "_", "nothing/here", "a/b/"),
    *(
        "*",
        "a*",
        "?",
        "[a]",
        "a\\",
        "\\",
        "/",
        "//",
        "/a",
        "../",
        "a/../a",
        "./",
        ".",
        "a/.",
        "é",
        "\0",
        "\n",
    ),
]


def test_list_gives_the_keys_that_begin_so_in_order(provider: StorageProvider) -> None:
    """In the order of their characters, whatever characters a prefix is made of; it is a text, no pattern."""
    keys = sorted(KEYS)
    for key in reversed(keys):
        put(provider, key, key.encode())
    for prefix in PREFIXES:
        assert list(provider.list(prefix)) == [key for key in keys if key.startswith(prefix)], prefix


def test_many_keys_are_all_listed(provider: StorageProvider) -> None:
    keys = [f"many/{n:05}" for n in range(1, 1101)]
    for key in keys:
        put(provider, key, b"")
    assert list(provider.list("many/")) == keys
    assert list(provider.list("many/010")) == [f"many/{n:05}" for n in range(1000, 1100)]


BAD_KEYS = [
    *(
        "",
        "/",
        "/etc/passwd",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "a//b",
        "a/",
        ".hidden",
        "a/.hidden",
        "a/./b",
    ),
    *(
        "a\0b",
        "a\nb",
        "a\x7fb",
        "a\x1b[0mb",
        "é",
        "a b",
        "a\\b",
        "a:b",
        "a*b",
        "\udcff",
        "x" * 201,
        "a/" * 300 + "a",
    ),
]


def test_a_bad_key_is_refused_with_the_same_reason_everywhere(provider: StorageProvider) -> None:
    """One place for all of them: what a key that is taken leaves is listed at the end."""
    uses: list[Callable[[str], object]] = [
        provider.retrieve, provider.get_metadata, provider.delete, provider.set_aside,
        lambda key: provider.store(key, BytesPayload(b"x"), described("any", BytesPayload(b"x"))),
    ]  # fmt: skip
    for key, use in itertools.product(BAD_KEYS, uses):
        with pytest.raises(InvalidKeyError) as expected:
            check_key(key)
        with pytest.raises(InvalidKeyError) as raised:
            use(key)
        assert str(raised.value) == str(expected.value), key
    assert list(provider.list()) == []


class _BrokenError(Exception):
    pass


def broken(size: int) -> Payload:
    def change(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield from chunks
        raise _BrokenError

    return DerivedPayload(BytesPayload(b"x" * size), change)


@pytest.mark.parametrize("size", [0, 10, 3 * CHUNK_BYTES, 12_000_000])
def test_a_payload_that_breaks_off_leaves_nothing(provider: StorageProvider, size: int) -> None:
    """Its own error comes out; no artefact, and the one that was there is still there."""
    metadata = described(KEY, BytesPayload(b"x" * size))
    for replacing in (True, False):
        with pytest.raises(_BrokenError):
            provider.store(KEY, broken(size), metadata, replace=replacing)
        assert list(provider.list()) == []
    stored = put(provider, KEY, b"before")
    with pytest.raises(_BrokenError):
        provider.store(KEY, broken(size), metadata)
    assert get(provider, KEY) == (stored, b"before")
    assert list(provider.list()) == [KEY]


def test_too_much_metadata_is_refused_and_leaves_nothing(provider: StorageProvider) -> None:
    with pytest.raises(ArtefactError, match="expected at most"):
        put(provider, KEY, b"", attributes={"fact": "x" * (5 << 20)})
    assert list(provider.list()) == []


def test_large_metadata_comes_back(provider: StorageProvider) -> None:
    stored = put(provider, KEY, b"data", attributes={"fact": "x" * (3 << 20)})
    assert get(provider, KEY) == (stored, b"data")
    assert provider.get_metadata(KEY) == stored


def test_of_many_threads_one_takes_a_key(provider: StorageProvider, place: Place) -> None:
    """Not replacing: exactly one wins, and its bytes are what is there."""
    for round_ in range(5):
        key, won, barrier = f"race/{round_}", [], threading.Barrier(6)

        def compete(
            number: int, key: str = key, won: list[int] = won, barrier: threading.Barrier = barrier
        ) -> None:
            with closing(place.open()) as mine:
                barrier.wait()
                try:
                    put(mine, key, b"%d" % number * 1000, replace=False)
                except ArtefactExistsError:
                    return
                won.append(number)

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert get(provider, key)[1] == b"%d" % won[0] * 1000


COMPETE = """
import sys
from monitord.storage.artefacts.providers import open_provider
from tests.contracts.test_providers import ArtefactExistsError, put
mine = open_provider(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(10):
    try:
        put(mine, f"race/{n}", sys.argv[2].encode() * 1000, replace=False)
        print(n, flush=True)
    except ArtefactExistsError:
        pass
"""


@pytest.mark.parametrize(
    "place", [kind for kind in KINDS if kind not in ("memory", "waiting", "uploaded")], indirect=True
)
def test_of_many_processes_one_takes_a_key(provider: StorageProvider, place: Place) -> None:
    """Not replacing: of two processes that try at once exactly one wins, key by key."""
    path = os.pathsep.join((str(PLUGIN), str(PLUGIN.parent.parent)))
    both = [
        subprocess.Popen(
            [sys.executable, "-c", COMPETE, place.url, name],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for process in both:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [process.communicate()[0].split() for process in both]
    assert sorted(won[0] + won[1]) == [str(n) for n in range(10)]
    for name, numbers in zip("ab", won, strict=True):
        for n in numbers:
            assert get(provider, f"race/{n}")[1] == name.encode() * 1000


def swap(provider: StorageProvider, key: str, data: bytes, expected: StorageMetadata) -> StorageMetadata:
    payload = BytesPayload(data)
    exchanging: Exchanging = provider  # type: ignore[assignment]  # those of KINDS all can
    return exchanging.exchange(key, payload, described(key, payload), expected=expected)


def test_an_exchange_replaces_only_what_was_expected(provider: StorageProvider) -> None:
    """Who replaced or deleted the artefact meanwhile wins, and nothing comes back."""
    first = put(provider, KEY, b"one")
    second = swap(provider, KEY, b"the second", first)
    assert get(provider, KEY) == (second, b"the second")
    with pytest.raises(ArtefactChangedError):
        swap(provider, KEY, b"three", first)
    assert get(provider, KEY) == (second, b"the second")
    provider.delete(KEY)
    with pytest.raises(ArtefactChangedError):
        swap(provider, KEY, b"four", second)
    assert list(provider.list()) == []
    with pytest.raises(InvalidKeyError):
        swap(provider, "../key", b"", second)


def test_of_many_exchanges_one_takes_place(provider: StorageProvider, place: Place) -> None:
    """And when a deletion races with them, the key is gone in the end, whoever was first."""
    for round_ in range(10):
        old, won, barrier = put(provider, KEY, b"old"), list[int](), threading.Barrier(5)

        def compete(
            number: int,
            old: StorageMetadata = old,
            won: list[int] = won,
            barrier: threading.Barrier = barrier,
            deletes: bool = round_ % 2 == 1,
        ) -> None:
            with closing(place.open()) as mine:
                barrier.wait()
                if number == 0 and deletes:
                    mine.delete(KEY)
                    return
                try:
                    swap(mine, KEY, b"%d" % number * 1000, old)
                except ArtefactChangedError:
                    return
                won.append(number)

        threads = [threading.Thread(target=compete, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if round_ % 2 == 1:
            assert len(won) <= 1
            assert list(provider.list()) == []
        else:
            assert len(won) == 1
            assert get(provider, KEY)[1] == b"%d" % won[0] * 1000


def test_a_reader_sees_the_old_or_the_new_never_a_mixture(provider: StorageProvider) -> None:
    """Metadata and bytes belong together while another thread replaces the artefact all the time."""
    versions = [bytes([n]) * (2_500_000 + n) for n in range(4)]
    put(provider, KEY, versions[0])
    done, seen, wrong = threading.Event(), set[int](), list[str]()

    def look() -> None:
        while not done.is_set():
            try:
                metadata, data = get(provider, KEY)
            except (TransientError, ArtefactChangedError):
                continue  # replaced meanwhile, and it says so
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                wrong.append(repr(error))
                continue
            if len(data) != metadata.size or measure(BytesPayload(data))[1] != metadata.checksum:
                wrong.append(f"{metadata.size} {len(data)}")
            seen.add(metadata.size)

    thread = threading.Thread(target=look)
    thread.start()
    for n in range(24):
        put(provider, KEY, versions[n % 4], updated_at=NOW + timedelta(microseconds=n + 1))
    done.set()
    thread.join()
    assert wrong == []
    assert seen <= {len(data) for data in versions}


def test_nothing_half_written_is_listed(provider: StorageProvider) -> None:
    """While an artefact is being written, another look finds nothing of it."""
    seen: list[str] = []

    def change(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            seen.extend(provider.list())
            yield chunk

    source = BytesPayload(b"x" * 18_000_000)
    provider.store(KEY, DerivedPayload(source, change), described(KEY, source))
    assert seen == []
    assert list(provider.list()) == [KEY]


def test_what_goes_while_it_is_listed_is_no_trouble(provider: StorageProvider) -> None:
    for n in range(5):
        put(provider, f"a/{n}/x", b"")
    listing = provider.list()
    first = next(listing)
    for n in range(1, 5):
        provider.delete(f"a/{n}/x")
    assert {first, *listing} <= {f"a/{n}/x" for n in range(5)}


def test_what_is_no_artefact_is_damaged_listed_and_can_be_set_aside(
    provider: StorageProvider, place: Place
) -> None:
    """Cut off anywhere in its metadata, or somebody else's file: told as damaged, until it is put away."""
    put(provider, "good", b"data")
    whole = place.raw("good")
    for data in (
        b"",
        whole[:1],
        whole[:8],
        whole[:30],
        b"something else " * 100,
        b"P*M\x18\xff\xff\xff\xff" + whole,
    ):
        for attempt in range(2):
            place.plant("bad", data)
            for use in (provider.retrieve, provider.get_metadata):
                with pytest.raises(DamagedArtefactError):
                    use("bad")
            assert list(provider.list()) == ["bad", "good"], attempt
            provider.set_aside("bad")
            assert list(provider.list()) == ["good"]
            with pytest.raises(MissingArtefactError):
                provider.get_metadata("bad")
    place.plant("bad", b"garbage")
    assert provider.delete("bad") == len(b"garbage")


def test_a_reader_may_stop_anywhere(provider: StorageProvider) -> None:
    """Before the first piece, after it, or never looked at: everything goes on working."""
    stored = put(provider, KEY, os.urandom(8 * CHUNK_BYTES))
    for _time in range(30):
        _metadata, chunks = provider.retrieve(KEY)
        chunks.close()
        _metadata, chunks = provider.retrieve(KEY)
        assert next(chunks)
        chunks.close()
        assert list(chunks) == []
    assert get(provider, KEY)[0] == stored


def test_an_old_artefact_is_read(provider: StorageProvider, place: Place) -> None:
    """Version 1: no key, no times, a bare checksum, always compressed."""
    header = b'{"kind":"profile","artefact":{"version":1,"size_bytes":5,"checksum":"00ff"}}'
    place.plant(KEY, b"P*M\x18" + len(header).to_bytes(4, "little") + header + b"body")
    metadata, data = get(provider, KEY)
    assert (metadata.size, metadata.checksum, metadata.compression) == (5, "sha256:00ff", "zstd")
    assert metadata.attributes == {"kind": "profile"}
    assert metadata.stored_size == 8 + len(header) + 4
    assert abs(datetime.now(UTC) - metadata.created_at) < timedelta(minutes=5)
    assert metadata.created_at == metadata.updated_at
    assert data == b"body"


def test_closing_twice_is_fine(place: Place) -> None:
    provider = place.open()
    put(provider, KEY, b"data")
    provider.close()
    provider.close()
