"""Through the cache nobody sees what is gone: not after a slow read, not after another process wrote."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest

from monitord.storage.artefacts.cache import CacheConfig, CacheManager
from monitord.storage.artefacts.errors import MissingArtefactError, TransientError
from monitord.storage.artefacts.manager import StorageManager
from monitord.storage.artefacts.metadata import CHUNK_BYTES, FilePayload, Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.cached import Cached
from tests.contracts.test_providers import KEY, described, get, put
from tests.patience import PATIENCE_S
from tests.storage.artefacts.flaky import Flaky
from tests.storage.artefacts.test_cache import Clock

TTL_S = 60.0


@pytest.fixture
def bare() -> Flaky:
    return Flaky(MemoryStorageProvider())


def cached(bare: StorageProvider, clock: Clock | None = None, limit_bytes: int = 1 << 20) -> Cached:
    config = CacheConfig(limit_bytes=limit_bytes, ttl_s=TTL_S)
    return Cached(bare, CacheManager(config, clock=clock or Clock()))


def test_a_hit_asks_nobody_and_copies_nothing(bare: Flaky) -> None:
    """After a store of bytes, and after a first read; the very same object comes back."""
    provider = cached(bare)
    data = os.urandom(100_000)
    stored = put(provider, KEY, data)
    bare.calls.clear()
    assert get(provider, KEY) == (stored, data)
    assert get(provider, KEY)[1] is data
    assert provider.get_metadata(KEY) == stored
    assert bare.calls == []
    again = cached(bare)
    assert get(again, KEY)[1] is get(again, KEY)[1]
    assert bare.calls == ["retrieve"]


def test_a_cached_answer_is_the_provider_s_answer(bare: Flaky) -> None:
    """JSON has no tuples, and what the caller changes later was not stored."""
    facts: dict[str, object] = {"pair": (1, 2), "deep": {"list": [1]}}
    provider = cached(bare)
    put(provider, KEY, b"data", attributes=facts)
    facts["deep"] = "changed"
    assert get(provider, KEY) == get(bare, KEY)
    assert get(provider, KEY)[0].attributes == {"pair": [1, 2], "deep": {"list": [1]}}


def test_large_artefacts_stream_past(bare: Flaky) -> None:
    """They are neither kept nor collected, and push nothing out."""
    provider = cached(bare)
    put(provider, "small", b"small")
    data = os.urandom(1 << 20)
    put(provider, KEY, data)
    bare.calls.clear()
    for _time in range(2):
        assert get(provider, KEY)[1] == data
    assert get(provider, "small")[1] == b"small"
    assert bare.calls == ["retrieve", "retrieve"]


def test_a_file_is_kept_once_it_is_read(bare: Flaky, tmp_path: Path) -> None:
    path = tmp_path / "evidence"
    path.write_bytes(b"evidence")
    provider = cached(bare)
    with closing(FilePayload(path)) as payload:
        provider.store(KEY, payload, described(KEY, payload))
    path.write_bytes(b"changed!")
    bare.calls.clear()
    assert [get(provider, KEY)[1] for _time in range(2)] == [b"evidence"] * 2
    assert bare.calls == ["retrieve"]


def test_a_read_that_is_not_finished_fills_nothing(bare: Flaky) -> None:
    put(bare, KEY, os.urandom(CHUNK_BYTES + 1))
    provider = cached(bare, limit_bytes=1 << 24)
    _metadata, chunks = provider.retrieve(KEY)
    next(chunks)
    chunks.close()
    bare.faults = [CHUNK_BYTES]
    with pytest.raises(TransientError):
        get(provider, KEY)
    bare.calls.clear()
    get(provider, KEY)
    assert bare.calls == ["retrieve"]


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_change_that_fails_leaves_nothing_behind(bare: Flaky, fault: str) -> None:
    """It may have had its effect or not: the provider is asked what is true."""
    provider = cached(bare)
    for change in (
        lambda: put(provider, KEY, b"new"),
        lambda: provider.delete(KEY),
        lambda: provider.set_aside(KEY),
    ):
        bare.faults = []
        put(provider, KEY, b"old")
        bare.faults = [fault]  # type: ignore[list-item]  # one of the two words
        with pytest.raises(TransientError):
            change()
        try:
            expected = get(bare, KEY)
        except MissingArtefactError:
            with pytest.raises(MissingArtefactError):
                get(provider, KEY)
            continue
        assert get(provider, KEY) == expected


def test_what_another_process_changed_is_seen_after_the_time_to_live(bare: Flaky) -> None:
    """Replaced or deleted there; it counts from before the read began, however long that took."""
    clock = Clock()
    mine, theirs = cached(bare, clock), cached(bare, clock)
    put(theirs, KEY, b"old")
    _metadata, chunks = mine.retrieve(KEY)
    clock.now_s += TTL_S / 2  # a slow read
    assert b"".join(chunks) == b"old"
    put(theirs, KEY, b"new")
    clock.now_s += TTL_S / 2
    assert get(mine, KEY)[1] == b"new"
    theirs.delete(KEY)
    clock.now_s += TTL_S
    with pytest.raises(MissingArtefactError):
        get(mine, KEY)
    with pytest.raises(MissingArtefactError):
        mine.get_metadata(KEY)


class Gate(MemoryStorageProvider):
    """A provider whose next call of a kind can be held up: before it did its work, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, tuple[threading.Event, threading.Event]] = {}

    def hold(self, moment: str) -> Callable[[], None]:
        """Give what waits until somebody is held up at this moment."""
        reached, opened = self.held[moment] = threading.Event(), threading.Event()
        assert not opened.is_set()
        return lambda: self._met(reached)

    @staticmethod
    def _met(event: threading.Event) -> None:
        assert event.wait(PATIENCE_S)

    def _pass(self, moment: str) -> None:
        if moment in self.held:
            reached, opened = self.held[moment]
            if not reached.is_set():
                reached.set()
                self._met(opened)

    def let_go(self, moment: str) -> None:
        self.held.pop(moment)[1].set()

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        found = super().retrieve(key)
        self._pass("after retrieve")
        return found

    def delete(self, key: str) -> int:
        self._pass("before delete")
        return super().delete(key)

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        self._pass("before store")
        stored = super().store(key, payload, metadata, replace=replace)
        self._pass("after store")
        return stored


