"""The cache keeps its limits, whatever is put in, and serves nothing whose time is over."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.storage.artefacts.cache import (
    CacheConfig,
    CacheEntry,
    CacheError,
    CacheManager,
    EvictionPolicy,
)
from monitord.storage.artefacts.metadata import BytesPayload
from tests.contracts.test_providers import described

TTL_S = 100.0
KEYS = [f"key-{n}" for n in range(8)]
OVERHEAD = 330  # about what the metadata of a key here take


class Clock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


class LargestFirst:
    def choose(self, entries: Mapping[str, CacheEntry]) -> str:
        return max(entries, key=lambda key: (entries[key].size_bytes, key))


class Wrong:
    """A strategy that names what is not there."""

    def choose(self, entries: Mapping[str, CacheEntry]) -> str:
        assert entries
        return "nothing"


def a_cache(
    policy: EvictionPolicy = EvictionPolicy.LRU,
    strategy: LargestFirst | Wrong | None = None,
    size_limit: int = 4,
    limit_bytes: int = 20_000,
) -> tuple[CacheManager, Clock]:
    clock = Clock()
    config = CacheConfig(size_limit, limit_bytes, TTL_S, policy, strategy, share=1)
    return CacheManager(config, clock=clock), clock


def put(cache: CacheManager, key: str, size: int = 10) -> None:
    data = bytes(size)
    cache.set(key, data, described(key, BytesPayload(data)))


@dataclass
class Model:
    """What must be in the cache: the obvious way, slowly. Entries in the order in which they go."""

    policy: EvictionPolicy
    size_limit: int
    limit_bytes: int
    entries: dict[str, tuple[int, float]] = field(default_factory=dict)

    def expire(self, now_s: float) -> None:
        self.entries = {key: held for key, held in self.entries.items() if held[1] > now_s}

    def get(self, key: str, now_s: float) -> int | None:
        self.expire(now_s)
        if key not in self.entries:
            return None
        if self.policy is EvictionPolicy.LRU:
            self.entries[key] = self.entries.pop(key)
        return self.entries[key][0]

    def put(self, key: str, size: int, now_s: float) -> None:
        self.expire(now_s)
        self.entries.pop(key, None)
        if size > self.limit_bytes:
            return
        while (
            len(self.entries) >= self.size_limit
            or sum(held[0] for held in self.entries.values()) + size > self.limit_bytes
        ):
            if self.policy is EvictionPolicy.CUSTOM:
                goes = max(self.entries, key=lambda key: (self.entries[key][0], key))
            else:
                goes = next(iter(self.entries))
            del self.entries[goes]
        self.entries[key] = (size, now_s + TTL_S)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 12_000)),
        st.tuples(st.just("put"), st.sampled_from(KEYS), st.integers(0, 100)),
        st.tuples(st.just("get"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("get"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("delete"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 60)),
        st.tuples(st.just("clear"), st.just(""), st.just(0)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("policy", EvictionPolicy)
@settings(max_examples=150, deadline=None)
@given(steps=steps)
def test_any_sequence_of_steps(policy: EvictionPolicy, steps: list[tuple[str, str, int]]) -> None:
    """As the model says, entry by entry (random: within the limits, and never anything else than was put)."""
    strategy = LargestFirst() if policy is EvictionPolicy.CUSTOM else None
    cache, clock = a_cache(policy, strategy)
    model = Model(policy, 4, 20_000)
    for step, key, size in steps:
        if step == "put":
            put(cache, key, size)
            model.put(key, size + overhead(key, size), clock.now_s)
        elif step == "delete":
            cache.delete(key)
            model.entries.pop(key, None)
        elif step == "wait":
            clock.now_s += size
        elif step == "clear":
            cache.clear()
            model.entries.clear()
        else:
            entry = cache.get(key)
            expected = model.get(key, clock.now_s)
            if policy is not EvictionPolicy.RANDOM:
                assert (entry.size_bytes if entry else None) == expected
            elif entry is not None:
                assert entry.expires_s > clock.now_s
        assert len(cache.cache) <= 4
        assert cache.cache.size_bytes <= 20_000


def overhead(key: str, size: int) -> int:
    """What the metadata of such an entry are counted with."""
    probe, _clock = a_cache(limit_bytes=1 << 30)
    put(probe, key, size)
    entry = probe.get(key)
    assert entry is not None
    assert len(entry.data) == size
    return entry.size_bytes - size


def test_metadata_count_against_the_limit() -> None:
    """Large attributes on small bytes can't grow past it."""
    cache, _clock = a_cache(size_limit=1000)
    for n in range(100):
        data = b"x"
        metadata = described(f"k{n}", BytesPayload(data), attributes={"fact": "y" * 5000})
        cache.set(f"k{n}", data, metadata)
    assert len(cache.cache) <= 4


