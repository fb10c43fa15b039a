"""What waits here gets to the remote provider once, in order, whatever breaks off in between."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.errors import BusyError
from monitord.storage.artefact_store import open_folder
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
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from monitord.storage.artefacts.wrappers.uploading import UploadingProvider
from tests import preloaded


class Remote(PassThrough):
    """A remote provider that notes what it is asked for, and fails when told to."""

    def __init__(self, inner: StorageProvider) -> None:
        super().__init__(inner)
        self.stored: list[str] = []
        self.fails_in: int | None = None
        self.before_store: Callable[[], None] = lambda: None

    def _step(self) -> None:
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                raise TransientError("the remote provider is down")

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
def remote() -> Remote:
    return Remote(MemoryStorageProvider())


@pytest.fixture
def spool(tmp_path: Path, remote: Remote) -> Iterator[UploadingProvider]:
    opened = uploading(tmp_path / "artefacts", remote)
    yield opened
    opened.close()


def uploading(folder: Path, remote: StorageProvider | None) -> UploadingProvider:
    """A folder before a remote provider; its pending deletions lie beside it."""
    return UploadingProvider(
        FileStorageProvider(folder), remote, PendingDeletions(folder.with_name("deletions"))
    )


def waits_for_nothing(provider: UploadingProvider) -> bool:
    return [*provider.local.list(), *provider.pending.list()] == []


def everything(provider: StorageProvider) -> dict[str, bytes]:
    found = {}
    for key in provider.list():
        _metadata, chunks = provider.retrieve(key)
        found[key] = b"".join(chunks)
    return found


def put(provider: StorageProvider, key: str, data: bytes) -> None:
    StorageManager(provider).store_data(key, data)


def test_what_is_stored_is_moved_in_order_and_read_from_where_it_is(
    spool: UploadingProvider, remote: Remote
) -> None:
    """The order is that of storing, not of the keys."""
    keys = ["c", "a", "d/e", "b"]
    for number, key in enumerate(keys):
        put(spool, key, key.encode())
        os.utime(spool.local.path(key), ns=(number, number))
    assert (len(list(spool.local.list())), remote.stored) == (4, [])
    done = spool.upload_all()
    assert (done.moved, remote.stored) == (4, keys)
    assert list(spool.local.list()) == []
    assert waits_for_nothing(spool)
    assert everything(spool) == {key: key.encode() for key in keys} == everything(remote)
    assert spool.upload_all().is_nothing


def test_a_deletion_is_seen_at_once_and_passed_on(spool: UploadingProvider, remote: Remote) -> None:
    put(spool, "key", b"one")
    spool.upload_all()
    assert spool.delete("key") > 0
    assert (list(spool.list()), list(remote.list())) == ([], ["key"])
    with pytest.raises(MissingArtefactError):
        spool.retrieve("key")
    assert spool.delete("key") == 0
    assert spool.upload_all().deleted == 1
    assert (list(remote.list()), waits_for_nothing(spool)) == ([], True)


def test_what_is_replaced_while_it_is_uploaded_is_uploaded_again(
    spool: UploadingProvider, remote: Remote
) -> None:
    put(spool, "key", b"old")
    remote.before_store = lambda: put(spool, "key", b"new")
    spool.upload_all()
    assert everything(spool) == {"key": b"new"}
    remote.before_store = lambda: None
    spool.upload_all()
    assert everything(remote) == {"key": b"new"} == everything(spool)
    assert waits_for_nothing(spool)


def test_what_is_deleted_while_it_is_uploaded_stays_deleted(spool: UploadingProvider, remote: Remote) -> None:
    put(spool, "key", b"old")
    remote.before_store = lambda: spool.delete("key") and None
    spool.upload_all()
    assert list(spool.list()) == []
    remote.before_store = lambda: None
    spool.upload_all()
    assert list(remote.list()) == [] == list(spool.list())


def test_what_can_not_be_read_holds_up_nothing(spool: UploadingProvider, remote: Remote) -> None:
    put(spool, "good", b"x")
    (spool.local.base_path / "bad").write_bytes(b"somebody else's file")
    done = spool.upload_all()
    assert (done.moved, len(done.refused), list(remote.list())) == (1, 1, ["good"])
    with pytest.raises(DamagedArtefactError):
        spool.get_metadata("bad")
    spool.set_aside("bad")
    assert spool.upload_all().refused == []


def test_what_nobody_owns_yet_stays(spool: UploadingProvider, remote: Remote) -> None:
    """A recorder killed between a file and its row adopts the file when it is back: it must find it here."""
    put(spool, "mine", b"x")
    put(spool, "orphan", b"y")
    assert spool.upload_all(owned=lambda: {"mine"}).moved == 1
    assert (list(remote.list()), list(spool.local.list())) == (["mine"], ["orphan"])
    spool.delete("mine")
    put(spool, "mine", b"z")
    assert spool.upload_all(owned=lambda: {"orphan"}).moved == 1
    assert list(remote.list()) == ["mine", "orphan"], "what was stored again is not deleted there meanwhile"
    assert everything(spool) == {"mine": b"z", "orphan": b"y"}
    assert spool.upload_all().moved == 1
    assert everything(remote) == {"mine": b"z", "orphan": b"y"}


def test_who_was_killed_before_taking_a_deletion_back_loses_nothing(
    spool: UploadingProvider, remote: Remote
) -> None:
    """Stored again, and the older one's deletion still pending, while an upload is under way."""
    put(spool, "a", b"one")
    put(spool, "b", b"two")
    remote.before_store = lambda: remote.stored or spool.pending.add("b")
    spool.upload_all()
    spool.upload_all()
    assert everything(remote) == everything(spool) == {"a": b"one", "b": b"two"}


