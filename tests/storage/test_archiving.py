"""Archiving: nothing is lost at any step, nothing is left behind, and reading goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    DamagedArtefactError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.keyring import Keyring, SealingKey
from monitord.storage.artefacts.lifecycle import ArchiveAfter, ArtefactInventory, LifecycleManager, MaxAge
from monitord.storage.artefacts.manager import StorageManager, measure
from monitord.storage.artefacts.metadata import BytesPayload, DerivedPayload, Payload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.rotation import rotate
from monitord.storage.artefacts.wrappers.archived import ArchivingProvider, copy_name
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging
from monitord.storage.artefacts.wrappers.tombstones import Tombstones

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

    def delete(self, key: str) -> int:
        self.tick("delete")
        freed = self.inner.delete(key)
        self.tick("deleted")
        return freed

    def _each(self, chunks: Iterator[bytes]) -> Generator[bytes]:
        for chunk in chunks:
            self.tick("chunk")
            yield chunk


@pytest.fixture
def near() -> MemoryStorageProvider:
    return MemoryStorageProvider()


@pytest.fixture
def far() -> MemoryStorageProvider:
    provider = MemoryStorageProvider()
    provider.name = "far"
    return provider


# ------------------------------------------------------------------------------------ kill -9


def in_a_child_that_dies(folder: Path, work: Callable[[ArchivingProvider], object], at: int) -> bool:
    """Do it in a process that is killed at the given step, with real files; whether it lived to its end."""
    child = os.fork()
    if child == 0:
        left = at

        def tick(_what: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            near = Watched(FileStorageProvider(folder / "near"), tick)
            work(ArchivingProvider(near, Watched(FileStorageProvider(folder / "far"), tick)))
            code = 0
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def opened(folder: Path) -> ArchivingProvider:
    return ArchivingProvider(FileStorageProvider(folder / "near"), FileStorageProvider(folder / "far"))


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_killed_at_any_step_of_archiving_nothing_is_lost_and_a_second_attempt_finishes(
    tmp_path: Path,
) -> None:
    steps, lived = 0, False
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
        lived = in_a_child_that_dies(folder, lambda provider: provider.archive(KEY), at=steps)
        with closing(opened(folder)) as provider:
            assert get(provider) == DATA
            assert list(provider.list()) == [KEY]
            pointer = provider.archive(KEY)
            assert provider.archive(KEY) == pointer == provider.get_metadata(KEY)
            assert (get(provider), pointer.archived_in) == (DATA, "file")
            assert list(provider.unreferenced()) == []
            assert provider.delete(KEY) == pointer.stored_size < 1000
            assert [name for name in files_of(folder) if not name.endswith(".part")] == []
        steps += 1
    assert steps > 15, "too few steps for this to say anything"


def test_killed_at_any_step_of_a_deletion_a_second_one_finishes(tmp_path: Path) -> None:
    steps, lived = 0, False
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
            provider.archive(KEY)
        lived = in_a_child_that_dies(folder, lambda provider: provider.delete(KEY), at=steps)
        with closing(opened(folder)) as provider:
            provider.delete(KEY)
            assert list(provider.list()) == []
        assert files_of(folder) == []
        steps += 1
    assert steps >= 4


def test_killed_while_another_takes_its_place_the_old_or_the_new_one_is_there(tmp_path: Path) -> None:
    steps, lived, new = 0, False, os.urandom(300_000)
    while not lived:
        folder = tmp_path / str(steps)
        folder.mkdir()
        with closing(opened(folder)) as provider:
            put(provider)
            provider.archive(KEY)
        lived = in_a_child_that_dies(
            folder, lambda provider: put(provider, new, at=NOW + timedelta(hours=1)), at=steps
        )
        with closing(opened(folder)) as provider:
            assert get(provider) in ((new,) if lived else (DATA, new))
            provider.archive(KEY)
            assert get(provider) in (DATA, new)
        steps += 1
    assert steps >= 6


# ------------------------------------------------------------------------------------ what moves


def test_sealed_bytes_move_as_they_are_and_stay_readable_after_a_rotation(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    """The archive sees no key and no plain byte; the pointer's data key can be wrapped anew without it."""
    old, new = SealingKey(bytes(range(32))), SealingKey(bytes(range(1, 33)))
    archiving: list[ArchivingProvider] = []

    def around(inner: StorageProvider) -> StorageProvider:
        archiving.append(ArchivingProvider(inner, far))
        return archiving[-1]

    provider = compose(near, keyring=Keyring(old), archive=around)
    secret = b"the words of the command " * 20_000
    stored = put(provider, secret)
    kept_bytes = near.get_metadata(KEY).stored_size
    archiving[0].archive(KEY)
    assert far.get_metadata(next(far.list())).stored_size == kept_bytes
    assert not any(b"words of the command" in piece for kept in far._kept.values() for piece in kept)
    found = provider.get_metadata(KEY)
    assert changed(found, archived_in=None, stored_size=0) == changed(stored, stored_size=0)
    assert get(provider) == secret
    rotated = Keyring(new, old)
    assert rotate(near, rotated, [KEY]) == 1
    assert get(compose(near, keyring=Keyring(new), archive=around)) == secret


