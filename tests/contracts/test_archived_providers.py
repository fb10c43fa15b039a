"""The providers' own suite again, with an archive behind them: everything stays here, or everything moves at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path

import pytest

from monitord.storage.artefacts.keyring import Keyring, SealingKey
from monitord.storage.artefacts.metadata import CHUNK_BYTES, Payload, StorageMetadata
from monitord.storage.artefacts.opening import compose
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.archived import ArchivingProvider
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
    test_many_keys_are_all_listed,
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
        return self.archive(key)


ARCHIVING: dict[str, type[ArchivingProvider]] = {"kept here": ArchivingProvider, "archived at once": AtOnce}


@pytest.fixture(params=ARCHIVING)
def archiving(request: pytest.FixtureRequest) -> type[ArchivingProvider]:
    return ARCHIVING[request.param]


@pytest.fixture(params=["file", "memory", "file, sealed"])
def place(request: pytest.FixtureRequest, tmp_path: Path, archiving: type[ArchivingProvider]) -> Place:
    """Files with an archive in memory, memory with an archive of files, and all wrappers around."""
    kept = MemoryStorageProvider()

    def open_archive() -> StorageProvider:
        return FileStorageProvider(tmp_path / "archive") if request.param == "memory" else kept

    bare = (memory_place if request.param == "memory" else file_place)(request, tmp_path)

    def open_bare() -> StorageProvider:
        return archiving(bare.open(), open_archive())

    def open_sealed() -> StorageProvider:
        return compose(
            bare.open(),
            keyring=Keyring(SealingKey(bytes(range(32)))),
            archive=lambda inner: archiving(inner, open_archive()),
        )

    return changed(bare, open=open_sealed if "sealed" in request.param else open_bare)


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
