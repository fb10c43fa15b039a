"""Which stored passes stand on both sides of a moment.

Rows are numbered in the order of recording. Where the clock was set back two recordings hold the same time:
then the later one is told of, alone. A row is unpacked when it is needed, and of its passes two or three.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from monitord.model import Rates
from monitord.storage.thinning import COARSE_S, StoredPasses
from monitord.storage.views import NearHistory

_LOOK_BACK = timedelta(minutes=1)  # for a pass that looked at processes


@dataclass(frozen=True, slots=True)
class StoredRow:
    """Passes that stand `step_s` apart, in the order of time. `number` is that of recording."""

    number: int
    step_s: int
    since: datetime
    until: datetime
    cell: bytes

    @property
    def passes(self) -> StoredPasses:
        return _passes_of(self.cell)

    def spots(self, at: datetime) -> tuple[list[_Spot], list[_Spot]]:
        """Those up to a moment, the newest first, and those after it."""
        times = self.passes.times
        end = bisect_right(times, at)
        earlier = [_Spot(self, i) for i in range(end - 1, -1, -1)]
        return earlier, [_Spot(self, i) for i in range(end, min(end + 1, len(times)))]


@lru_cache(maxsize=8)
def _passes_of(cell: bytes) -> StoredPasses:
    """The same rows are asked for again and again by who goes through them."""
    return StoredPasses(cell)


@dataclass(frozen=True, slots=True)
class _Spot:
    """One pass of a row, not read yet."""

    row: StoredRow
    index: int

    def rates(self) -> Rates:
        return self.row.passes.rates(self.index)

    def looked(self) -> bool:
        return self.row.passes.looked(self.index)


def near_of(rows: Sequence[StoredRow], at: datetime) -> NearHistory:
    """Return what is known around a moment, from the rows around it."""
    holding = sorted((row for row in rows if row.since <= at <= row.until), key=lambda row: row.number)
    if len(holding) > 1:
        rows = [row for row in rows if row.number >= holding[-1].number]
    before = next(_earlier(rows, at), None)
    later = (row.spots(at)[1] for row in sorted(rows, key=lambda row: row.until) if row.until > at)
    after = next((spot for spots in later for spot in spots), None)
    seen = (spot for spot in _earlier(rows, at, at - _LOOK_BACK) if spot.looked())
    looked = next(seen, None)
    return NearHistory(
        before=before.rates() if before else None,
        after=after.rates() if after else None,
        step_s=max((spot.row.step_s for spot in (before, after) if spot), default=COARSE_S),
        with_processes=looked.rates() if looked else None,
        is_twice=len(holding) > 1,
    )


def _earlier(rows: Sequence[StoredRow], at: datetime, since: datetime | None = None) -> Iterator[_Spot]:
    """Passes up to a moment, the newest first, of rows that reach to `since`."""
    for row in sorted(rows, key=lambda row: row.until, reverse=True):
        if row.since <= at and (since is None or row.until >= since):
            yield from row.spots(at)[0]
