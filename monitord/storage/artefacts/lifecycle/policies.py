"""The policies there are. Each is one pure function from stock and time to the cuts that it makes.

`only` narrows a policy to the items with these tags. For room the mild go before the bad, and the old before
the new where they are equally bad; pinned items take room and stay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Self

from monitord.storage.artefacts.lifecycle.policy import (
    Cut,
    Item,
    LifecyclePolicy,
    Position,
    StockView,
    mild_first,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """What the policies share: `choose` says what goes, `consider` remembers the answer."""

    only: Mapping[str, str] = field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        """What goes. Pinned items may be covered: those stay all the same."""
        raise NotImplementedError

    def consider(self, stock: StockView, now: datetime) -> Self:
        return replace(self, cuts=tuple(self.choose(stock, now)))

    def should_archive(self, item: Item) -> bool:
        return False

    def should_delete(self, item: Item) -> bool:
        return any(cut.covers(item) for cut in self.cuts)

    def get_retention_period(self) -> timedelta | None:
        return None

    def _for_room(self, stock: StockView, wanted_bytes: int, overhead_bytes: int = 0) -> Iterable[Cut]:
        return _until_freed(
            stock, Cut(self.only, takes_room=not overhead_bytes), wanted_bytes, overhead_bytes
        )


@dataclass(frozen=True, slots=True)
class MaxAge(Cutting):
    """What is older than this goes."""

    max_age: timedelta

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        return (Cut(self.only, before=_before(now, self.max_age)),)

    def get_retention_period(self) -> timedelta:
        return self.max_age


@dataclass(frozen=True, slots=True)
class MaxAgeBySeverity(Cutting):
    """The mild go sooner: `ages` maps the least severity to the age that items of it may reach.

    The highest step that an item reaches counts; what is milder than all steps is not judged.
    """

    ages: Mapping[float, timedelta]

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        steps = sorted(self.ages)
        for least, below in zip(steps, [*steps[1:], math.inf], strict=True):
            before = _before(now, self.ages[least])
            yield Cut(self.only, before=before, severity_from=least, severity_below=below)

    def get_retention_period(self) -> timedelta | None:
        return max(self.ages.values(), default=None)


@dataclass(frozen=True, slots=True)
class MaxCount(Cutting):
    """No more items than this, pinned ones included."""

    max_count: int

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        excess = max(0, stock.count(self.only) - self.max_count)
        last: Position | None = None
        for item in islice(stock.select((Cut(self.only),)), excess):
            last = mild_first(item)
        return (Cut(self.only, up_to=last),) if last else ()


@dataclass(frozen=True, slots=True)
class MaxTotalBytes(Cutting):
    """Everything together takes no more than this, whatever it is that takes the room.

    `overhead_bytes` is what an item takes beside its own bytes and gives back with them (rows, say): a guess
    that makes the policy choose no more items than needed.
    """

    max_bytes: int
    overhead_bytes: int = 0

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        return self._for_room(stock, stock.total_bytes - self.max_bytes, self.overhead_bytes)


@dataclass(frozen=True, slots=True)
class ShareWhenFull(Cutting):
    """When everything takes more than `max_total_bytes`, these items hold no more than their share.

    `overhead_bytes` as for MaxTotalBytes.
    """

    max_total_bytes: int
    share_bytes: int
    overhead_bytes: int = 0

    def wanted_bytes(self, stock: StockView) -> int:
        """What it will free."""
        excess = stock.total_bytes - self.max_total_bytes
        if excess <= 0:
            return 0
        held = stock.tally((Cut(self.only),))
        return max(0, min(held.stored_bytes + held.count * self.overhead_bytes - self.share_bytes, excess))

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        return self._for_room(stock, self.wanted_bytes(stock), self.overhead_bytes)


@dataclass(frozen=True, slots=True)
class QuotaPerTag(Cutting):
    """No value of this tag holds more than its quota, unless nobody else holds anything."""

    tag: str
    max_bytes: int

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        holders = stock.holders(self.tag, self.only, self.max_bytes)
        if holders.count < 2:
            return
        for value, held in holders.held_bytes.items():
            of_it = Cut({**self.only, self.tag: value}, takes_room=True)
            yield from _until_freed(stock, of_it, held - self.max_bytes)


@dataclass(frozen=True, slots=True)
class FreeDiskFloor(Cutting):
    """The disk keeps this much free, if that can be had from here.

    Somebody else may fill the disk faster than we could ever empty it; nothing is thrown after that in vain.
    """

    min_free_bytes: int

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        wanted = 0 if stock.free_disk_bytes is None else self.min_free_bytes - stock.free_disk_bytes
        if wanted <= 0 or wanted > stock.tally((Cut(self.only),)).stored_bytes:
            return ()
        return self._for_room(stock, wanted)


@dataclass(frozen=True, slots=True)
class Tagged(Cutting):
    """What carries all the tags of `only` goes at once."""

    def __post_init__(self) -> None:
        if not self.only:
            raise ValueError("a policy that deletes by tag must name one")

    def choose(self, stock: StockView, now: datetime) -> Iterable[Cut]:
        return (Cut(self.only),)


@dataclass(frozen=True, slots=True)
class ArchiveAfter(MaxAge):
    """What is older than this moves to the archive."""

    def should_archive(self, item: Item) -> bool:
        return any(cut.covers(item) for cut in self.cuts)

    def should_delete(self, item: Item) -> bool:
        return False


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


def _before(now: datetime, age: timedelta) -> datetime:
    """The moment that is so long ago; the first that there is for an age beyond all calendars."""
    try:
        return now - age
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _until_freed(stock: StockView, among: Cut, wanted_bytes: int, overhead_bytes: int = 0) -> tuple[Cut, ...]:
    """The mildest of these, until the bytes are freed or nothing is left that takes room."""
    last: Position | None = None
    for item in stock.select((among,)) if wanted_bytes > 0 else ():
        last = mild_first(item)
        wanted_bytes -= item.stored_size + overhead_bytes
        if wanted_bytes <= 0:
            break
    return (replace(among, up_to=last),) if last else ()
