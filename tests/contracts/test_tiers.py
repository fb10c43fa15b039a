"""What a remote tier must hold, whether artefacts leave whole (`url`) or leave a pointer (`archive_url`).

Then the providers' own suite again, with an archive behind them: everything stays here, or everything moves at
once. With a `url` that suite is in `test_providers.py`: "waiting" and "uploaded".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace as changed
from itertools import count
from pathlib import Path

import pytest

from monitord.storage.artefacts.errors import DamagedArtefactError, TransientError
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring
from monitord.storage.artefacts.metadata import CHUNK_BYTES, Payload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from monitord.storage.artefacts.wrappers.tiered import TieredProvider
from monitord.storage.artefacts.wrappers.uploading import UploadingProvider
from tests.contracts.test_providers import (  # noqa: F401  # pytest collects them here, too
    KEY,
    Place,
    file_place,
    get,
    memory_place,
    provider,
    put,
    test_a_bad_key_is_refused_with_the_same_reason_everywhere,
    test_a_deletion_says_what_it_took_and_holds,
    test_a_key_is_taken_once_unless_replacing,
    test_a_payload_that_breaks_off_leaves_nothing,
    test_a_reader_may_stop_anywhere,
    test_a_reader_sees_the_old_or_the_new_never_a_mixture,
    test_another_provider_of_the_same_place_sees_it,
    test_closing_twice_is_fine,
    test_large_metadata_comes_back,
    test_list_gives_the_keys_that_begin_so_in_order,
    test_nothing_half_written_is_listed,
    test_of_many_threads_one_takes_a_key,
    test_too_much_metadata_is_refused_and_leaves_nothing,
    test_what_goes_while_it_is_listed_is_no_trouble,
    test_what_is_no_artefact_is_damaged_listed_and_can_be_set_aside,
    test_what_is_not_there_is_missing_everywhere,
)


class AtOnce(ArchivingProvider):
    """Archives whatever it stores."""

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        super().store(key, payload, metadata, replace=replace)
        return self.upload(key)


ARCHIVING: dict[str, type[ArchivingProvider]] = {"kept here": ArchivingProvider, "archived at once": AtOnce}


@pytest.fixture(params=ARCHIVING)
def archiving(request: pytest.FixtureRequest) -> type[ArchivingProvider]:
    return ARCHIVING[request.param]


@pytest.fixture(params=["file", "memory", "file, encrypted"])
def place(request: pytest.FixtureRequest, tmp_path: Path, archiving: type[ArchivingProvider]) -> Place:
    """Files with an archive in memory, memory with an archive of files, and all wrappers around."""
    kept = MemoryStorageProvider()

    def open_archive() -> StorageProvider:
        return FileStorageProvider(tmp_path / "archive") if request.param == "memory" else kept

    bare = (memory_place if request.param == "memory" else file_place)(request, tmp_path)

    def open_bare() -> StorageProvider:
        return archiving(bare.open(), open_archive(), PendingDeletions(tmp_path / "deletions"))

    def open_encrypted() -> StorageProvider:
        return compose(open_bare(), keyring=Keyring(EncryptionKey(bytes(range(32)))), follows_pointers=True)

    return changed(bare, open=open_encrypted if "encrypted" in request.param else open_bare)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1])
def test_what_is_stored_is_retrieved_wherever_it_lies(
    provider: StorageProvider,  # noqa: F811
    place: Place,
    archiving: Callable[..., object],
    size: int,
) -> None:
    """The same bytes; what is archived takes the room of a pointer here, and says where it is."""
    data = os.urandom(size)
    stored = put(provider, KEY, data)
    assert get(provider, KEY) == (stored, data)
    assert provider.get_metadata(KEY) == stored
    assert (stored.size, stored.stored_size) == (size, len(place.raw(KEY)))
    assert (stored.archived_in is not None) == (archiving is AtOnce)
    if archiving is AtOnce:
        assert stored.stored_size < 1200


# ------------------------------------------------------------------------------------ both tiers


class Counting(PassThrough):
    """A remote provider that counts calls, is away or killed at one of them, or gives other bytes back."""

    def __init__(self, inner: StorageProvider) -> None:
        super().__init__(inner)
        self.stored: list[str] = []
        self.calls, self.dies_at, self.is_away, self.lies = 0, -1, False, False

    def _call(self) -> None:
        self.calls += 1
        if self.is_away:
            raise TransientError("time ran out")
        if self.calls == self.dies_at:
            raise KeyboardInterrupt

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        self._call()
        self.stored.append(key)
        stored = self.inner.store(key, payload, metadata, replace=replace)
        self._call()
        return stored

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        self._call()
        metadata, chunks = self.inner.retrieve(key)
        return metadata, (bytes(255 - byte for byte in chunk) for chunk in chunks) if self.lies else chunks

    def delete(self, key: str) -> int:
        self._call()
        freed = self.inner.delete(key)
        self._call()
        return freed


class Tier:
    """A member on a folder of its own; `local()` is another process, which can't ask the remote provider."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self.remote = Counting(MemoryStorageProvider())
        self.provider = self.open(self.remote)

    def open(self, remote: StorageProvider | None) -> TieredProvider:
        files = FileStorageProvider(self.folder / "artefacts")
        pending = PendingDeletions(self.folder / "deletions")
        if self.kind == "url":
            return UploadingProvider(files, remote, pending)
        return ArchivingProvider(files, remote, pending)

    def local(self) -> TieredProvider:
        return self.open(None)

    def settle(self) -> None:
        """What an uploader does."""
        if isinstance(self.provider, UploadingProvider):
            self.provider.upload_all()
            return
        assert isinstance(self.provider, ArchivingProvider)
        self.provider.delete_pending()
        for key in self.provider.list():
            self.provider.upload(key)

    def here_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.folder / "artefacts").iterdir())