def during(gate: Gate, moment: str, slow: Callable[[], object], meanwhile: Callable[[], object]) -> None:
    """`slow` is held up at the moment until `meanwhile` is done."""
    met = gate.hold(moment)
    thread = threading.Thread(target=slow)
    thread.start()
    met()
    meanwhile()
    gate.let_go(moment)
    thread.join()


def test_a_slow_read_brings_nothing_back_that_was_replaced() -> None:
    gate = Gate()
    provider = cached(gate)
    put(gate, KEY, b"old")
    during(gate, "after retrieve", lambda: get(provider, KEY), lambda: put(provider, KEY, b"new"))
    assert get(provider, KEY)[1] == b"new"


@pytest.mark.parametrize("change", ["delete", "set_aside"])
def test_a_slow_read_brings_nothing_back_that_is_gone(change: str) -> None:
    gate = Gate()
    provider = cached(gate)
    put(gate, KEY, b"old")
    during(gate, "after retrieve", lambda: get(provider, KEY), lambda: getattr(provider, change)(KEY))
    with pytest.raises(MissingArtefactError):
        get(provider, KEY)


def test_a_slow_store_brings_nothing_back_that_was_deleted_or_replaced() -> None:
    """The provider had it first and the other change last, though this call ended last."""
    for change in (lambda p: p.delete(KEY), lambda p: put(p, KEY, b"last")):
        gate = Gate()
        provider = cached(gate)
        during(
            gate,
            "after store",
            lambda provider=provider: put(provider, KEY, b"first"),
            lambda provider=provider, change=change: change(provider),
        )
        try:
            expected = get(gate, KEY)[1]
        except MissingArtefactError:
            with pytest.raises(MissingArtefactError):
                get(provider, KEY)
        else:
            assert get(provider, KEY)[1] == expected == b"last"


def test_a_read_that_began_during_a_store_keeps_nothing_old() -> None:
    gate = Gate()
    provider = cached(gate)
    put(provider, KEY, b"old")
    during(gate, "after store", lambda: put(provider, KEY, b"new"), lambda: get(provider, KEY))
    assert get(provider, KEY)[1] == b"new"


def test_a_read_that_began_during_a_store_and_ends_after_it_brings_nothing_back() -> None:
    """It saw the old artefact, because the store had not reached the provider yet."""
    gate = Gate()
    provider = cached(gate)
    put(gate, KEY, b"old")
    stored, read = gate.hold("before store"), gate.hold("after retrieve")
    storing = threading.Thread(target=lambda: put(provider, KEY, b"new"))
    reading = threading.Thread(target=lambda: get(provider, KEY))
    storing.start()
    stored()
    reading.start()
    read()
    gate.let_go("before store")
    storing.join()
    gate.let_go("after retrieve")
    reading.join()
    assert get(provider, KEY)[1] == b"new"


def test_a_read_during_a_deletion_brings_nothing_back() -> None:
    gate = Gate()
    provider = cached(gate)
    put(gate, KEY, b"old")
    during(gate, "before delete", lambda: provider.delete(KEY), lambda: get(provider, KEY))
    with pytest.raises(MissingArtefactError):
        get(provider, KEY)


def test_nobody_reads_what_was_replaced_before_he_asked() -> None:
    """Versions only grow: a read that begins after a store was acknowledged gives that one or a later one."""
    cache = CacheManager()
    provider = Cached(MemoryStorageProvider(), cache)
    put(provider, KEY, b"0")
    acknowledged, done, faults = [0], threading.Event(), list[str]()

    def read() -> None:
        while not done.is_set():
            least = acknowledged[0]
            try:
                seen = int(get(provider, KEY)[1])
            except MissingArtefactError:
                continue
            if seen < least:
                faults.append(f"{seen} after {least}")

    def forget() -> None:
        while not done.is_set():
            cache.delete(KEY)

    threads = [threading.Thread(target=read) for _n in range(3)] + [threading.Thread(target=forget)]
    for thread in threads:
        thread.start()
    for version in range(1, 1500):
        put(provider, KEY, b"%d" % version)
        acknowledged[0] = version
        if version % 50 == 0:
            provider.delete(KEY)
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []


def test_hits_and_misses_are_counted() -> None:
    """Each read counts once; asking for metadata does not."""
    cache, bare = CacheManager(), MemoryStorageProvider()
    provider = Cached(bare, cache)
    put(bare, KEY, b"x")
    for _time in range(3):
        get(provider, KEY)
    provider.get_metadata(KEY)
    with pytest.raises(MissingArtefactError):
        get(provider, "missing")
    counts = cache.counts()
    assert (counts.hits, counts.misses, counts.entries) == (2, 2, 1)
    assert 0 < counts.size_bytes < counts.limit_bytes


def test_an_empty_artefact_is_cached_too(bare: Flaky) -> None:
    manager = StorageManager(cached(bare))
    manager.store_data(KEY, b"")
    bare.calls.clear()
    assert manager.retrieve_data(KEY) == b""
    with manager.open(KEY) as source:
        assert source.read() == b""
    assert bare.calls == []
