"""What waits in the spool gets to the far provider once, in order, whatever breaks off in between."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.errors import BusyError, StorageError
from monitord.storage.artefacts import (
    DamagedArtefactError,
    DiskFullError,
    MissingArtefactError,
    SpoolFullError,
    StorageManager,
    StorageMetadata,
    TransientError,
)
from monitord.storage.artefacts.metadata import Payload
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.spooled import SpooledProvider
from monitord.storage.holdings import open_local

DRAIN_SCRIPT = Path(__file__).with_name("drain_process.py")


class Far(PassThrough):
    """A far provider that notes what it is asked for, and fails when told to."""

    def __init__(self, inner: StorageProvider) -> None:
        super().__init__(inner)
        self.stored: list[str] = []
        self.fails_in: int | None = None
        self.before_store: Callable[[], None] = lambda: None

    def _step(self) -> None:
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                raise TransientError("the far provider is down")

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        self._step()
        self.before_store()
        stored = self.inner.store(key, payload, metadata, replace=replace)
        self.stored.append(key)
        self._step()
        return stored

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        self._step()
        return self.inner.retrieve(key)

    def delete(self, key: str) -> int:
        self._step()
        freed = self.inner.delete(key)
        self._step()
        return freed


@pytest.fixture
def far() -> Far:
    return Far(MemoryStorageProvider())


@pytest.fixture
def spool(tmp_path: Path, far: Far) -> Iterator[SpooledProvider]:
    opened = SpooledProvider(FileStorageProvider(tmp_path / "artefacts"), far)
    yield opened
    opened.close()


def everything(provider: StorageProvider) -> dict[str, bytes]:
    found = {}
    for key in provider.list():
        _metadata, chunks = provider.retrieve(key)
        found[key] = b"".join(chunks)
    return found


def put(provider: StorageProvider, key: str, data: bytes) -> None:
    StorageManager(provider).store_data(key, data)


def test_what_is_stored_is_moved_in_order_and_read_from_where_it_is(spool: SpooledProvider, far: Far) -> None:
    """The order is that of storing, not of the keys."""
    keys = ["c", "a", "d/e", "b"]
    for number, key in enumerate(keys):
        put(spool, key, key.encode())
        os.utime(spool.local.path(key), ns=(number, number))
    assert (spool.waiting().artefacts, far.stored) == (4, [])
    done = spool.drain()
    assert (done.moved, far.stored) == (4, keys)
    assert list(spool.local.list()) == []
    assert spool.waiting().is_nothing
    assert everything(spool) == {key: key.encode() for key in keys} == everything(far)
    assert spool.drain().is_nothing


def test_a_deletion_is_seen_at_once_and_passed_on(spool: SpooledProvider, far: Far) -> None:
    put(spool, "key", b"one")
    spool.drain()
    assert spool.delete("key") > 0
    assert (list(spool.list()), list(far.list())) == ([], ["key"])
    with pytest.raises(MissingArtefactError):
        spool.retrieve("key")
    assert spool.delete("key") == 0
    assert spool.drain().deleted == 1
    assert (list(far.list()), spool.waiting().is_nothing) == ([], True)


def test_who_can_not_see_far_deletes_and_stores_all_the_same(
    spool: SpooledProvider, far: Far, tmp_path: Path
) -> None:
    """The recorder, beside the courier that can: nothing that it deleted comes back."""
    for key in ("kept", "gone", "again"):
        put(spool, key, b"old")
    spool.drain()
    with closing(SpooledProvider(FileStorageProvider(tmp_path / "artefacts"), None)) as near:
        assert list(near.list()) == []
        near.delete("gone")
        near.delete("again")
        put(near, "again", b"new")
    assert everything(spool) == {"kept": b"old", "again": b"new"}
    spool.drain()
    assert everything(far) == {"kept": b"old", "again": b"new"}


def test_what_is_replaced_while_it_is_drained_is_drained_again(spool: SpooledProvider, far: Far) -> None:
    put(spool, "key", b"old")
    far.before_store = lambda: put(spool, "key", b"new")
    spool.drain()
    assert everything(spool) == {"key": b"new"}
    far.before_store = lambda: None
    spool.drain()
    assert everything(far) == {"key": b"new"} == everything(spool)
    assert spool.waiting().is_nothing


def test_what_is_deleted_while_it_is_drained_stays_deleted(spool: SpooledProvider, far: Far) -> None:
    put(spool, "key", b"old")
    far.before_store = lambda: spool.delete("key") and None
    spool.drain()
    assert list(spool.list()) == []
    far.before_store = lambda: None
    spool.drain()
    assert list(far.list()) == [] == list(spool.list())


def test_what_the_far_provider_gives_back_changed_stays_here(tmp_path: Path) -> None:
    """Read back before the local copy goes: a peer may lie."""
    liar = MemoryStorageProvider()
    with closing(SpooledProvider(FileStorageProvider(tmp_path / "artefacts"), liar)) as spool:
        put(spool, "key", b"the truth")
        store = liar.store

        def lie(
            key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
        ) -> StorageMetadata:
            stored = store(key, payload, metadata, replace=replace)
            head, body = liar._kept[key]
            liar._kept[key] = (head, body.replace(b"truth", b"trath"))
            return stored

        liar.store = lie  # type: ignore[method-assign]  # this peer lies
        with pytest.raises(StorageError, match="changed"):
            spool.drain()
        assert everything(spool) == {"key": b"the truth"}


def test_what_can_not_be_read_holds_up_nothing(spool: SpooledProvider, far: Far) -> None:
    put(spool, "good", b"x")
    (spool.local.base_path / "bad").write_bytes(b"somebody else's file")
    done = spool.drain()
    assert (done.moved, len(done.refused), list(far.list())) == (1, 1, ["good"])
    with pytest.raises(DamagedArtefactError):
        spool.get_metadata("bad")
    spool.set_aside("bad")
    assert spool.drain().refused == []


def test_what_nobody_owns_yet_stays(spool: SpooledProvider, far: Far) -> None:
    """A recorder killed between a file and its row adopts the file when it is back: it must find it here."""
    put(spool, "mine", b"x")
    put(spool, "orphan", b"y")
    assert spool.drain(owned=lambda: {"mine"}).moved == 1
    assert (list(far.list()), list(spool.local.list())) == (["mine"], ["orphan"])
    spool.delete("mine")
    put(spool, "mine", b"z")
    assert spool.drain(owned=lambda: {"orphan"}).moved == 1
    assert list(far.list()) == ["mine", "orphan"], "what was stored again is not deleted there meanwhile"
    assert everything(spool) == {"mine": b"z", "orphan": b"y"}
    assert spool.drain().moved == 1
    assert everything(far) == {"mine": b"z", "orphan": b"y"}


def test_one_process_drains_at_a_time(spool: SpooledProvider, far: Far, tmp_path: Path) -> None:
    refused = []

    def again() -> None:
        with closing(SpooledProvider(FileStorageProvider(tmp_path / "artefacts"), far.inner)) as other:
            try:
                other.drain()
            except BusyError as error:
                refused.append(str(error))

    put(spool, "key", b"x")
    far.before_store = again
    spool.drain()
    assert len(refused) == 1


def test_a_full_spool_refuses_what_is_large_and_still_takes_what_is_small(tmp_path: Path, far: Far) -> None:
    """It says what to do, leaves nothing of what it refused, and takes again when it was drained."""
    local = FileStorageProvider(tmp_path / "artefacts")
    with closing(SpooledProvider(local, far, limit_bytes=1_000_000)) as spool:
        kept, refusal = fill(spool, "large", 90_000)
        assert "storage.spool_mb" in str(refusal)
        assert "monitord status" in str(refusal)
        assert len(list(spool.list())) == kept == 9
        put(spool, "tiny", b"that it happened")
        fill(spool, "small", 60_000)
        assert local.total_bytes() <= 1_000_000
        spool.drain()
        put(spool, "large-again", os.urandom(90_000))


def fill(spool: SpooledProvider, name: str, size: int) -> tuple[int, DiskFullError]:
    """Store until no more goes in; how many did, and the refusal."""
    kept = 0
    while True:
        try:
            put(spool, f"{name}-{kept}", os.urandom(size))
        except SpoolFullError as refusal:
            return kept, refusal
        kept += 1


def test_a_folder_of_files_becomes_a_spool_as_it_is(tmp_path: Path, far: Far) -> None:
    """Switching from files to a far provider: what is there is drained, and read all the time."""
    with closing(open_local(tmp_path / "artefacts").artefacts) as files:
        for n in range(5):
            files.store_data(f"key-{n}", b"evidence" * 100, attributes={"n": n})
        before = {key: files.get_metadata(key) for key in files.list()}
    with closing(SpooledProvider(FileStorageProvider(tmp_path / "artefacts"), far)) as spool:
        spool.drain()
        assert {key: far.get_metadata(key) for key in far.list()} == before


KEYS = st.sampled_from(["a", "b", "c", "d/e"])
STEPS = st.one_of(
    st.tuples(st.just("store"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("store near"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("delete"), KEYS, st.just(0)),
    st.tuples(st.just("delete near"), KEYS, st.just(0)),
    st.tuples(st.just("drain"), st.just(""), st.integers(0, 12)),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_any_sequence_is_answered_as_by_a_dict(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    """Stored and deleted with and without sight of the far one, drained and broken off at any call."""
    folder = tmp_path_factory.mktemp("spool") / "artefacts"
    far = Far(MemoryStorageProvider())
    model: dict[str, bytes] = {}
    whole = SpooledProvider(FileStorageProvider(folder), far)
    near = SpooledProvider(FileStorageProvider(folder), None)
    for number, (step, key, argument) in enumerate(steps):
        provider = near if step.endswith("near") else whole
        if step.startswith("store"):
            model[key] = b"%d" % number * (argument + 1)
            put(provider, key, model[key])
        elif step.startswith("delete"):
            provider.delete(key)
            model.pop(key, None)
        else:
            far.fails_in = argument if argument < 12 else None
            try:
                whole.drain()
            except TransientError:
                pass
            far.fails_in = None
        assert everything(whole) == model
    for _ in range(2):
        whole.drain()
    assert everything(far) == model
    assert whole.waiting().is_nothing
    near.close()
    whole.close()


def test_a_courier_killed_at_any_step_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """kill -9 at every call to any provider, one after the other; what follows ends as if nothing had been."""
    number, killed = 0, 0
    while True:
        number += 1
        place = tmp_path / str(number)
        place.mkdir()
        model = prepared(place)
        done = drain_in_child(place, number)
        if done == 0:
            break
        assert done == -9
        killed += 1
        with closing(opened(place)) as spool:
            assert everything(spool) == model, f"after step {number}"
        assert drain_in_child(place, 0) == 0
        with closing(opened(place)) as spool:
            assert everything(spool) == model == everything(far_of(place)), f"after step {number}"
            assert spool.waiting().is_nothing
    assert killed > 20


def prepared(place: Path) -> dict[str, bytes]:
    """A spool with one artefact to move, one to replace, one to delete, one deleted before it ever went."""
    with closing(opened(place)) as spool:
        for key in ("replaced", "deleted", "kept"):
            put(spool, key, b"old")
        spool.drain()
        put(spool, "never", b"seen")
        for key in ("never", "deleted"):
            spool.delete(key)
        put(spool, "replaced", b"new")
        put(spool, "fresh", b"fresh" * 100)
    return {"kept": b"old", "replaced": b"new", "fresh": b"fresh" * 100}


def opened(place: Path) -> SpooledProvider:
    return SpooledProvider(FileStorageProvider(place / "artefacts"), far_of(place))


def far_of(place: Path) -> FileStorageProvider:
    return FileStorageProvider(place / "far")


def drain_in_child(place: Path, step: int) -> int:
    words = [sys.executable, str(DRAIN_SCRIPT), str(place / "artefacts"), str(place / "far"), str(step)]
    return subprocess.run(words, stdout=subprocess.PIPE, timeout=240).returncode


def test_storing_deleting_and_draining_at_once_keep_everything(tmp_path: Path) -> None:
    """A recorder and a courier on one folder, both busy: in the end both places agree with what was done."""
    chance = random.Random(20261125)
    model: dict[str, bytes] = {}
    over = threading.Event()
    failures: list[BaseException] = []

    def drain() -> None:
        with closing(opened(tmp_path)) as courier:
            try:
                while not over.is_set():
                    courier.drain()
            except BaseException as error:  # noqa: BLE001 - told to the test's own thread
                failures.append(error)

    with closing(SpooledProvider(FileStorageProvider(tmp_path / "artefacts"), None)) as recorder:
        thread = threading.Thread(target=drain)
        thread.start()
        for number in range(400):
            key = f"key-{chance.randrange(6)}"
            if chance.random() < 0.6:
                model[key] = b"%d" % number * chance.randrange(1, 200)
                put(recorder, key, model[key])
            else:
                recorder.delete(key)
                model.pop(key, None)
        over.set()
        thread.join()
    assert failures == []
    with closing(opened(tmp_path)) as spool:
        assert everything(spool) == model
        spool.drain()
        assert everything(spool) == model == everything(far_of(tmp_path))


def test_old_and_new_have_times_of_their_own(spool: SpooledProvider, far: Far) -> None:
    """Drained metadata are the stored ones, to the microsecond: an artefact can be told from its successor."""
    now = datetime.now(UTC)
    stored = StorageManager(spool).store_data("key", b"x", tags={"process": "web"}, attributes={"a": [1]})
    spool.drain()
    assert far.get_metadata("key") == stored
    assert stored.created_at >= now
