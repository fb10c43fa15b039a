"""A bad moment is survived, a bad day is told in time, and nothing is done twice or reported wrongly."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from monitord.storage.artefacts.errors import (
    AccessDeniedError,
    ArtefactChangedError,
    ArtefactExistsError,
    DamagedArtefactError,
    DiskFullError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.metadata import CHUNK_BYTES, BytesPayload
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider
from monitord.storage.artefacts.wrappers.retried import Patience, Retried
from tests.contracts.test_providers import KEY, NOW, described, get, put
from tests.storage.artefacts.flaky import Fault, Flaky

DATA = os.urandom(3 * CHUNK_BYTES + 1000)


class Clock:
    """Time passes when somebody sleeps, and by `per_look_s` whenever somebody looks."""

    def __init__(self, per_look_s: float = 0.0) -> None:
        self.now_s, self.per_look_s = 1000.0, per_look_s
        self.pauses_s: list[float] = []

    def __call__(self) -> float:
        self.now_s += self.per_look_s
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_s += seconds


def behind(
    *faults: Fault, patience: Patience | None = None, clock: Clock | None = None
) -> tuple[Retried, Flaky, MemoryStorageProvider]:
    bare, clock = MemoryStorageProvider(), clock or Clock()
    flaky = Flaky(bare, *faults)
    return Retried(flaky, patience or Patience(), clock=clock, sleep=clock.sleep), flaky, bare


@pytest.mark.parametrize("fault", ["before", "after"])
@pytest.mark.parametrize("replacing", [True, False])
def test_a_store_is_tried_again(fault: Fault, replacing: bool) -> None:
    """Also when the first try arrived: then it is its own artefact that is there, and no refusal."""
    retried, flaky, bare = behind(fault, fault)
    stored = put(retried, KEY, DATA, replace=replacing)
    assert get(bare, KEY) == (stored, DATA)
    assert len(flaky.calls) >= 2


def test_somebody_else_who_was_quicker_is_told() -> None:
    retried, flaky, bare = behind("before")
    flaky.between = lambda: put(bare, KEY, b"theirs", updated_at=NOW + timedelta(seconds=1)) and None
    with pytest.raises(ArtefactExistsError):
        put(retried, KEY, DATA, replace=False)
    assert get(bare, KEY)[1] == b"theirs"


def test_an_artefact_that_was_there_before_is_told() -> None:
    retried, _flaky, bare = behind()
    put(bare, KEY, DATA)
    with pytest.raises(ArtefactExistsError):
        put(retried, KEY, DATA, replace=False)


def test_a_look_that_fails_after_an_unclear_store_is_tried_again() -> None:
    retried, flaky, _bare = behind("after", None, "before")
    put(retried, KEY, DATA, replace=False)
    assert flaky.calls == ["store", "store", "get_metadata", "store", "get_metadata"]


@pytest.mark.parametrize("fault", ["before", "after"])
def test_an_exchange_is_tried_again(fault: Fault) -> None:
    retried, flaky, bare = behind()
    old = put(bare, KEY, b"old")
    flaky.faults = [fault]
    payload = BytesPayload(b"new")
    metadata = described(KEY, payload, updated_at=NOW + timedelta(seconds=1))
    stored = retried.exchange(KEY, payload, metadata, expected=old)
    assert get(bare, KEY) == (stored, b"new")
    with pytest.raises(ArtefactChangedError):
        retried.exchange(KEY, payload, metadata, expected=old)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_deleting_setting_aside_and_looking_are_tried_again(fault: Fault) -> None:
    retried, flaky, bare = behind()
    for use in (retried.delete, retried.set_aside):
        put(bare, KEY, DATA)
        flaky.faults = [fault]
        use(KEY)
        assert list(bare.list()) == []
    stored = put(bare, KEY, DATA)
    flaky.faults = [fault]
    assert retried.get_metadata(KEY) == stored


def test_what_is_missing_can_not_be_set_aside() -> None:
    with pytest.raises(MissingArtefactError):
        behind()[0].set_aside(KEY)


@pytest.mark.parametrize(
    "breaks",
    [(0,), (1,), (CHUNK_BYTES,), (CHUNK_BYTES + 1,), (10, 20, 500_000), (len(DATA) - 1, len(DATA) - 1)],
)
def test_a_broken_stream_goes_on_where_it_broke(breaks: tuple[int, ...]) -> None:
    retried, flaky, bare = behind()
    stored = put(bare, KEY, DATA)
    flaky.faults = [*breaks]
    assert get(retried, KEY) == (stored, DATA)
    assert flaky.calls == ["retrieve"] * (len(breaks) + 1)


def test_a_stream_goes_on_only_with_the_same_artefact() -> None:
    """Replaced meanwhile, by equal bytes even, or gone: an error, never a mixture."""
    retried, flaky, bare = behind()
    put(bare, KEY, DATA)
    flaky.faults = [CHUNK_BYTES]
    flaky.between = lambda: put(bare, KEY, DATA, updated_at=NOW + timedelta(microseconds=1)) and None
    with pytest.raises(ArtefactChangedError, match="replaced meanwhile"):
        get(retried, KEY)
    flaky.faults, flaky.between = [CHUNK_BYTES], lambda: bare.delete(KEY) and None
    with pytest.raises(MissingArtefactError):
        get(retried, KEY)


def test_a_reader_may_stop_a_stream_that_broke() -> None:
    retried, flaky, bare = behind()
    put(bare, KEY, DATA)
    flaky.faults = [10]
    _metadata, chunks = retried.retrieve(KEY)
    with closing(chunks):
        assert len(next(chunks)) == 10
        assert next(chunks) == DATA[10:CHUNK_BYTES]


def test_a_listing_goes_on_after_the_last_key() -> None:
    """Each key once, also when one of them came or went meanwhile."""
    retried, flaky, bare = behind()
    for n in range(10):
        put(bare, f"a/{n}", b"")
    flaky.faults = [0, 3, 3, 7]
    flaky.between = lambda: bare.delete("a/1") and None
    assert list(retried.list("a/")) == [f"a/{n}" for n in range(10) if n != 1]
    assert len(flaky.calls) == 5


ANSWERS = [
    ArtefactExistsError("x"), MissingArtefactError("x"), DamagedArtefactError("x"), DiskFullError("x"),
    AccessDeniedError("x"),
]  # fmt: skip


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: type(error).__name__)
def test_an_answer_is_not_asked_for_again(error: Fault) -> None:
    clock = Clock()
    retried, flaky, _bare = behind(error, clock=clock)
    with pytest.raises(type(error)):
        retried.get_metadata(KEY)
    assert (flaky.calls, clock.pauses_s) == (["get_metadata"], [])


def test_tries_are_bounded_and_pauses_grow() -> None:
    clock = Clock()
    patience = Patience(deadline_s=1000, attempts=6, first_pause_s=1, longest_pause_s=5)
    retried, flaky, _bare = behind(*["before"] * 100, patience=patience, clock=clock)
    with pytest.raises(TransientError, match="tried 6 times"):
        retried.get_metadata(KEY)
    assert len(flaky.calls) == 6
    for pause_s, longest_s in zip(clock.pauses_s, (1, 2, 4, 5, 5), strict=True):
        assert longest_s / 2 <= pause_s <= longest_s


def test_pauses_differ_so_that_clients_spread_out() -> None:
    clock = Clock()
    retried, flaky, _bare = behind(clock=clock)
    for _time in range(20):
        flaky.faults = ["before"]
        retried.delete(KEY)
    assert len(set(clock.pauses_s)) > 10


@pytest.mark.parametrize("per_look_s", [0.0, 4.0])
def test_one_deadline_holds_for_all_tries_together(per_look_s: float) -> None:
    """No try begins after it, however the time went: by pausing, or by tries that take long."""
    clock = Clock(per_look_s)
    patience = Patience(deadline_s=10, attempts=1000, first_pause_s=1, longest_pause_s=3)
    retried, _flaky, _bare = behind(*["before"] * 1000, patience=patience, clock=clock)
    began_s = clock.now_s
    with pytest.raises(TransientError):
        put(retried, KEY, DATA)
    assert sum(clock.pauses_s) <= 10
    assert clock.now_s - began_s <= 10 + 2 * per_look_s


def test_a_stream_has_one_deadline_too() -> None:
    """A line that breaks again and again ends in an error, though every try gives a byte more."""
    clock = Clock()
    patience = Patience(deadline_s=10, attempts=1000, first_pause_s=1, longest_pause_s=1)
    retried, flaky, bare = behind(patience=patience, clock=clock)
    put(bare, KEY, DATA)
    flaky.faults = [*range(1, 1000)]
    with pytest.raises(TransientError):
        get(retried, KEY)
    assert len(flaky.calls) < 25


def test_a_resumed_read_survives_a_rotation() -> None:
    """Rotation leaves the body as it is, so what was begun before goes on after it."""
    from monitord.storage.artefacts.metadata import Encryption

    retried, flaky, bare = behind()
    old = put(bare, KEY, DATA, encryption=Encryption("a", "one", "x"))
    flaky.faults = [CHUNK_BYTES]
    new = replace(old, encryption=Encryption("a", "two", "y"))
    flaky.between = lambda: bare.exchange(KEY, BytesPayload(DATA), new, expected=old) and None
    assert get(retried, KEY)[1] == DATA