def test_one_process_uploads_at_a_time(spool: UploadingProvider, remote: Remote, tmp_path: Path) -> None:
    refused = []

    def again() -> None:
        with closing(uploading(tmp_path / "artefacts", remote.inner)) as other:
            try:
                other.upload_all()
            except BusyError as error:
                refused.append(str(error))

    put(spool, "key", b"x")
    remote.before_store = again
    spool.upload_all()
    assert len(refused) == 1


def test_a_full_spool_refuses_what_is_large_and_still_takes_what_is_small(
    tmp_path: Path, remote: Remote
) -> None:
    """It says what to do, leaves nothing of what it refused, and takes again when it was uploaded."""
    local = FileStorageProvider(tmp_path / "artefacts")
    with closing(
        UploadingProvider(local, remote, PendingDeletions(tmp_path / "deletions"), limit_bytes=1_000_000)
    ) as spool:
        kept, refusal = fill(spool, "large", 90_000)
        assert "storage.spool_mb" in str(refusal)
        assert "monitord status" in str(refusal)
        assert len(list(spool.list())) == kept == 9
        put(spool, "tiny", b"that it happened")
        fill(spool, "small", 60_000)
        assert local.total_bytes() <= 1_000_000
        spool.upload_all()
        put(spool, "large-again", os.urandom(90_000))


def fill(spool: UploadingProvider, name: str, size: int) -> tuple[int, DiskFullError]:
    """Store until no more goes in; how many did, and the refusal."""
    kept = 0
    while True:
        try:
            put(spool, f"{name}-{kept}", os.urandom(size))
        except SpoolFullError as refusal:
            return kept, refusal
        kept += 1


def test_a_folder_of_files_becomes_a_spool_as_it_is(tmp_path: Path, remote: Remote) -> None:
    """Switching from files to a remote provider: what is there is uploaded, and read all the time."""
    with closing(open_folder(tmp_path / "artefacts").artefacts) as files:
        for n in range(5):
            files.store_data(f"key-{n}", b"evidence" * 100, attributes={"n": n})
        before = {key: files.get_metadata(key) for key in files.list()}
    with closing(uploading(tmp_path / "artefacts", remote)) as spool:
        spool.upload_all()
        assert {key: remote.get_metadata(key) for key in remote.list()} == before


