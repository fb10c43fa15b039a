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
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider, copy_name
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
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
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    away, seconds = Away(far), [0.0]
    away.is_away = False
    provider = ArchivingProvider(near, away, pending, clock=lambda: seconds[0])
    for number in range(50):
        put(provider, b"%d" % number * 1000, f"old/{number:02}")
        provider.upload(f"old/{number:02}")
    put(provider, key="new")
    put(provider, key="newer")
    away.is_away, away.asked = True, 0
    policies = {"age": MaxAge(timedelta(hours=1)), "archive": ArchiveAfter(timedelta(0))}
    inventory = ArtefactInventory(provider, archiver=provider)
    report = LifecycleManager(policies, inventory).apply_policies(NOW + timedelta(minutes=1))
    assert [failure.key for failure in report.failures] == ["new", "newer"]
    assert away.asked == 1, "two uploads wait for it once"
    assert get(provider, "new") == DATA
    away.is_away = False
    assert get(provider, "old/07") == b"7" * 1000, "reading is always tried"
    away.is_away, away.asked = True, 0
    report = LifecycleManager(policies, inventory).apply_policies(NOW + timedelta(hours=2))
    assert (len(report.deleted), report.is_fine, away.asked) == (52, True, 0), "deleting waits for nobody"
    assert (get_all(near), len(get_all(far))) == ([], 50)
    with pytest.raises(TransientError):
        provider.delete_pending()
    away.is_away = False
    seconds[0] += 61
    provider.delete_pending()
    assert get_all(far) == pending.list() == []


def test_without_its_archive_a_pointer_is_seen_but_not_read(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    """Beside another archive it is not deleted either: that would leave the bytes behind. What is no pointer
    works as ever."""
    put(near)
    ArchivingProvider(near, far, pending).upload(KEY)
    for archive in (None, MemoryStorageProvider()):
        provider = ArchivingProvider(near, archive, pending)
        put(provider, b"local", "other")
        assert get_all(provider) == [KEY, "other"]
        assert provider.get_metadata(KEY).archived_in == "far"
        for use in (provider.retrieve, provider.delete) if archive else (provider.retrieve,):
            with pytest.raises(ArtefactError, match="archive 'far', which is not configured"):
                use(KEY)
        assert (get(provider, "other"), provider.delete("other") > 5) == (b"local", True)
    with pytest.raises(ArtefactError, match="archive 'far', which is not configured"):
        compose(near).retrieve(KEY)
    put(near, key="third")
    with pytest.raises(ArtefactError, match="no archive is configured"):
        ArchivingProvider(near, None, pending).upload("third")


def test_bytes_that_are_gone_or_swapped_in_the_archive_are_told_as_damage(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    provider = ArchivingProvider(near, far, pending)
    put(provider)
    provider.upload(KEY)
    (name,) = get_all(far)
    put(far, b"something else", name)
    with pytest.raises(DamagedArtefactError, match="other bytes"):
        provider.retrieve(KEY)
    far.delete(name)
    with pytest.raises(DamagedArtefactError, match="gone"):
        provider.retrieve(KEY)
    assert provider.delete(KEY) > 0


def test_a_pending_deletion_is_made_when_the_archive_is_back(
    tmp_path: Path, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    """Nobody waits for an archive that is away; and what a pointer still leads to is not deleted."""
    near, away = FileStorageProvider(tmp_path / "near"), Away(far)
    away.is_away = False
    provider = ArchivingProvider(near, away, pending)
    for key in ("deleted", "replaced", "half-deleted", "kept"):
        put(provider, key=key)
        provider.upload(key)
    away.is_away = True
    without = ArchivingProvider(near, None, pending)
    without.delete("deleted")
    put(without, b"new", "replaced", at=NOW + timedelta(hours=1))
    pending.add(copy_name(provider.get_metadata("half-deleted")))  # and then it was killed
    assert (len(get_all(far)), without.delete_pending()) == (4, 0)
    with pytest.raises(TransientError):
        provider.delete_pending()
    away.is_away = False
    assert provider.delete_pending() == 2
    assert get(provider, "kept") == get(provider, "half-deleted") == DATA
    assert (get(provider, "replaced"), len(get_all(far))) == (b"new", 2)
    provider.delete("half-deleted")
    assert (provider.delete_pending(), len(get_all(far)), pending.list()) == (1, 1, [])


def test_what_comes_back_as_it_was_is_not_deleted_once_it_is_archived_again(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    """Deleted, restored from a backup, archived again, all before the deletion was passed on."""
    provider = ArchivingProvider(near, far, pending)
    put(provider)
    provider.upload(KEY)
    provider.delete(KEY)
    put(provider)
    assert (provider.delete_pending(), len(get_all(far))) == (0, 1), "it may be on its way there again"
    provider.upload(KEY)
    assert provider.delete_pending() == 0
    assert (get(provider), pending.list()) == (DATA, [])


def test_a_copy_whose_upload_broke_off_goes_with_its_artefact(
    near: MemoryStorageProvider, far: MemoryStorageProvider, pending: PendingDeletions
) -> None:
    """Killed before the pointer was there, and deleted then by somebody who knows nothing of the upload."""
    put(near)
    broken = ArchivingProvider(Killed(near), far, pending)
    with pytest.raises(KeyboardInterrupt):
        broken.upload(KEY)
    assert len(get_all(far)) == 1
    provider = ArchivingProvider(near, far, pending)
    assert provider.delete_pending() == 0
    near.delete(KEY)
    assert (provider.delete_pending(), get_all(far), pending.list()) == (1, [], [])


class Killed(PassThrough):
    """Nobody gets as far as to put a pointer there."""

    def exchange(self, *_words: object, **_named: object) -> StorageMetadata:
        raise KeyboardInterrupt
