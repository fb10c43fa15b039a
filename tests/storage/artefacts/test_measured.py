"""What a monitor is told of: every call that reaches the provider, with bytes, time and errors, but no keys."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import pytest

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import DiskFullError, MissingArtefactError, TransientError
from monitord.storage.artefacts.metadata import CHUNK_BYTES, BytesPayload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.measured import Measured
from monitord.storage.artefacts.wrappers.passing import exchanging
from monitord.storage.artefacts.wrappers.retried import Patience
from tests.contracts.test_providers import KEY, described, get, put
from tests.storage.artefacts.flaky import Fault, Flaky
from tests.storage.artefacts.test_cache import Clock


class Told:
    """A recorder that remembers what it was told."""

    def __init__(self) -> None:
        self.all: list[tuple[object, ...]] = []

    def record_read(self, size: int) -> None:
        self.all.append(("read", size))

    def record_write(self, size: int) -> None:
        self.all.append(("write", size))

    def record_delete(self) -> None:
        self.all.append(("delete",))

    def record_error(self, operation: str, error: StorageError) -> None:
        self.all.append(("error", operation, type(error)))

    def record_latency(self, operation: str, seconds: float) -> None:
        self.all.append(("latency", operation, seconds))


class Slow(Flaky):
    """Every call takes a second, every piece of a stream half a second more."""

    def __init__(self, inner: MemoryStorageProvider, clock: Clock) -> None:
        super().__init__(inner)
        self.clock = clock

    def _next(self, name: str) -> Fault:
        self.clock.now_s += 1
        return super()._next(name)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = super().retrieve(key)

        def slowly() -> Generator[bytes]:
            for chunk in chunks:
                self.clock.now_s += 0.5
                yield chunk

        return metadata, slowly()


def measured() -> tuple[Measured, Slow, Told, Clock]:
    clock, told = Clock(), Told()
    slow = Slow(MemoryStorageProvider(), clock)
    return Measured(slow, told, clock=clock), slow, told, clock


def test_every_call_is_told_with_what_it_took() -> None:
    provider, _slow, told, _clock = measured()
    stored = put(provider, KEY, b"x" * 1000)
    payload = BytesPayload(b"y")
    exchanging(provider).exchange(KEY, payload, described(KEY, payload), expected=stored)
    freed = provider.get_metadata(KEY).stored_size
    assert provider.delete(KEY) == freed
    assert provider.delete(KEY) == 0
    put(provider, KEY, b"")
    provider.set_aside(KEY)
    writes = [size for kind, *rest in told.all if kind == "write" for size in rest]
    assert writes[0] == stored.stored_size > 1000
    assert [entry for entry in told.all if entry[0] == "latency"] == [
        ("latency", name, 1.0)
        for name in ("store", "exchange", "get_metadata", "delete", "delete", "store", "set_aside")
    ]
    assert told.all.count(("delete",)) == 1


def test_a_read_counts_what_came_and_not_the_reader_s_own_time() -> None:
    """To its end, broken off by the reader, or by the line."""
    provider, slow, told, clock = measured()
    put(slow.inner, KEY, bytes(3 * CHUNK_BYTES))
    for chunk in provider.retrieve(KEY)[1]:
        clock.now_s += 1000
        assert chunk
    assert told.all == [("read", 3 * CHUNK_BYTES), ("latency", "retrieve", 2.5)]
    told.all.clear()
    _metadata, chunks = provider.retrieve(KEY)
    with closing(chunks):
        next(chunks)
    assert told.all == [("read", CHUNK_BYTES), ("latency", "retrieve", 1.5)]
    told.all.clear()
    slow.faults = [CHUNK_BYTES]
    with pytest.raises(TransientError):
        get(provider, KEY)
    assert told.all[0] == ("error", "retrieve", TransientError)
    assert told.all[1] == ("read", CHUNK_BYTES)


def test_errors_are_told_and_answers_are_not() -> None:
    """That there is nothing of this name is no trouble of the provider's."""
    provider, slow, told, _clock = measured()
    with pytest.raises(MissingArtefactError):
        provider.get_metadata(KEY)
    assert told.all == []
    slow.faults = [DiskFullError("full"), "before"]
    with pytest.raises(DiskFullError):
        put(provider, KEY, b"x")
    with pytest.raises(TransientError):
        provider.delete(KEY)
    assert told.all == [("error", "store", DiskFullError), ("error", "delete", TransientError)]
    slow.faults = [0]
    put(slow.inner, KEY, b"")
    told.all.clear()
    with pytest.raises(TransientError):
        list(provider.list())
    assert told.all == [("error", "list", TransientError)]


def test_each_try_counts_and_stored_bytes_are_counted() -> None:
    """The monitor stands next to the provider: compressed sizes, retries, no cache hits as reads."""
    from monitord.storage.artefacts.cache import CacheManager

    told, flaky = Told(), Flaky(MemoryStorageProvider(), "before")
    provider = compose(
        flaky,
        cache=CacheManager(),
        recorder=told,
        patience=Patience(first_pause_s=0.001, longest_pause_s=0.001),
    )
    stored = put(provider, KEY, b"x" * 100_000)
    assert stored.stored_size < 1000
    assert get(provider, KEY)[1] == b"x" * 100_000
    without_times = [entry for entry in told.all if entry[0] != "latency"]
    assert without_times == [("error", "store", TransientError), ("write", stored.stored_size)]