KEYS = st.sampled_from(["a", "b", "c", "d/e"])
STEPS = st.one_of(
    st.tuples(st.just("store"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("store near"), KEYS, st.integers(0, 3)),
    st.tuples(st.just("delete"), KEYS, st.just(0)),
    st.tuples(st.just("delete near"), KEYS, st.just(0)),
    st.tuples(st.just("upload"), st.just(""), st.integers(0, 12)),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_any_sequence_is_answered_as_by_a_dict(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]
) -> None:
    """Stored and deleted with and without sight of the remote one, uploaded and broken off at any call."""
    folder = tmp_path_factory.mktemp("spool") / "artefacts"
    remote = Remote(MemoryStorageProvider())
    model: dict[str, bytes] = {}
    whole = uploading(folder, remote)
    near = uploading(folder, None)
    for number, (step, key, argument) in enumerate(steps):
        provider = near if step.endswith("near") else whole
        if step.startswith("store"):
            model[key] = b"%d" % number * (argument + 1)
            put(provider, key, model[key])
        elif step.startswith("delete"):
            provider.delete(key)
            model.pop(key, None)
        else:
            remote.fails_in = argument if argument < 12 else None
            try:
                whole.upload_all()
            except TransientError:
                pass
            remote.fails_in = None
        assert everything(whole) == model
    for _ in range(2):
        whole.upload_all()
    assert everything(remote) == model
    assert waits_for_nothing(whole)
    near.close()
    whole.close()


def test_an_uploader_killed_at_any_step_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """kill -9 at every call to any provider, one after the other; what follows ends as if nothing had been."""
    number, killed = 0, 0
    while True:
        number += 1
        place = tmp_path / str(number)
        place.mkdir()
        model = prepared(place)
        done = upload_in_child(place, number)
        if done == 0:
            break
        assert done == -9
        killed += 1
        with closing(opened(place)) as spool:
            assert everything(spool) == model, f"after step {number}"
        assert upload_in_child(place, 0) == 0
        with closing(opened(place)) as spool:
            assert everything(spool) == model == everything(remote_of(place)), f"after step {number}"
            assert waits_for_nothing(spool)
    assert killed > 20


def prepared(place: Path) -> dict[str, bytes]:
    """A spool with one artefact to move, one to replace, one to delete, one deleted before it ever went."""
    with closing(opened(place)) as spool:
        for key in ("replaced", "deleted", "kept"):
            put(spool, key, b"old")
        spool.upload_all()
        put(spool, "never", b"seen")
        for key in ("never", "deleted"):
            spool.delete(key)
        put(spool, "replaced", b"new")
        put(spool, "fresh", b"fresh" * 100)
    return {"kept": b"old", "replaced": b"new", "fresh": b"fresh" * 100}


def opened(place: Path) -> UploadingProvider:
    return uploading(place / "artefacts", remote_of(place))


def remote_of(place: Path) -> FileStorageProvider:
    return FileStorageProvider(place / "remote")


def upload_in_child(place: Path, step: int) -> int:
    words = preloaded.command("uploader", str(place / "artefacts"), str(place / "remote"), str(step))
    return subprocess.run(words, stdout=subprocess.PIPE, timeout=240).returncode


def test_storing_deleting_and_uploading_at_once_keep_everything(tmp_path: Path) -> None:
    """A recorder and an uploader on one folder, both busy: in the end both places agree with what was done."""
    chance = random.Random(20261125)
    model: dict[str, bytes] = {}
    over = threading.Event()
    failures: list[BaseException] = []

    def upload() -> None:
        with closing(opened(tmp_path)) as uploader:
            try:
                while not over.is_set():
                    uploader.upload_all()
            except BaseException as error:  # noqa: BLE001 - told to the test's own thread
                failures.append(error)

    with closing(uploading(tmp_path / "artefacts", None)) as recorder:
        thread = threading.Thread(target=upload)
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
        spool.upload_all()
        assert everything(spool) == model == everything(remote_of(tmp_path))


def test_old_and_new_have_times_of_their_own(spool: UploadingProvider, remote: Remote) -> None:
    """Drained metadata are the stored ones, to the microsecond: an artefact can be told from its successor."""
    now = datetime.now(UTC)
    stored = StorageManager(spool).store_data("key", b"x", tags={"process": "web"}, attributes={"a": [1]})
    spool.upload_all()
    assert remote.get_metadata("key") == stored
    assert stored.created_at >= now