def test_what_is_in_the_archive_already_is_not_sent_again(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    done: list[str] = []
    provider = ArchivingProvider(near, Watched(far, done.append))
    before = put(provider)
    provider.archive(KEY)
    near.exchange(KEY, BytesPayload(DATA), before, expected=near.get_metadata(KEY))  # as before the pointer
    provider.archive(KEY)
    assert done.count("store") == 1
    assert get(provider) == DATA


class Flipping(PassThrough):
    """An archive that gives other bytes back than it got."""

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        metadata, chunks = self.inner.retrieve(key)
        return metadata, (bytes(255 - byte for byte in chunk) for chunk in chunks)


def test_what_comes_back_otherwise_from_the_archive_stays_here(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    provider = ArchivingProvider(near, Flipping(far))
    stored = put(provider)
    with pytest.raises(DamagedArtefactError, match="stays where it was"):
        provider.archive(KEY)
    assert provider.get_metadata(KEY) == stored
    assert get(provider) == DATA


# ------------------------------------------------------------------------------------ who is quicker


@pytest.mark.parametrize("step", ["store", "chunk", "stored", "retrieve"])
def test_what_is_deleted_while_it_is_archived_stays_deleted(
    near: MemoryStorageProvider, far: MemoryStorageProvider, step: str
) -> None:
    """By anybody: another process knows nothing of the archiving. The copy goes too."""

    def tick(what: str) -> None:
        if what == step:
            near.delete(KEY)

    provider = ArchivingProvider(near, Watched(far, tick))
    put(provider)
    with pytest.raises((MissingArtefactError, ArtefactChangedError)):
        provider.archive(KEY)
    assert list(near.list()) == []
    assert get_all(far) == []


def get_all(provider: StorageProvider) -> list[str]:
    return list(provider.list())


def test_what_is_replaced_while_it_is_archived_is_the_new_one(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    new = os.urandom(5000)

    def tick(what: str) -> None:
        if what == "stored":
            put(near, new, at=NOW + timedelta(hours=1))

    provider = ArchivingProvider(near, Watched(far, tick))
    put(provider)
    with pytest.raises(ArtefactChangedError):
        provider.archive(KEY)
    assert get(provider) == new
    assert get_all(far) == []


def test_two_who_archive_the_same_at_once_both_succeed(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    def tick(what: str) -> None:
        if what == "exchange":
            ArchivingProvider(near, far).archive(KEY)

    put(near)
    pointer = ArchivingProvider(Watched(near, tick), far).archive(KEY)
    assert pointer == near.get_metadata(KEY)
    assert get(ArchivingProvider(near, far)) == DATA


def test_an_old_version_that_comes_late_does_not_take_the_new_ones_place_in_the_archive(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    """Replaced and archived by somebody else while the old one was on its way: the new one's copy is whole."""
    new = os.urandom(5000)

    def tick(what: str) -> None:
        if what == "store":
            other = ArchivingProvider(near, far)
            put(other, new, at=NOW + timedelta(hours=1))
            other.archive(KEY)

    provider = ArchivingProvider(near, Watched(far, tick))
    put(provider)
    with pytest.raises(ArtefactError):
        provider.archive(KEY)
    assert get(provider) == new
    assert len(get_all(far)) == 1


# ------------------------------------------------------------------------------------ an archive that is away


class Away(PassThrough):
    """An archive that answers nothing; counts who asked."""

    asked = 0
    is_away = True

    def _ask(self) -> None:
        self.asked += 1
        if self.is_away:
            raise TransientError("time ran out")

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        self._ask()
        return self.inner.store(key, payload, metadata, replace=replace)

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        self._ask()
        return self.inner.retrieve(key)

    def delete(self, key: str) -> int:
        self._ask()
        return self.inner.delete(key)


def test_while_the_archive_is_away_nothing_is_half_done_and_what_is_here_goes_on(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    away, seconds = Away(far), [0.0]
    away.is_away = False
    provider = ArchivingProvider(near, away, clock=lambda: seconds[0])
    for number in range(50):
        put(provider, b"%d" % number * 1000, f"old/{number:02}")
        provider.archive(f"old/{number:02}")
    put(provider, key="new")
    away.is_away, away.asked = True, 0
    policies = {"age": MaxAge(timedelta(hours=1)), "archive": ArchiveAfter(timedelta(0))}
    inventory = ArtefactInventory(provider, archiver=provider)
    report = LifecycleManager(policies, inventory).apply_policies(NOW + timedelta(minutes=1))
    assert [failure.key for failure in report.failures] == ["new"]
    report = LifecycleManager(policies, inventory).apply_policies(NOW + timedelta(hours=2))
    assert [decision.key for decision in report.deleted] == ["new"]
    assert len(report.failures) == 50
    assert away.asked == 1, "fifty deletions wait for it once"
    assert len(get_all(near)) == len(get_all(far)) == 50
    away.is_away = False
    assert get(provider, "old/07") == b"7" * 1000, "reading is always tried"
    seconds[0] += 61
    assert LifecycleManager(policies, inventory).apply_policies(NOW + timedelta(hours=2)).is_fine
    assert get_all(near) == get_all(far) == []


def test_a_copy_that_could_not_be_removed_is_told(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    """The new artefact counts; what the old one left in the archive is for a person to find."""
    away = Away(far)
    away.is_away = False
    provider = ArchivingProvider(near, away, clock=lambda: 0.0)
    put(provider)
    provider.archive(KEY)
    away.is_away = True
    put(provider, b"new", at=NOW + timedelta(hours=1))
    assert get(provider) == b"new"
    assert list(provider.unreferenced()) == get_all(far)
    assert len(get_all(far)) == 1


def test_without_its_archive_a_pointer_is_seen_but_neither_read_nor_deleted(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    """Deleting only the pointer would leave the bytes behind; and what is no pointer works as ever."""
    put(near)
    ArchivingProvider(near, far).archive(KEY)
    for archive in (None, MemoryStorageProvider()):
        provider = ArchivingProvider(near, archive)
        put(provider, b"local", "other")
        assert get_all(provider) == [KEY, "other"]
        assert provider.get_metadata(KEY).archived_in == "far"
        for use in (provider.retrieve, provider.delete):
            with pytest.raises(ArtefactError, match="archive 'far', which is not configured"):
                use(KEY)
        assert (get(provider, "other"), provider.delete("other") > 5) == (b"local", True)
    put(near, key="third")
    with pytest.raises(ArtefactError, match="no archive is configured"):
        ArchivingProvider(near, None).archive("third")


def test_bytes_that_are_gone_or_swapped_in_the_archive_are_told_as_damage(
    near: MemoryStorageProvider, far: MemoryStorageProvider
) -> None:
    provider = ArchivingProvider(near, far)
    put(provider)
    provider.archive(KEY)
    (name,) = get_all(far)
    put(far, b"something else", name)
    with pytest.raises(DamagedArtefactError, match="something else"):
        provider.retrieve(KEY)
    far.delete(name)
    with pytest.raises(DamagedArtefactError, match="gone"):
        provider.retrieve(KEY)
    assert provider.delete(KEY) > 0


# ------------------------------------------------------------------------------------ all together


def test_a_lifecycle_archives_by_age_and_deletes_later_both_here_and_there(tmp_path: Path) -> None:
    archiving: list[ArchivingProvider] = []

    def around(inner: StorageProvider) -> StorageProvider:
        archiving.append(ArchivingProvider(inner, FileStorageProvider(tmp_path / "far")))
        return archiving[-1]

    clock = [NOW]
    provider = compose(FileStorageProvider(tmp_path / "near"), archive=around)
    manager = StorageManager(provider, now=lambda: clock[0])
    for number in range(30):
        clock[0] = NOW + timedelta(hours=number)
        manager.store_data(f"k{number:02}", DATA[: 1000 * number])
    policies = {"age": MaxAge(timedelta(hours=72)), "archive": ArchiveAfter(timedelta(hours=24))}
    lifecycle = LifecycleManager(policies, ArtefactInventory(provider, archiver=archiving[0]))
    report = lifecycle.apply_policies(NOW + timedelta(hours=34))
    assert ([len(report.archived), len(report.deleted)], report.is_fine) == ([10, 0], True)
    assert lifecycle.apply_policies(NOW + timedelta(hours=34)).archived == ()
    assert len(files_of(tmp_path / "far")) == 10
    assert all(manager.retrieve_data(f"k{number:02}") == DATA[: 1000 * number] for number in range(30))
    report = lifecycle.apply_policies(NOW + timedelta(hours=77))
    assert {decision.key for decision in report.deleted} == {f"k{number:02}" for number in range(5)}
    assert len(files_of(tmp_path / "far")) == 25
    manager.close()


# ------------------------------------------------------------------------------------ deletions that wait for nobody


def test_a_deletion_noted_for_later_goes_with_the_next_sweep(
    tmp_path: Path, far: MemoryStorageProvider
) -> None:
    """Nobody waits for an archive that is away; and what a pointer still leads to is never swept."""
    near, away = FileStorageProvider(tmp_path / "near"), Away(far)
    condemned = Tombstones(tmp_path / "condemned")
    away.is_away = False
    provider = ArchivingProvider(near, away, condemned=condemned)
    for key in ("deleted", "replaced", "half-deleted", "kept"):
        put(provider, key=key)
        provider.archive(key)
    away.is_away = True
    without = ArchivingProvider(near, None, condemned=condemned)
    without.delete("deleted")
    put(without, b"new", "replaced", at=NOW + timedelta(hours=1))
    condemned.add(copy_name("half-deleted", provider.get_metadata("half-deleted")))  # and then it was killed
    assert (len(get_all(far)), without.sweep()) == (4, 0)
    with pytest.raises(TransientError):
        provider.sweep()
    away.is_away = False
    assert provider.sweep() == 2
    assert get(provider, "kept") == get(provider, "half-deleted") == DATA
    assert (get(provider, "replaced"), list(provider.unreferenced())) == (b"new", [])
    provider.delete("half-deleted")
    assert (provider.sweep(), len(get_all(far)), condemned.list()) == (1, 1, [])


def test_what_comes_back_as_it_was_is_not_swept_away_once_it_is_archived_again(
    near: MemoryStorageProvider, far: MemoryStorageProvider, tmp_path: Path
) -> None:
    """Deleted, restored from a backup, archived again, all before the sweep."""
    provider = ArchivingProvider(near, far, condemned=Tombstones(tmp_path / "condemned"))
    put(provider)
    provider.archive(KEY)
    provider.delete(KEY)
    put(provider)
    provider.archive(KEY)
    assert provider.sweep() == 0
    assert get(provider) == DATA
