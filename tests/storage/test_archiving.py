"""Archiving: nothing is lost at any step, nothing is left behind, and reading goes on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    MissingArtefactError,
)
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring
from monitord.storage.artefacts.lifecycle import ArchiveAfter, ArtefactInventory, LifecycleManager, MaxAge
from monitord.storage.artefacts.manager import StorageManager, measure
from monitord.storage.artefacts.metadata import BytesPayload, DerivedPayload, Payload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.rotation import rotate
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider, copy_name
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
KEY = "20260301T030000Z-4711-abcdefghijkl-profile.folded.zst"
DATA = os.urandom(600_000)


def put(provider: StorageProvider, data: bytes = DATA, key: str = KEY, at: datetime = NOW) -> StorageMetadata:
    size, checksum = measure(BytesPayload(data))
    metadata = StorageMetadata(key, size, at, at, checksum, {"kind": "capture"}, attributes={"of": "it"})
    return provider.store(key, BytesPayload(data), metadata)


def get(provider: StorageProvider, key: str = KEY) -> bytes:
    _metadata, chunks = provider.retrieve(key)
    with closing(chunks):
        return b"".join(chunks)


class Watched(PassThrough):
    """A provider that tells `tick` before and after every call, and between two pieces of a body."""

    def __init__(self, inner: StorageProvider, tick: Callable[[str], None]) -> None:
        super().__init__(inner)
        self.tick = tick

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        self.tick("store")
        stored = self.inner.store(key, DerivedPayload(payload, self._each), metadata, replace=replace)
        self.tick("stored")
        return stored

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        self.tick("exchange")
        stored = exchanging(self.inner).exchange(key, payload, metadata, expected=expected)
        self.tick("exchanged")
        return stored

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        self.tick("retrieve")
        metadata, chunks = self.inner.retrieve(key)
        return metadata, self._each(chunks)

    def get_metadata(self, key: str) -> StorageMetadata:
        self.tick("look")
        metadata = self.inner.get_metadata(key)
        self.tick("looked")
        return metadata

    def delete(self, key: str) -> int:
        self.tick("delete")
        freed = self.inner.delete(key)
        self.tick("deleted")
        return freed

    def _each(self, chunks: Iterator[bytes]) -> Generator[bytes]:
        for chunk in chunks:
            self.tick("chunk")
            yield chunk


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------------------------ what moves


def test_encrypted_bytes_move_as_they_are_and_stay_readable_after_a_rotation(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    """The archive sees no key and no plain byte; the pointer's data key can be wrapped anew without it."""
    old, new = EncryptionKey(bytes(range(32))), EncryptionKey(bytes(range(1, 33)))
    archiving = ArchivingProvider(near, far, pending)
    provider = compose(archiving, keyring=Keyring(old), follows_pointers=True)
    secret = b"the words of the command " * 20_000
    stored = put(provider, secret)
    kept_bytes = near.get_metadata(KEY).stored_size
    archiving.upload(KEY)
    assert far.get_metadata(next(far.list())).stored_size == kept_bytes
    assert not any(b"words of the command" in piece for kept in far._kept.values() for piece in kept)
    found = provider.get_metadata(KEY)
    assert changed(found, archived_in=None, stored_size=0) == changed(stored, stored_size=0)
    assert get(provider) == secret
    rotated = Keyring(new, old)
    assert rotate(near, rotated, [KEY]) == 1
    assert get(compose(archiving, keyring=Keyring(new), follows_pointers=True)) == secret


# ------------------------------------------------------------------------------------ who is quicker


@pytest.mark.parametrize("step", ["store", "chunk", "stored", "retrieve"])
def test_what_is_deleted_while_it_is_archived_stays_deleted(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions, step: str
) -> None:
    """By anybody: another process knows nothing of the archiving. The copy goes too."""

    def tick(what: str) -> None:
        if what == step:
            near.delete(KEY)

    provider = ArchivingProvider(near, Watched(far, tick), pending)
    put(provider)
    with pytest.raises((MissingArtefactError, ArtefactChangedError)):
        provider.upload(KEY)
    assert list(near.list()) == []
    provider.delete_pending()
    assert get_all(far) == []


def get_all(provider: StorageProvider) -> list[str]:
    return list(provider.list())


