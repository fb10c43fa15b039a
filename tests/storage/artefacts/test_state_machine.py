"""Any sequence of calls gives the same answers as a dictionary would, whatever stands around the provider."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from monitord.storage.artefacts.cache import CacheConfig, CacheManager
from monitord.storage.artefacts.errors import ArtefactExistsError, MissingArtefactError
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring
from monitord.storage.artefacts.manager import StorageManager
from monitord.storage.artefacts.opening import compose, reached
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.file import FileStorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.rotation import rotate
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider, copy_name, key_of_copy
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from tests.contracts.test_providers import get
from tests.storage.artefacts.test_cache import Clock

TTL_S = 60.0
KEYS = ["a/1", "a/2", "a/b/c", "b", "b-", "C.d"]
FIRST, SECOND = EncryptionKey(os.urandom(32)), EncryptionKey(os.urandom(32))

contents = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 300_000).map(lambda n: b"function;%d\n" % n * (n // 12)),
    st.integers(0, 300_000).map(os.urandom),
)
facts = st.dictionaries(
    st.text(max_size=5), st.one_of(st.none(), st.integers(), st.text(max_size=9)), max_size=3
)


class Storage(RuleBasedStateMachine):
    """One storage as three parties use it: ours, cached; another process, uncached; and those who tidy up."""

    keys = Bundle("keys")
    is_wrapped = True

    @initialize(target=keys, key=st.sampled_from(KEYS))
    def begin(self, key: str) -> str:
        self.folder = tempfile.TemporaryDirectory()
        self.base = self.make_base()
        self.far = MemoryStorageProvider()
        self.aside: set[str] = set()
        self.clock = Clock()
        self.ring = Keyring(FIRST, SECOND)
        self.cache = CacheManager(CacheConfig(3, 400_000, TTL_S, share=0.5), clock=self.clock)
        self.model: dict[str, tuple[bytes, dict[str, object]]] = {}
        self.open()
        return key

    def make_base(self) -> StorageProvider:
        raise NotImplementedError

    def reopened(self, base: StorageProvider) -> StorageProvider:
        """The same place, opened anew."""
        return base

    def open(self) -> None:
        self.mine = StorageManager(self.around(self.base, self.cache))
        self.theirs = StorageManager(self.around(self.base, None))

    def around(self, base: StorageProvider, cache: CacheManager | None) -> StorageProvider:
        if not self.is_wrapped:
            return base
        pending = PendingDeletions(Path(self.folder.name, "deletions"))
        self.archiving = ArchivingProvider(base, self.far, pending)
        return compose(self.archiving, keyring=self.ring, cache=cache, follows_pointers=True)

    @rule(target=keys, key=st.sampled_from(KEYS))
    def name(self, key: str) -> str:
        return key

    @rule(key=keys, data=contents, facts=facts)
    def store(self, key: str, data: bytes, facts: dict[str, object]) -> None:
        metadata = self.mine.store_data(key, data, attributes=facts, tags={"n": str(len(data))})
        assert metadata.size == len(data)
        self.model[key] = (data, facts)

    @rule(key=keys, data=contents)
    def store_a_file(self, key: str, data: bytes) -> None:
        path = Path(self.folder.name, "evidence")
        path.write_bytes(data)
        self.mine.store_data(key, path)
        self.model[key] = (data, {})

    @rule(key=keys, data=contents)
    def store_if_new(self, key: str, data: bytes) -> None:
        if key in self.model:
            with pytest.raises(ArtefactExistsError):
                self.mine.store_data(key, data, replace=False)
        else:
            self.mine.store_data(key, data, replace=False)
            self.model[key] = (data, {})

    @rule(key=keys)
    def retrieve(self, key: str) -> None:
        if key in self.model:
            assert self.mine.retrieve_data(key) == self.model[key][0]
            assert self.mine.verify(key).attributes == self.model[key][1]
        else:
            with pytest.raises(MissingArtefactError):
                self.mine.retrieve_data(key)

    @rule(key=keys, count=st.integers(0, 1000))
    def read_a_little(self, key: str, count: int) -> None:
        if key in self.model:
            with self.mine.open(key) as source:
                assert source.read(count) == self.model[key][0][:count]

    @rule(key=keys)
    def look(self, key: str) -> None:
        assert self.mine.exists(key) == (key in self.model)
        if key in self.model:
            metadata = self.mine.get_metadata(key)
            data, attributes = self.model[key]
            assert (metadata.size, metadata.attributes) == (len(data), attributes)

    @rule(key=keys)
    def delete(self, key: str) -> None:
        assert (self.mine.delete(key) > 0) == (key in self.model)
        self.model.pop(key, None)

    @rule(key=keys)
    def set_aside(self, key: str) -> None:
        if key in self.model:
            self.mine.set_aside(key)
            self.aside.add(key)
            del self.model[key]
        else:
            with pytest.raises(MissingArtefactError):
                self.mine.set_aside(key)

    @rule(key=keys, data=contents, deletes=st.booleans())
    def another_process_changes_it(self, key: str, data: bytes, deletes: bool) -> None:
        """We may see the old until its time is over, not longer, and nothing else."""
        before = self.model.get(key)
        if deletes:
            self.theirs.delete(key)
            self.model.pop(key, None)
        else:
            self.theirs.store_data(key, data)
            self.model[key] = (data, {})
        allowed = [held[0] for held in (before, self.model.get(key)) if held is not None]
        try:
            assert self.mine.retrieve_data(key) in allowed
        except MissingArtefactError:
            assert deletes
        self.clock.now_s += TTL_S

    @rule(key=keys)
    def move_to_the_archive(self, key: str) -> None:
        """Its bytes lie elsewhere afterwards, and nobody but the base notices."""
        if self.is_wrapped and key in self.model:
            self.archiving.upload(key)
            assert self.base.get_metadata(key).archived_in == "memory"
            assert get(self.base, key)[1] == b""

    @rule(seconds=st.sampled_from([1.0, TTL_S / 2, TTL_S]))
    def entries_expire(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule(key=keys, everything=st.booleans())
    def entries_are_evicted(self, key: str, everything: bool) -> None:
        if everything:
            self.cache.clear()
        else:
            self.cache.delete(key)

    @rule()
    def keys_rotate(self) -> None:
        if self.is_wrapped:
            self.ring = Keyring(
                *(key for key in (FIRST, SECOND) if key is not self.ring.active), self.ring.active
            )
            rotate(reached(self.base), self.ring, list(self.base.list()))
            rotate(self.far, self.ring, list(self.far.list()), encrypted_as=key_of_copy)
            self.open()

    @rule()
    def everything_starts_anew(self) -> None:
        self.cache.clear()
        self.base = self.reopened(self.base)
        self.open()

    @invariant()
    def lists_agree(self) -> None:
        if hasattr(self, "model"):
            for prefix in ("", "a/", "b", "x"):
                assert list(self.mine.list(prefix)) == sorted(
                    key for key in self.model if key.startswith(prefix)
                )

    def teardown(self) -> None:
        if hasattr(self, "base"):
            for key, (data, attributes) in self.model.items():
                assert self.theirs.retrieve_data(key) == data
                assert self.theirs.get_metadata(key).attributes == attributes
            if self.is_wrapped:
                self.archiving.delete_pending()
                led_to = {copy_name(self.base.get_metadata(key)) for key in self.model}
                left = {key_of_copy(name) for name in self.far.list() if name not in led_to}
                assert left <= self.aside  # what is set aside stays for a person, its copy, too
            self.base.close()
            self.folder.cleanup()


class InFiles(Storage):
    def make_base(self) -> StorageProvider:
        return FileStorageProvider(Path(self.folder.name, "artefacts"))

    def reopened(self, base: StorageProvider) -> StorageProvider:
        base.close()
        return self.make_base()


class InMemory(Storage):
    def make_base(self) -> StorageProvider:
        return MemoryStorageProvider()


class InBareFiles(InFiles):
    is_wrapped = False


class InBareMemory(InMemory):
    is_wrapped = False


MACHINES: list[Callable[[], Storage]] = [InFiles, InMemory, InBareFiles, InBareMemory]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_any_sequence_of_calls(machine: Callable[[], Storage]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None)
    )  # type: ignore[no-untyped-call]  # hypothesis has no types here
