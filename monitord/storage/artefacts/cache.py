"""What was read or written lately, in memory, within limits of entries, bytes and age.

Nothing is served after its time to live, which counts from before it was read; so what another process
changed is seen after that time at the latest. Within one process nothing comes back that was replaced or
deleted, however slow a concurrent read is: see `Ticket`.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import cachetools

from monitord.errors import StorageError
from monitord.storage.artefacts.envelope import PREFIX_BYTES, pack_header, parse_header
from monitord.storage.artefacts.metadata import StorageMetadata

_SLOTS = 256


class CacheError(StorageError):
    """The cache can't do what its configuration asks for."""


class EvictionPolicy(enum.Enum):
    """Which entry goes first when there is no room."""

    LRU = "lru"
    FIFO = "fifo"
    RANDOM = "random"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One artefact in memory. Times are of the cache's monotonic clock, in seconds."""

    data: bytes
    metadata: StorageMetadata
    size_bytes: int
    created_s: float
    expires_s: float


class EvictionStrategy(Protocol):
    """A policy of one's own."""

    def choose(self, entries: Mapping[str, CacheEntry]) -> str:
        """The key of the entry that goes; `entries` is never empty, the oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """Limits; an artefact larger than `share` of `limit_bytes` is not kept at all."""

    size_limit: int = 256
    limit_bytes: int = 16 << 20
    ttl_s: float = 60.0
    eviction_policy: EvictionPolicy = EvictionPolicy.LRU
    strategy: EvictionStrategy | None = None
    share: float = 1 / 8

    def __post_init__(self) -> None:
        if self.size_limit < 1 or self.limit_bytes < 1 or self.ttl_s <= 0 or not 0 < self.share <= 1:
            raise CacheError(
                "invalid cache: expected room for an entry, a time to live above 0, a share up to 1"
            )
        if (self.strategy is not None) != (self.eviction_policy is EvictionPolicy.CUSTOM):
            raise CacheError("invalid cache: expected a strategy with custom eviction, and only with it")


class Cache:
    """Entries within their limits. Not thread-safe: CacheManager, which owns it, holds the lock."""

    def __init__(self, config: CacheConfig) -> None:
        self._config = config
        self._held = _POLICIES[config.eviction_policy](config)
        self._expiry: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def size_bytes(self) -> int:
        """What the entries take, their metadata included."""
        return int(self._held.currsize)

    def get(self, key: str, now_s: float) -> CacheEntry | None:
        """The entry, unless its time is over."""
        entry = self._held.get(key)
        if entry is not None and entry.expires_s <= now_s:
            self.delete(key)
            return None
        return entry

    def put(self, key: str, entry: CacheEntry, now_s: float) -> None:
        """Keep the entry, and let others go for it; one that is too large or over is not kept."""
        self.delete(key)
        if entry.size_bytes > self._config.limit_bytes or entry.expires_s <= now_s:
            return
        self._remove_expired(now_s)
        room = self._config.limit_bytes - entry.size_bytes
        while len(self._held) >= self._config.size_limit or self._held.currsize > room:
            gone, _entry = self._held.popitem()
            del self._expiry[gone]
        self._held[key] = entry
        self._expiry[key] = entry.expires_s

    def _remove_expired(self, now_s: float) -> None:
        """From the oldest on; one that is out of order (a slow read) waits for those before it."""
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now_s:
                return
            self.delete(oldest)

    def delete(self, key: str) -> None:
        """Forget an entry, if there is one."""
        if self._held.pop(key, None) is not None:
            del self._expiry[key]

    def clear(self) -> None:
        """Forget all."""
        self._held.clear()
        self._expiry.clear()


class _Chosen(cachetools.Cache[str, CacheEntry]):
    """cachetools' place for a policy of one's own. When the choice is not an entry, the oldest goes."""

    def __init__(self, config: CacheConfig) -> None:
        super().__init__(config.limit_bytes, _size_of)
        self._strategy = config.strategy

    def popitem(self) -> tuple[str, CacheEntry]:
        entries = dict(self.items())
        choice = self._strategy.choose(MappingProxyType(entries)) if self._strategy else ""
        key = choice if choice in entries else next(iter(entries))
        return key, self.pop(key)


def _size_of(entry: CacheEntry) -> int:
    return entry.size_bytes


_POLICIES: dict[EvictionPolicy, Callable[[CacheConfig], cachetools.Cache[str, CacheEntry]]] = {
    EvictionPolicy.LRU: lambda config: cachetools.LRUCache(config.limit_bytes, _size_of),
    EvictionPolicy.FIFO: lambda config: cachetools.FIFOCache(config.limit_bytes, _size_of),
    EvictionPolicy.RANDOM: lambda config: cachetools.RRCache(config.limit_bytes, getsizeof=_size_of),
    EvictionPolicy.CUSTOM: _Chosen,
}


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """How often an artefact that was read came from memory, since the process began, and what is held now."""

    hits: int
    misses: int
    entries: int
    size_bytes: int
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """When a read or a change began, and how often keys of its slot had changed until then.

    Every change moves its slot's count on when it begins and when it ends. A read may keep what it read only
    if the count is still its own; a change what it wrote only if no other one was under way. Keys share
    slots: at worst something is not kept.
    """

    key: str
    slot: int
    count: int
    began_s: float


@dataclass(slots=True)
class Change:
    """A change under way; `stored` and `data` are to be kept when it has ended well."""

    stored: StorageMetadata | None = None
    data: bytes = b""


class CacheManager:
    """A cache for several threads; `clock` gives monotonic seconds."""

    def __init__(
        self, config: CacheConfig | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config or CacheConfig()
        self.cache = Cache(self.config)
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = [0] * _SLOTS
        self._hits = self._misses = 0
        self._largest_bytes = int(self.config.share * self.config.limit_bytes)

    def get(self, key: str) -> CacheEntry | None:
        """What is kept of this artefact, unless its time is over."""
        with self._lock:
            return self.cache.get(key, self._clock())

    def asked(self, key: str) -> CacheEntry | None:
        """What is kept of an artefact that is to be read, counted as a hit or a miss."""
        with self._lock:
            entry = self.cache.get(key, self._clock())
            if entry is None:
                self._misses += 1
            else:
                self._hits += 1
            return entry

    def counts(self) -> CacheCounts:
        """All counts, of one moment."""
        with self._lock:
            held = self.cache
            return CacheCounts(self._hits, self._misses, len(held), held.size_bytes, self.config.limit_bytes)

    def set(self, key: str, data: bytes, metadata: StorageMetadata) -> None:
        """Keep an artefact that is known to be stored like this now."""
        with self.changing(key) as change:
            change.stored, change.data = metadata, data

    def delete(self, key: str) -> None:
        """Forget an artefact; reads that are under way will not bring it back."""
        with self.changing(key):
            pass

    def clear(self) -> None:
        """Forget everything; reads that are under way will not bring it back."""
        with self._lock:
            self._counts = [count + 1 for count in self._counts]
            self.cache.clear()

    def takes(self, size: int) -> bool:
        """Whether an artefact of so many bytes is worth its room."""
        return size <= self._largest_bytes

    def reading(self, key: str) -> Ticket:
        """To be taken before the provider is asked, and given to `fill` with what it said."""
        slot = hash(key) % _SLOTS
        with self._lock:
            return Ticket(key, slot, self._counts[slot], self._clock())

    def fill(self, ticket: Ticket, metadata: StorageMetadata, data: bytes) -> None:
        """Keep what was read, unless it may have changed since the ticket was taken."""
        entry = self._entry(metadata, data, ticket.began_s)
        with self._lock:
            if self._counts[ticket.slot] == ticket.count:
                self.cache.put(ticket.key, entry, self._clock())

    @contextmanager
    def changing(self, key: str) -> Iterator[Change]:
        """Enclose a change at the provider: the old entry goes, the new one comes when all went well."""
        slot, change, began_s = hash(key) % _SLOTS, Change(), self._clock()
        own = self._moved_on(slot, key)
        entry = None
        try:
            yield change
            if change.stored is not None and self.takes(len(change.data)):
                entry = self._entry(change.stored, change.data, began_s)
        finally:
            with self._lock:
                alone = self._counts[slot] == own
                self._counts[slot] += 1
                self.cache.delete(key)
                if alone and entry is not None:
                    self.cache.put(key, entry, self._clock())

    def _moved_on(self, slot: int, key: str) -> int:
        with self._lock:
            self._counts[slot] += 1
            self.cache.delete(key)
            return self._counts[slot]

    def _entry(self, metadata: StorageMetadata, data: bytes, began_s: float) -> CacheEntry:
        """With the metadata as a provider would give them back: JSON has no tuples and shares nothing."""
        header = pack_header(metadata)
        read_back = parse_header(
            header[PREFIX_BYTES:], metadata.key, metadata.stored_size, metadata.updated_at
        )
        return CacheEntry(data, read_back, len(data) + len(header), began_s, began_s + self.config.ttl_s)
