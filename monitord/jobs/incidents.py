"""The incidents of the store as a lifecycle sees them.

Each incident is up to two items, because it goes in two steps: its *evidence* (big, deleted by making it a
summary), and its *summary* (small; deleting it removes the incident whole).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from monitord.storage.artefacts.lifecycle import KIND, PROCESS, Item, LifecycleError, Stock
from monitord.storage.views import RetentionRow, Usage

EVIDENCE, SUMMARY = "evidence", "summary"
BARE = "bare"  # the tag of a summary whose evidence went before


class IncidentStore(Protocol):
    """How evidence and incidents go; deleting twice is not an error."""

    def drop_evidence(self, correlation_ids: Sequence[str], /) -> int: ...
    def delete_incidents(self, correlation_ids: Sequence[str], /) -> int: ...


class Incidents:
    """An inventory of incidents as they were when their rows were read.

    `stuck` are the keys of items that could not go before; they count as pinned, so that others go instead.
    Without a store it can be judged but nothing can go.
    """

    def __init__(
        self,
        rows: Sequence[RetentionRow],
        usage: Usage,
        store: IncidentStore | None = None,
        *,
        stuck: Collection[str] = (),
    ) -> None:
        self.rows = rows
        self.usage = usage
        self._store = store
        self._stuck = stuck
        self._gone: set[str] = set()
        self._stock: Stock | None = None
        self._tags: dict[tuple[object, ...], Mapping[str, str]] = {}

    def stock(self) -> Stock:
        if self._stock is None:
            items = (item for row in self.rows for item in self._items(row))
            self._stock = Stock.of(items, self.usage.total_bytes, self.usage.free_disk_bytes)
        return self._stock

    def _items(self, row: RetentionRow) -> Iterator[Item]:
        if not row.is_summary:
            yield self._item(row, EVIDENCE, row.artefact_bytes)
        yield self._item(row, SUMMARY, row.artefact_bytes if row.is_summary else 0)

    def _item(self, row: RetentionRow, kind: str, freed_bytes: int) -> Item:
        key = f"{kind}/{row.correlation_id}"
        tags = self._tags_of(kind, row.process_name, kind == SUMMARY and row.is_summary)
        pinned = row.pinned or key in self._stuck
        return Item(key, freed_bytes, row.raised_at, row.severity, pinned, tags)

    def _tags_of(self, kind: str, process_name: str, is_bare: bool) -> Mapping[str, str]:
        """One mapping for all items that are alike: there may be a hundred thousand of them."""
        tags = {KIND: kind, PROCESS: process_name} | ({BARE: "yes"} if is_bare else {})
        return self._tags.setdefault((kind, process_name, is_bare), tags)

    def archive(self, keys: Sequence[str]) -> None:
        raise LifecycleError("cannot archive incidents; archive their artefacts")

    def delete(self, keys: Sequence[str]) -> None:
        if self._store is None:
            raise LifecycleError("these incidents are only looked at")
        doomed = [correlation_id_of(key) for key in keys if is_summary(key)]
        if doomed:
            self._store.delete_incidents(doomed)
            self._gone.update(doomed)
        bare = [correlation_id_of(key) for key in keys if not is_summary(key)]
        if bare := [each for each in bare if each not in self._gone]:
            self._store.drop_evidence(bare)


def is_summary(key: str) -> bool:
    """Whether this item's deletion takes the incident whole."""
    return key.startswith(f"{SUMMARY}/")


def correlation_id_of(key: str) -> str:
    """The incident that an item belongs to."""
    return key.partition("/")[2]


def evidence_bytes(row: RetentionRow) -> int:
    """What dropping its evidence frees: nothing when only the summary is left, which stays."""
    return 0 if row.is_summary else row.artefact_bytes
