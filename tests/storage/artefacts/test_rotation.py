"""Another key for everything, while others go on as if nothing happened."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import DamagedArtefactError, MissingArtefactError, WrongKeyError
from monitord.storage.artefacts.keyring import EncryptionKey, Keyring
from monitord.storage.artefacts.metadata import CHUNK_BYTES
from monitord.storage.artefacts.opening import compose, reached
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.rotation import rotate
from monitord.storage.artefacts.wrappers.archiving import ArchivingProvider, key_of_copy
from monitord.storage.artefacts.wrappers.encrypted import Encrypted
from monitord.storage.artefacts.wrappers.passing import PassThrough
from monitord.storage.artefacts.wrappers.pending_deletions import PendingDeletions
from tests.contracts.test_providers import KEY, KINDS, Place, get, put
from tests.storage.artefacts.flaky import Flaky

OLD, NEW = EncryptionKey(os.urandom(32)), EncryptionKey(os.urandom(32))
BEFORE, DURING, AFTER = Keyring(OLD, NEW), Keyring(NEW, OLD), Keyring(NEW)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return KINDS[request.param](request, tmp_path)


@pytest.fixture
def bare(place: Place) -> Iterator[StorageProvider]:
    with closing(place.open()) as opened:
        yield opened


def contents(provider: StorageProvider) -> dict[str, bytes]:
    return {key: get(provider, key)[1] for key in provider.list()}


def test_afterwards_the_new_key_alone_opens_everything(bare: StorageProvider) -> None:
    """Metadata, times and bodies are the same as before; what was not encrypted is left alone."""
    encrypted = Encrypted(bare, BEFORE)
    data = {f"a/{n}": os.urandom(n * 200_000) for n in range(5)}
    for key, held in data.items():
        put(encrypted, key, held, attributes={"of": key}, tags={"n": key})
    put(bare, "plain", b"plain")
    bodies = contents(bare)
    before = {key: encrypted.get_metadata(key) for key in data}

    assert rotate(reached(bare), DURING, list(bare.list())) == 5

    after = Encrypted(bare, AFTER)
    assert contents(after) == {**data, "plain": b"plain"}
    assert contents(bare) == bodies
    for key, old in before.items():
        new = after.get_metadata(key)
        assert new.encryption is not None
        assert new.encryption.key_id == NEW.key_id
        for field in ("size", "checksum", "created_at", "updated_at", "tags", "attributes", "compression"):
            assert getattr(new, field) == getattr(old, field)
    with pytest.raises(WrongKeyError):
        get(Encrypted(bare, Keyring(OLD)), "a/1")


def test_it_can_be_broken_off_and_run_again(bare: StorageProvider) -> None:
    encrypted = Encrypted(bare, BEFORE)
    for n in range(6):
        put(encrypted, str(n), b"%d" % n)
    assert rotate(bare, DURING, ["0", "1"]) == 2
    assert rotate(bare, DURING, bare.list()) == 4
    assert rotate(bare, DURING, [*bare.list(), "gone"]) == 0
    assert contents(Encrypted(bare, AFTER)) == {str(n): b"%d" % n for n in range(6)}


def test_one_that_can_not_be_opened_stops_no_other(bare: StorageProvider) -> None:
    put(Encrypted(bare, Keyring(EncryptionKey(os.urandom(32)))), "lost", b"x")
    put(Encrypted(bare, BEFORE), "mine", b"mine")
    put(Encrypted(bare, BEFORE), "zebra", b"zebra")
    with pytest.raises(WrongKeyError, match="the new key is in 2, not in 1 artefact"):
        rotate(bare, DURING, bare.list())
    assert get(Encrypted(bare, AFTER), "zebra")[1] == b"zebra"


def test_tampering_is_found_and_not_encrypted_anew(bare: StorageProvider) -> None:
    """Rotation is no way to have changed metadata blessed."""
    put(Encrypted(bare, BEFORE), KEY, b"x", tags={"severity": "high"})
    metadata, body = get(bare, KEY)
    put_back = {
        "tags": {"severity": "low"},
        "encryption": metadata.encryption,
        "attributes": metadata.attributes,
    }
    put(bare, KEY, body, **put_back)
    with pytest.raises(DamagedArtefactError):
        rotate(bare, DURING, [KEY])


class Interrupted(PassThrough):
    """Somebody else acts between the look and the exchange."""

    def __init__(self, inner: StorageProvider, acts: Callable[[], object]) -> None:
        super().__init__(inner)
        self.acts: Callable[[], object] | None = acts

    def exchange(self, key, payload, metadata, *, expected):  # type: ignore[no-untyped-def]  # as the Protocol
        acts, self.acts = self.acts, None
        if acts is not None:
            acts()
        return self.inner.exchange(key, payload, metadata, expected=expected)  # type: ignore[attr-defined]  # KINDS can


def test_a_replacement_meanwhile_wins(bare: StorageProvider) -> None:
    put(Encrypted(bare, BEFORE), KEY, b"old")
    replaced = Interrupted(bare, lambda: put(Encrypted(bare, BEFORE), KEY, b"newer"))
    assert rotate(replaced, DURING, [KEY]) == 1
    assert get(Encrypted(bare, AFTER), KEY)[1] == b"newer"


def test_a_deletion_meanwhile_wins(bare: StorageProvider) -> None:
    put(Encrypted(bare, BEFORE), KEY, b"old")
    assert rotate(Interrupted(bare, lambda: bare.delete(KEY)), DURING, [KEY]) == 0
    assert list(bare.list()) == []


def test_a_second_rotation_meanwhile_is_no_trouble(bare: StorageProvider) -> None:
    put(Encrypted(bare, BEFORE), KEY, b"old")
    assert rotate(Interrupted(bare, lambda: rotate(bare, DURING, [KEY])), DURING, [KEY]) == 0
    assert get(Encrypted(bare, AFTER), KEY)[1] == b"old"


def test_an_archive_s_copies_get_the_new_key_too(bare: StorageProvider, tmp_path: Path) -> None:
    """Pointers and copies: afterwards the old key opens nothing any more, wherever it lies."""
    far = MemoryStorageProvider()
    archiving = ArchivingProvider(bare, far, PendingDeletions(tmp_path / "at-the-archive"))
    put(compose(archiving, keyring=BEFORE, follows_pointers=True), KEY, b"evidence")
    archiving.upload(KEY)
    assert rotate(bare, DURING, bare.list()) == 1
    assert get(compose(archiving, keyring=AFTER, follows_pointers=True), KEY)[1] == b"evidence"
    assert rotate(far, DURING, list(far.list()), encrypted_as=key_of_copy) == 1
    assert get(compose(archiving, keyring=AFTER, follows_pointers=True), KEY)[1] == b"evidence"
    for place in (bare, far):
        assert {place.get_metadata(name).encryption.key_id for name in place.list()} == {NEW.key_id}  # type: ignore[union-attr]  # all of them are encrypted


def test_a_bad_line_is_survived(bare: StorageProvider) -> None:
    put(Encrypted(bare, BEFORE), KEY, os.urandom(3 * CHUNK_BYTES))
    before = get(bare, KEY)[1]
    flaky = Flaky(bare, "before", "after", "after", "after")
    assert rotate(reached(flaky), DURING, [KEY]) == 1
    assert get(bare, KEY)[1] == before
    assert "exchange" in flaky.calls


def test_a_provider_that_can_not_compare_is_refused(bare: StorageProvider) -> None:
    """Rather than risking what somebody else writes."""
    with pytest.raises(StorageError, match="compare"):
        rotate(PassThrough(bare), DURING, [KEY])


def test_readers_and_writers_notice_nothing(place: Place) -> None:
    """While keys rotate to and fro: every read gives a whole version, and each writer's last word stays."""
    rings = [Keyring(OLD, NEW), Keyring(NEW, OLD)]
    keys = [f"k{n}" for n in range(4)]
    with closing(place.open()) as first:
        for key in keys:
            put(compose(first, keyring=rings[0]), key, key.encode() * 1000)
    done, faults, last = threading.Event(), list[str](), dict[str, bytes]()

    def guarded(work: Callable[[StorageProvider], None]) -> Callable[[], None]:
        def run() -> None:
            with closing(place.open()) as mine:
                try:
                    work(mine)
                except Exception as error:  # noqa: BLE001  # whatever it is, the test has to hear of it
                    faults.append(repr(error))

        return run

    def read(mine: StorageProvider) -> None:
        reader = compose(mine, keyring=rings[1])
        while not done.is_set():
            for key in keys:
                try:
                    data = get(reader, key)[1]
                except MissingArtefactError:
                    continue
                if data != data[: len(data) // 1000] * 1000:
                    faults.append(f"a mixture at {key}")

    def write(mine: StorageProvider) -> None:
        writer = compose(mine, keyring=rings[0])
        for n in range(40):
            key = keys[n % 3]
            if n % 5 == 4:
                writer.delete(key)
                last.pop(key, None)
            else:
                last[key] = b"%04d" % n * 1000
                put(writer, key, last[key])

    def turn(mine: StorageProvider) -> None:
        turns = 0
        while not done.is_set():
            rotate(reached(mine), rings[turns % 2], list(mine.list()))
            turns += 1

    writer = threading.Thread(target=guarded(write))
    others = [threading.Thread(target=guarded(work)) for work in (read, turn, turn)]
    for thread in (*others, writer):
        thread.start()
    writer.join()
    done.set()
    for thread in others:
        thread.join()
    assert faults == []
    with closing(place.open()) as look:
        assert contents(compose(look, keyring=rings[0])) == {**last, "k3": b"k3" * 1000}
