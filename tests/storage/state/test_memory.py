"""State in memory under pressure: expiring items go, others never without a word."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.storage.state import NamespacedStorage, Put, StateFullError, UserNamespace
from monitord.storage.state.memory import MemoryBackend

HOUR = timedelta(hours=1)
ADA = UserNamespace("ada")


def test_the_least_recently_used_of_the_expiring_goes_first() -> None:
    """At the limit of items, one that expires gives way: the one not used for longest."""
    state = NamespacedStorage(MemoryBackend(max_items=3))
    state.set("kept", b"1")
    state.set("old", b"2", ttl=HOUR)
    state.set("used", b"3", ttl=HOUR)
    assert state.get("old") is not None  # now "used" is the one not used for longest
    state.set("new", b"4", ttl=HOUR)
    assert state.keys() == ["kept", "new", "old"]


def test_an_item_without_an_end_is_never_lost() -> None:
    """When only such items are left a write is refused, and nothing was lost for it."""
    backend = MemoryBackend(max_items=3)
    state = NamespacedStorage(backend)
    state.apply([Put("a", b"1"), Put("b", b"2")])
    state.set("c", b"3", ADA, ttl=HOUR)
    with pytest.raises(StateFullError, match="delete some"):
        state.apply([Put("d", b"4"), Put("e", b"5")])
    assert state.keys() == ["a", "b"]
    assert state.keys(ADA) == ["c"]
    assert backend.evicted == 0
    state.set("d", b"4")
    assert state.keys(ADA) == []
    with pytest.raises(StateFullError):
        state.set("e", b"5", ttl=HOUR)
    state.set("a", b"replaced")  # needs no further room
    state.delete(None, "b")
    state.set("e", b"5")
    assert state.keys() == ["a", "d", "e"]


def test_expired_items_go_before_living_ones() -> None:
    """Room is taken from what has expired first."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    backend = MemoryBackend(max_items=2)
    state = NamespacedStorage(backend, now=lambda: now[0])
    state.set("expired", b"1", ttl=HOUR)
    state.set("living", b"2", ttl=4 * HOUR)
    now[0] += 2 * HOUR
    state.set("new", b"3")
    assert state.keys() == ["living", "new"]
    assert backend.evicted == 0


def test_bytes_are_limited_too() -> None:
    """Large items push out as many expiring ones as they need, and not more."""
    backend = MemoryBackend(max_bytes=40_000)
    state = NamespacedStorage(backend)
    for n in range(10):
        state.set(f"{n}", bytes(range(250)) * 12, ttl=HOUR)  # 3,000 bytes that are kept as they are
    state.set("large", bytes(range(250)) * 16)
    assert backend.used_bytes <= 40_000
    assert state.keys()[-1] == "large"
    assert len(state.keys()) == 11 - backend.evicted
    with pytest.raises(StateFullError):
        state.apply([Put(f"x{n}", bytes(range(250)) * 16) for n in range(12)])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "forever", "delete", "wipe", "pass", "swap"]),
            st.sampled_from("abcdef"),
            st.integers(0, 3000),
        ),
        max_size=60,
    )
)
def test_any_sequence_within_limits_is_a_dict(steps: list[tuple[str, str, int]]) -> None:
    """Whatever is done, items without an end are those of a dict, others are right or gone, limits hold."""
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    backend = MemoryBackend(max_bytes=6_000, max_items=4)
    state = NamespacedStorage(backend, now=lambda: now[0])
    truth: dict[str, tuple[bytes, datetime | None]] = {}
    for verb, key, size in steps:
        data, ttl = key.encode() * size, HOUR
        try:
            match verb:
                case "set":
                    state.set(key, data, ttl=ttl)
                    truth[key] = (data, now[0] + ttl)
                case "forever":
                    state.set(key, data)
                    truth[key] = (data, None)
                case "delete":
                    state.delete(None, key)
                    truth.pop(key, None)
                case "wipe":
                    state.delete(None)
                    truth.clear()
                case "pass":
                    now[0] += timedelta(minutes=size % 90)
                case "swap" if (item := state.get(key)) is not None:
                    assert state.compare_and_set(Put(key, data, ttl=ttl, expected=item.version))
                    truth[key] = (data, now[0] + ttl)
        except StateFullError:
            pass
        for name in "abcdef":
            item, expected = state.get(name), truth.get(name)
            if expected is not None and expected[1] is None:
                assert item is not None
            if item is not None:
                assert expected is not None
                assert item.data == expected[0]
                assert expected[1] is None or now[0] < expected[1]
        assert backend.used_bytes <= 6_000
        assert len(state.keys()) <= 4


class _Noted:
    """A lock that notes who held it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.holders: list[str] = []

    def acquire(self, timeout: float) -> bool:
        is_held = self._lock.acquire(timeout=timeout)
        self.holders.append(threading.current_thread().name)
        return is_held

    def release(self) -> None:
        self._lock.release()


def test_a_long_sweep_lets_others_in_between() -> None:
    """30,000 items that have expired are swept a thousand at a time; who reads meanwhile need not wait for all."""
    backend = MemoryBackend()
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    state = NamespacedStorage(backend, now=lambda: now[0])
    for start in range(0, 30_000, 1000):
        state.apply([Put(f"k{start + n}", b"x", ttl=HOUR) for n in range(1000)])
    state.set("kept", b"y")
    now[0] += 2 * HOUR
    backend._lock = lock = _Noted()  # type: ignore[assignment]  # of it, only these two are used
    is_swept = threading.Event()

    def read() -> None:
        while not is_swept.is_set():
            assert state.get("kept") is not None

    reader = threading.Thread(target=read, name="reader")
    reader.start()
    try:
        assert state.sweep() == 30_000
    finally:
        is_swept.set()
        reader.join()
    sweeps = [n for n, holder in enumerate(lock.holders) if holder != "reader"]
    assert len(sweeps) == 30
    assert "reader" in lock.holders[sweeps[0] : sweeps[-1]]
    assert state.keys() == ["kept"]
