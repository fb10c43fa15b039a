"""What policies judge: plain items, and the stock of them at one moment. Policies are pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Protocol, Self

from monitord.storage.artefacts.metadata import StorageMetadata

# The tags of an artefact that policies go by.
KIND, PROCESS, RULE, SEVERITY, PINNED = "kind", "process", "rule", "severity", "pinned"
_NOT_PINNED = ("", "0", "false", "no")

Position = tuple[float, datetime, str]  # where an item stands in the order of `mild_first`


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may go: what it frees, how old and how bad it is, and the tags it is chosen by.

    `archived_in` names the archive when its bytes have left already.
    """

    key: str
    stored_size: int
    created_at: datetime
    severity: float = 0.0
    pinned: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    archived_in: str | None = None

    @classmethod
    def of(cls, metadata: StorageMetadata) -> Item:
        """The item that an artefact is by its tags; a severity that is not a number counts as 0."""
        return cls(
            metadata.key,
            metadata.stored_size,
            metadata.created_at,
            _number(metadata.tags.get(SEVERITY, "")),
            metadata.tags.get(PINNED, "") not in _NOT_PINNED,
            metadata.tags,
            metadata.archived_in,
        )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(number) else number  # NaN can't be ordered


def is_pinned(item: Item) -> bool:
    """Whether a person wants it kept, whatever the policies say."""
    return item.pinned


def mild_first(item: Item) -> Position:
    """The order in which items go for room: the mild before the bad, then the old before the new."""
    return (item.severity, item.created_at, item.key)


@dataclass(frozen=True, slots=True)
class Cut:
    """Items that go, as a condition: so it takes no more memory when it covers many.

    All that is given must hold: the tags `only` (a missing tag is an empty one), created `before`, at most
    `up_to` in the order of `mild_first`, a severity from `severity_from` up to below `severity_below`, and
    bytes at all with `takes_room`.
    """

    only: Mapping[str, str] = field(default_factory=dict)
    before: datetime | None = None
    up_to: Position | None = None
    severity_from: float = -math.inf
    severity_below: float = math.inf
    takes_room: bool = False

    def covers(self, item: Item) -> bool:
        """Whether this item goes."""
        return (
            has_tags(item, self.only)
            and (self.before is None or item.created_at < self.before)
            and (self.up_to is None or mild_first(item) <= self.up_to)
            and self.severity_from <= item.severity
            and (item.severity < self.severity_below or self.severity_below == math.inf)
            and (item.stored_size > 0 or not self.takes_room)
        )


def has_tags(item: Item, wanted: Mapping[str, str]) -> bool:
    """Whether the item carries all of these."""
    return all(item.tags.get(name, "") == value for name, value in wanted.items())


@dataclass(frozen=True, slots=True)
class Tally:
    """How many items, and what their deletion frees."""

    count: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Holders:
    """How many values of a tag hold bytes, and what those hold that were asked for."""

    count: int
    held_bytes: Mapping[str, int]


class StockView(Protocol):
    """What policies may ask of the items there are: totals, and the items in the order in which they go.

    `total_bytes` is what everything takes, the items and what lies beside them; `free_disk_bytes` is what the
    disk has left, None where there is no disk to fill.
    """

    @property
    def total_bytes(self) -> int: ...
    @property
    def free_disk_bytes(self) -> int | None: ...

    def count(self, only: Mapping[str, str], /) -> int:
        """How many items carry these tags, pinned ones included."""
        ...

    def holders(self, tag: str, only: Mapping[str, str], above_bytes: int, /) -> Holders:
        """Which values of `tag` hold more than `above_bytes`, pinned items included."""
        ...

    def tally(self, cuts: Sequence[Cut], /) -> Tally:
        """The total of the items that may go and that any of the cuts covers."""
        ...

    def select(self, cuts: Sequence[Cut], /) -> Iterator[Item]:
        """Those items, mild first; no more of them are held at once than must be."""
        ...

    def excluding(self, cuts: Sequence[Cut], /) -> Self:
        """What there is once these items are gone."""
        ...


@dataclass(frozen=True, slots=True)
class Stock:
    """A stock that is listed as a whole: the items that may go, and those that somebody pinned."""

    movable: tuple[Item, ...]
    pinned: tuple[Item, ...]
    total_bytes: int
    free_disk_bytes: int | None = None

    @classmethod
    def of(
        cls, items: Iterable[Item | StorageMetadata], total_bytes: int, free_disk_bytes: int | None = None
    ) -> Stock:
        """Make the stock of all items; artefacts are judged by what their tags say."""
        movable: list[Item] = []
        pinned: list[Item] = []
        for each in items:
            item = each if isinstance(each, Item) else Item.of(each)
            (pinned if item.pinned else movable).append(item)
        return cls(tuple(movable), tuple(pinned), total_bytes, free_disk_bytes)

    @property
    def items(self) -> Iterator[Item]:
        """All items, whatever their tags."""
        return chain(self.movable, self.pinned)

    def count(self, only: Mapping[str, str]) -> int:
        return sum(has_tags(item, only) for item in self.items)

    def holders(self, tag: str, only: Mapping[str, str], above_bytes: int) -> Holders:
        held: defaultdict[str, int] = defaultdict(int)
        for item in self.items:
            if item.stored_size and has_tags(item, only):
                held[item.tags.get(tag, "")] += item.stored_size
        return Holders(len(held), {value: size for value, size in held.items() if size > above_bytes})

    def tally(self, cuts: Sequence[Cut]) -> Tally:
        sizes = [item.stored_size for item in self.select(cuts)]
        return Tally(len(sizes), sum(sizes))

    def select(self, cuts: Sequence[Cut]) -> Iterator[Item]:
        covered = (item for item in self.movable if any(cut.covers(item) for cut in cuts))
        return iter(sorted(covered, key=mild_first))

    def excluding(self, cuts: Sequence[Cut]) -> Stock:
        return self.without({item.key for item in self.select(cuts)})

    def without(self, keys: Collection[str]) -> Stock:
        """What there is once these are deleted; pinned ones stay."""
        return self._with(item for item in self.movable if item.key not in keys) if keys else self

    def archived(self, keys: Collection[str]) -> Stock:
        """What there is once these are moved to the archive; what their pointers take is not known yet."""
        if not keys:
            return self
        return self._with(
            replace(item, stored_size=0, archived_in="archive") if item.key in keys else item
            for item in self.movable
        )

    def _with(self, items: Iterable[Item]) -> Stock:
        movable = tuple(items)
        freed = sum(item.stored_size for item in self.movable) - sum(item.stored_size for item in movable)
        free = None if self.free_disk_bytes is None else self.free_disk_bytes + freed
        return Stock(movable, self.pinned, self.total_bytes - freed, free)


class LifecyclePolicy(Protocol):
    """Says of each item whether it goes. Pinned items are never asked about, and items archived already
    not about archiving.
    """

    def consider(self, stock: StockView, now: datetime) -> LifecyclePolicy:
        """The same policy, ready to be asked about these items at this time; nothing else is remembered.

        The stock is what the policies before it leave.
        """
        ...

    def should_archive(self, item: Item) -> bool:
        """Whether the item's bytes are to be moved to the archive."""
        ...

    def should_delete(self, item: Item) -> bool:
        """Whether the item is to be deleted."""
        ...

    def get_retention_period(self) -> timedelta | None:
        """How long items stay; None when the policy does not judge by the clock.

        Who can't trust the clock leaves the policies out that have one.
        """
        ...
