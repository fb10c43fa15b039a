"""An archive that does not answer: nothing half done, nobody waits twice, and nothing is left behind unsaid."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.storage.artefacts.errors import (
    ArtefactError,
    DamagedArtefactError,
    TransientError,
)
from monitord.storage.artefacts.lifecycle import ArchiveAfter, ArtefactInventory, LifecycleManager, MaxAge
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.archived import ArchivingProvider, copy_name
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.tombstones import Tombstones
from tests.storage.test_archiving import DATA, KEY, NOW, get, get_all, put


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
    with pytest.raises(ArtefactError, match="archive 'far', which is not configured"):
        compose(near).retrieve(KEY)
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
    with pytest.raises(DamagedArtefactError, match="other bytes"):
        provider.retrieve(KEY)
    far.delete(name)
    with pytest.raises(DamagedArtefactError, match="gone"):
        provider.retrieve(KEY)
    assert provider.delete(KEY) > 0


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
