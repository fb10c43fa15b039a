"""What a policy is asked, and what it is told first: all items there are, and the time. Policies are pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Protocol

from monitord.storage.artefacts.metadata import StorageMetadata

# The tags that policies go by.
KIND, PROCESS, SEVERITY, PINNED = "kind", "process", "severity", "pinned"
_NOT_PINNED = ("", "0", "false", "no")


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is to judge: the items that may go, and those that somebody pinned.

    An item's `stored_size` is what its deletion frees. `total_bytes` is what everything takes, the items and
    what lies beside them; `free_disk_bytes` is what the disk has left, None where there is no disk to fill.
    """

    movable: tuple[StorageMetadata, ...]
    pinned: tuple[StorageMetadata, ...]
    total_bytes: int
    free_disk_bytes: int | None = None

    @classmethod
    def of(
        cls, items: Iterable[StorageMetadata], total_bytes: int, free_disk_bytes: int | None = None
    ) -> Stock:
        """Make the stock of all items, told apart by their tags."""
        movable: list[StorageMetadata] = []
        pinned: list[StorageMetadata] = []
        for item in items:
            (pinned if is_pinned(item) else movable).append(item)
        return cls(tuple(movable), tuple(pinned), total_bytes, free_disk_bytes)

    @property
    def items(self) -> Iterator[StorageMetadata]:
        """All items, whatever their tags."""
        return chain(self.movable, self.pinned)

    def without(self, keys: Collection[str]) -> Stock:
        """What there is once these are deleted; pinned ones stay."""
        if not keys:
            return self
        left = tuple(item for item in self.movable if item.key not in keys)
        return self._with(left)

    def archived(self, keys: Collection[str]) -> Stock:
        """What there is once these are moved to the archive; what their pointers take is not known yet."""
        if not keys:
            return self
        moved = (
            replace(item, stored_size=0, archived_in="archive") if item.key in keys else item
            for item in self.movable
        )
        return self._with(tuple(moved))

    def _with(self, movable: tuple[StorageMetadata, ...]) -> Stock:
        freed = sum(item.stored_size for item in self.movable) - sum(item.stored_size for item in movable)
        free = None if self.free_disk_bytes is None else self.free_disk_bytes + freed
        return Stock(movable, self.pinned, self.total_bytes - freed, free)


class LifecyclePolicy(Protocol):
    """Says of each item whether it goes. Pinned items are never asked about, and items archived already
    not about archiving.
    """

    def consider(self, stock: Stock, now: datetime) -> LifecyclePolicy:
        """The same policy, ready to be asked about these items at this time; nothing else is remembered.

        The stock is what the policies before it leave.
        """
        ...

    def should_archive(self, metadata: StorageMetadata) -> bool:
        """Whether the item's bytes are to be moved to the archive."""
        ...

    def should_delete(self, metadata: StorageMetadata) -> bool:
        """Whether the item is to be deleted."""
        ...

    def get_retention_period(self) -> timedelta | None:
        """How long items stay; None when the policy does not judge by the clock.

        Who can't trust the clock leaves the policies out that have one.
        """
        ...


def is_pinned(item: StorageMetadata) -> bool:
    """Whether a person wants it kept, whatever the policies say."""
    return item.tags.get(PINNED, "") not in _NOT_PINNED


def severity_of(item: StorageMetadata) -> float:
    """How bad it was; 0 when nobody said, or not in a number."""
    try:
        severity = float(item.tags.get(SEVERITY, 0.0))
    except ValueError:
        return 0.0
    return 0.0 if math.isnan(severity) else severity  # NaN can't be ordered


def mild_first(item: StorageMetadata) -> tuple[float, datetime, str]:
    """The order in which items go for room: the mild before the bad, then the old before the new."""
    return (severity_of(item), item.created_at, item.key)


def has_tags(item: StorageMetadata, wanted: Mapping[str, str]) -> bool:
    """Whether the item carries all of these."""
    return wanted.items() <= item.tags.items()
