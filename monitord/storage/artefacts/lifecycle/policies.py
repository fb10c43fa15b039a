"""The policies there are. Each is one pure function from stock and time to the keys that go.

`only` narrows a policy to the items with these tags. For room the mild go before the bad, and the old before
the new where they are equally bad; pinned items take room and stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from monitord.storage.artefacts.lifecycle.policy import (
    LifecyclePolicy,
    Stock,
    has_tags,
    mild_first,
    severity_of,
)
from monitord.storage.artefacts.metadata import StorageMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """What the policies share: `choose` says which keys go, `consider` remembers the answer."""

    only: Mapping[str, str] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()

    def choose(self, stock: Stock, now: datetime) -> Iterable[str]:
        """The keys that go. Keys of pinned items may be among them: those stay all the same."""
        raise NotImplementedError

    def consider(self, stock: Stock, now: datetime) -> Self:
        return replace(self, chosen=frozenset(self.choose(stock, now)))

    def should_archive(self, metadata: StorageMetadata) -> bool:
        return False

    def should_delete(self, metadata: StorageMetadata) -> bool:
        return metadata.key in self.chosen

    def get_retention_period(self) -> timedelta | None:
        return None

    def _of_concern(self, stock: Stock) -> list[StorageMetadata]:
        return [item for item in stock.movable if has_tags(item, self.only)]


@dataclass(frozen=True, slots=True)
class MaxAge(Choosing):
    """What is older than this goes."""

    max_age: timedelta

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        return (item.key for item in self._of_concern(stock) if now - item.created_at > self.max_age)

    def get_retention_period(self) -> timedelta:
        return self.max_age


@dataclass(frozen=True, slots=True)
class MaxAgeBySeverity(Choosing):
    """The mild go sooner: `ages` maps the least severity to the age that items of it may reach.

    The highest step that an item reaches counts; what is milder than all steps is not judged.
    """

    ages: Mapping[float, timedelta]

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        for item in self._of_concern(stock):
            reached = [least for least in self.ages if severity_of(item) >= least]
            if reached and now - item.created_at > self.ages[max(reached)]:
                yield item.key

    def get_retention_period(self) -> timedelta | None:
        return max(self.ages.values(), default=None)


@dataclass(frozen=True, slots=True)
class MaxCount(Choosing):
    """No more items than this, pinned ones included."""

    max_count: int

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        excess = sum(has_tags(item, self.only) for item in stock.items) - self.max_count
        doomed = sorted(self._of_concern(stock), key=mild_first)[: max(0, excess)]
        return (item.key for item in doomed)


@dataclass(frozen=True, slots=True)
class MaxTotalBytes(Choosing):
    """Everything together takes no more than this, whatever it is that takes the room.

    `overhead_bytes` is what an item takes beside its own bytes and gives back with them (rows, say): a guess
    that makes the policy choose no more items than needed.
    """

    max_bytes: int
    overhead_bytes: int = 0

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        wanted = stock.total_bytes - self.max_bytes
        return _until_freed(self._of_concern(stock), wanted, self.overhead_bytes)


@dataclass(frozen=True, slots=True)
class ShareWhenFull(Choosing):
    """When everything takes more than `max_total_bytes`, these items hold no more than their share.

    `overhead_bytes` as for MaxTotalBytes.
    """

    max_total_bytes: int
    share_bytes: int
    overhead_bytes: int = 0

    def wanted_bytes(self, stock: Stock) -> int:
        """What it will free."""
        held = sum(item.stored_size + self.overhead_bytes for item in self._of_concern(stock))
        return max(0, min(held - self.share_bytes, stock.total_bytes - self.max_total_bytes))

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        return _until_freed(self._of_concern(stock), self.wanted_bytes(stock), self.overhead_bytes)


@dataclass(frozen=True, slots=True)
class QuotaPerTag(Choosing):
    """No value of this tag holds more than its quota, unless nobody else holds anything."""

    tag: str
    max_bytes: int

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        held: defaultdict[str, int] = defaultdict(int)
        for item in stock.items:
            if item.stored_size and has_tags(item, self.only):
                held[item.tags.get(self.tag, "")] += item.stored_size
        if len(held) < 2:
            return
        for item in sorted(self._of_concern(stock), key=mild_first):
            holder = item.tags.get(self.tag, "")
            if item.stored_size and held[holder] > self.max_bytes:
                held[holder] -= item.stored_size
                yield item.key


@dataclass(frozen=True, slots=True)
class FreeDiskFloor(Choosing):
    """The disk keeps this much free, if that can be had from here.

    Somebody else may fill the disk faster than we could ever empty it; nothing is thrown after that in vain.
    """

    min_free_bytes: int

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        if stock.free_disk_bytes is None:
            return iter(())
        wanted, concerned = self.min_free_bytes - stock.free_disk_bytes, self._of_concern(stock)
        if wanted > sum(item.stored_size for item in concerned):
            return iter(())
        return _until_freed(concerned, wanted)


@dataclass(frozen=True, slots=True)
class Tagged(Choosing):
    """What carries all the tags of `only` goes at once."""

    def __post_init__(self) -> None:
        if not self.only:
            raise ValueError("a policy that deletes by tag must name one")

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        return (item.key for item in self._of_concern(stock))


@dataclass(frozen=True, slots=True)
class ArchiveAfter(Choosing):
    """What is older than this moves to the archive."""

    age: timedelta

    def choose(self, stock: Stock, now: datetime) -> Iterator[str]:
        return (item.key for item in self._of_concern(stock) if now - item.created_at > self.age)

    def should_archive(self, metadata: StorageMetadata) -> bool:
        return metadata.key in self.chosen

    def should_delete(self, metadata: StorageMetadata) -> bool:
        return False

    def get_retention_period(self) -> timedelta:
        return self.age


POLICIES: tuple[type[LifecyclePolicy], ...] = (
    MaxAge,
    MaxAgeBySeverity,
    MaxCount,
    MaxTotalBytes,
    ShareWhenFull,
    QuotaPerTag,
    FreeDiskFloor,
    Tagged,
    ArchiveAfter,
)


def _until_freed(
    items: Iterable[StorageMetadata], wanted_bytes: int, overhead_bytes: int = 0
) -> Iterator[str]:
    """Mildest first, until these bytes are freed or nothing is left that takes room."""
    for item in sorted(items, key=mild_first):
        if wanted_bytes <= 0:
            return
        if item.stored_size + overhead_bytes:
            wanted_bytes -= item.stored_size + overhead_bytes
            yield item.key