def test_what_is_replaced_while_it_is_archived_is_the_new_one(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    new = os.urandom(5000)

    def tick(what: str) -> None:
        if what == "stored":
            put(near, new, at=NOW + timedelta(hours=1))

    provider = ArchivingProvider(near, Watched(far, tick), pending)
    put(provider)
    with pytest.raises(ArtefactChangedError):
        provider.upload(KEY)
    assert get(provider) == new
    provider.delete_pending()
    assert get_all(far) == []


def test_two_who_archive_the_same_at_once_both_succeed(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    def tick(what: str) -> None:
        if what == "stored":
            ArchivingProvider(near, far, pending).upload(KEY)

    put(near)
    pointer = ArchivingProvider(near, Watched(far, tick), pending).upload(KEY)
    assert pointer == near.get_metadata(KEY)
    assert get(ArchivingProvider(near, far, pending)) == DATA


def test_an_old_version_that_comes_late_does_not_take_the_new_ones_place_in_the_archive(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    """Replaced and archived by somebody else while the old one was on its way: the new one's copy is whole."""
    new = os.urandom(5000)

    def tick(what: str) -> None:
        if what == "store":
            other = ArchivingProvider(near, far, pending)
            put(other, new, at=NOW + timedelta(hours=1))
            other.upload(KEY)

    provider = ArchivingProvider(near, Watched(far, tick), pending)
    put(provider)
    with pytest.raises(ArtefactError):
        provider.upload(KEY)
    assert get(provider) == new
    provider.delete_pending()
    assert get(provider) == new
    assert len(get_all(far)) == 1


class Machine:
    """Files with an archive behind them; a second user with objects of its own acts in the middle of a step."""

    def __init__(self, folder: Path, meets_at: int) -> None:
        folder.mkdir()
        self.folder, self.meets_at, self.steps = folder, meets_at, 0
        self.archive = FileStorageProvider(folder / "archive")
        self.lock = folder / "deletions" / ".lock"
        self.met = threading.Thread()
        self.provider = self.open(lambda _what: None)
        put(self.provider)

    def open(self, tick: Callable[[str], None]) -> ArchivingProvider:
        files = Watched(FileStorageProvider(self.folder / "artefacts"), tick)
        archive = FileStorageProvider(self.folder / "archive")
        return ArchivingProvider(files, archive, PendingDeletions(self.folder / "deletions"))

    def meet(self, one: str, other: str) -> None:
        """One begins; at that step of it the other does all it does, or waits when it has to."""

        def tick(_what: str) -> None:
            self.steps += 1
            if self.steps == self.meets_at:
                has_to_wait = self.is_locked()
                self.met = threading.Thread(target=act, args=(other, self.open(lambda _what: None)))
                self.met.start()
                if not has_to_wait:
                    self.met.join()

        act(one, self.open(tick))
        if self.steps >= self.meets_at:
            self.met.join()

    def is_locked(self) -> bool:
        if not self.lock.exists():
            return False
        with self.lock.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def pointers(self) -> list[str]:
        here = [self.provider.get_metadata(key) for key in self.provider.list()]
        return [copy_name(metadata) for metadata in here if metadata.archived_in is not None]


def act(what: str, provider: ArchivingProvider) -> None:
    with contextlib.suppress(MissingArtefactError, ArtefactChangedError), closing(provider):
        if what == "upload":
            provider.upload(KEY)
        elif what == "delete":
            provider.delete(KEY)
        else:
            put(provider, DATA[:1000], at=NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("one", "other"),
    [("upload", "delete"), ("upload", "replace"), ("delete", "upload"), ("replace", "upload")],
)
def test_whatever_meets_an_upload_at_any_step_the_archive_holds_what_pointers_lead_to(
    tmp_path: Path, one: str, other: str
) -> None:
    """Neither a copy that nobody knows of, nor a deletion that waits for ever."""
    for number in count(1):
        machine = Machine(tmp_path / str(number), number)
        machine.meet(one, other)
        machine.provider.delete_pending()
        assert list(machine.archive.list()) == machine.pointers(), f"met at step {number}"
        assert machine.provider.pending.list() == []
        if machine.steps < number:
            break
    assert number > 2, "too few steps for this to say anything"


def test_a_copy_whose_upload_was_killed_at_its_end_is_settled_and_outlives_a_damaged_pointer(
    tmp_path: Path,
) -> None:
    """The entry that would delete it goes while the pointer can be read, and does nothing while it can't."""
    machine = Machine(tmp_path / "machine", 0)
    pointer = machine.provider.upload(KEY)
    path = machine.folder / "artefacts" / KEY
    whole = path.read_bytes()
    machine.provider.pending.add(copy_name(pointer))  # what a kill before the last step leaves
    path.write_bytes(whole[:12] + bytes([whole[12] ^ 0xFF]) + whole[13:])
    assert machine.provider.delete_pending() == 0
    path.write_bytes(whole)
    assert get(machine.provider) == DATA
    assert machine.provider.delete_pending() == 0
    assert machine.provider.pending.list() == []


# ------------------------------------------------------------------------------------ all together


def test_a_lifecycle_archives_by_age_and_deletes_later_both_here_and_there(
    tmp_path: Path, pending: PendingDeletions
) -> None:
    near, far = (FileStorageProvider(tmp_path / name) for name in ("near", "far"))
    archiving = ArchivingProvider(near, far, pending)
    clock = [NOW]
    provider = compose(archiving, follows_pointers=True)
    manager = StorageManager(provider, now=lambda: clock[0])
    for number in range(30):
        clock[0] = NOW + timedelta(hours=number)
        manager.store_data(f"k{number:02}", DATA[: 1000 * number])
    policies = {"age": MaxAge(timedelta(hours=72)), "archive": ArchiveAfter(timedelta(hours=24))}
    lifecycle = LifecycleManager(policies, ArtefactInventory(provider, archiver=archiving))
    report = lifecycle.apply_policies(NOW + timedelta(hours=34))
    assert ([len(report.archived), len(report.deleted)], report.is_fine) == ([10, 0], True)
    assert lifecycle.apply_policies(NOW + timedelta(hours=34)).archived == ()
    assert len(files_of(tmp_path / "far")) == 10
    assert all(manager.retrieve_data(f"k{number:02}") == DATA[: 1000 * number] for number in range(30))
    report = lifecycle.apply_policies(NOW + timedelta(hours=77))
    assert {decision.key for decision in report.deleted} == {f"k{number:02}" for number in range(5)}
    assert archiving.delete_pending() == 5
    assert len(files_of(tmp_path / "far")) == 25
    manager.close()