@pytest.fixture(params=["url", "archive_url"])
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tier]:
    made = Tier(request.param, tmp_path)
    yield made
    made.provider.close()


def everything(kept: StorageProvider) -> dict[str, bytes]:
    return {key: get(kept, key)[1] for key in kept.list()}


KEYS = ("kept", "replaced", "deleted")
OLD, NEW = b"old" * 1000, b"new" * 1000


def settled(tier: Tier) -> None:
    for key in KEYS:
        put(tier.provider, key, OLD)
    tier.settle()


def test_what_was_uploaded_is_read_as_before_and_leaves_room_here(tier: Tier) -> None:
    settled(tier)
    assert everything(tier.provider) == dict.fromkeys(KEYS, OLD)
    assert tier.here_bytes() < 3 * 1200
    tier.settle()
    assert len(tier.remote.stored) == len(list(tier.remote.list())) == 3, "each once"


def test_who_can_not_see_the_remote_deletes_and_replaces_and_an_uploader_follows(tier: Tier) -> None:
    """Neither waits: the remote provider is away meanwhile. Nothing that was deleted comes back."""
    settled(tier)
    tier.remote.is_away = True
    with closing(tier.local()) as local:
        assert list(local.list()) == ([] if tier.kind == "url" else sorted(KEYS))
        local.delete("deleted")
        put(local, "replaced", NEW)
    with pytest.raises(TransientError):
        tier.settle()
    tier.remote.is_away = False
    assert everything(tier.provider) == {"kept": OLD, "replaced": NEW}
    tier.settle()
    assert everything(tier.provider) == {"kept": OLD, "replaced": NEW}
    assert sorted(get(tier.remote, name)[1] for name in tier.remote.list()) == [NEW, OLD]
    assert tier.provider.pending.list() == []


def test_what_comes_back_otherwise_stays_here(tier: Tier) -> None:
    """Read back before it goes: a peer may lie."""
    put(tier.provider, KEY, OLD)
    tier.remote.lies = True
    with pytest.raises(DamagedArtefactError, match="came back changed"):
        tier.settle()
    tier.remote.lies = False
    assert get(tier.provider, KEY)[1] == get(tier.local(), KEY)[1] == OLD


def test_what_arrived_already_is_not_sent_again(tier: Tier) -> None:
    """A crash between the copy there and the step that takes it from here."""
    put(tier.provider, KEY, OLD)
    before = (tier.folder / "artefacts" / KEY).read_bytes()
    tier.settle()
    (tier.folder / "artefacts" / KEY).write_bytes(before)
    (tier.folder / "artefacts" / KEY).chmod(0o600)
    tier.settle()
    assert len(tier.remote.stored) == 1
    assert get(tier.provider, KEY)[1] == OLD


def test_broken_off_at_any_call_nothing_is_lost_and_nothing_stays_behind(tmp_path: Path, tier: Tier) -> None:
    """Uploads, a replacement and a deletion, interrupted at each call of the remote provider in turn."""
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        each = Tier(tier.kind, folder)
        settled(each)
        put(each.provider, "replaced", NEW)
        put(each.provider, "fresh", NEW)
        each.provider.delete("deleted")
        each.remote.calls, each.remote.dies_at = 0, number
        try:
            each.settle()
            lived = True
        except KeyboardInterrupt:
            lived = False
        each.remote.dies_at = -1
        expected = {"kept": OLD, "replaced": NEW, "fresh": NEW}
        assert everything(each.provider) == expected, f"after call {number}"
        each.settle()
        assert everything(each.provider) == expected
        assert sorted(get(each.remote, name)[1] for name in each.remote.list()) == [NEW, NEW, OLD]
        assert each.provider.pending.list() == []
        each.provider.close()
        if lived:
            break
    assert number > 10, "too few calls for this to say anything"