@pytest.mark.parametrize("policy", EvictionPolicy)
def test_an_entry_lives_for_its_time_and_not_longer(policy: EvictionPolicy) -> None:
    """Being read does not lengthen it; being stored again does."""
    cache, clock = a_cache(policy, LargestFirst() if policy is EvictionPolicy.CUSTOM else None)
    put(cache, "a")
    clock.now_s += TTL_S - 1
    assert cache.get("a") is not None
    put(cache, "b")
    clock.now_s += 1
    assert cache.get("a") is None
    assert cache.get("b") is not None
    assert len(cache.cache) == 1
    put(cache, "b")
    clock.now_s += TTL_S - 1
    assert cache.get("b") is not None


def test_what_is_over_goes_before_what_is_not() -> None:
    """However recently it was used."""
    cache, clock = a_cache()
    put(cache, "old")
    clock.now_s += TTL_S - 10
    for key in ("a", "b", "c"):
        put(cache, key)
    assert cache.get("old") is not None
    clock.now_s += 10
    put(cache, "d")
    assert all(cache.get(key) is not None for key in ("a", "b", "c", "d"))


def test_a_strategy_that_names_nothing_gets_the_oldest_evicted() -> None:
    cache, _clock = a_cache(EvictionPolicy.CUSTOM, Wrong())
    for key in KEYS:
        put(cache, key)
    assert [key for key in KEYS if cache.get(key) is not None] == KEYS[-4:]


def test_random_eviction_is_random_and_may_hit_any() -> None:
    gone = set()
    for _time in range(100):
        cache, _clock = a_cache(EvictionPolicy.RANDOM)
        for key in KEYS[:5]:
            put(cache, key)
        gone |= {key for key in KEYS[:5] if cache.get(key) is None}
    assert gone >= set(KEYS[:4])


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_limit": 0},
        {"limit_bytes": 0},
        {"ttl_s": 0},
        {"share": 0},
        {"share": 1.1},
        {"eviction_policy": EvictionPolicy.CUSTOM},
        {"strategy": LargestFirst()},
    ],
)
def test_an_impossible_configuration_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CacheError):
        CacheConfig(**wrong)  # type: ignore[arg-type]  # that is the point


def test_many_threads_keep_the_limits() -> None:
    """cachetools is not thread-safe by itself."""
    cache, _clock = a_cache(size_limit=5, limit_bytes=8_000)
    faults: list[str] = []

    def work(seed: int) -> None:
        try:
            for n in range(400):
                key = KEYS[(n * 7 + seed) % len(KEYS)]
                put(cache, key, (n * 37) % 1500)
                entry = cache.get(KEYS[n % len(KEYS)])
                if entry is not None and len(entry.data) != entry.metadata.size:
                    faults.append("torn")
                if n % 9 == 0:
                    cache.delete(key)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test has to hear of it
            faults.append(repr(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(cache.cache) <= 5
    assert cache.cache.size_bytes <= 8_000
    assert cache.cache.size_bytes == sum(e.size_bytes for key in KEYS if (e := cache.get(key)))
