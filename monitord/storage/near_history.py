"""Which stored passes stand on both sides of a moment. Pure.

Rows are numbered in the order of recording. Where the clock was set back two recordings hold the same time:
then the later one is told of, alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from monitord.model import Rates
from monitord.storage.thinning import COARSE_S, StoredPasses
from monitord.storage.views import NearHistory


@dataclass(frozen=True, slots=True)
class StoredRow:
    """Passes that stand `step_s` apart, in the order of time. `number` is that of recording."""

    number: int
    step_s: int
    passes: StoredPasses

    def holds(self, at: datetime) -> bool:
        return self.passes.times[0] <= at <= self.passes.times[-1]


@dataclass(frozen=True, slots=True)
class _Spot:
    """One pass of a row, not read yet."""

    row: StoredRow
    index: int

    @property
    def taken_at(self) -> datetime:
        return self.row.passes.times[self.index]

    def rates(self) -> Rates:
        return self.row.passes.rates(self.index)


def near_of(rows: Iterable[StoredRow], at: datetime) -> NearHistory:
    """Return what is known around a moment, from the rows around it."""
    ordered = sorted((row for row in rows if row.passes.times), key=lambda row: row.number)
    holding = [row for row in ordered if row.holds(at)]
    if len(holding) > 1:
        ordered = ordered[ordered.index(holding[-1]) :]
    ends = [(row, bisect_right(row.passes.times, at)) for row in ordered]
    before = max((_Spot(row, end - 1) for row, end in ends if end), key=_time, default=None)
    later = (_Spot(row, end) for row, end in ends if end < len(row.passes.times))
    after = min(later, key=_time, default=None)
    looked = max((spot for row, end in ends for spot in _last_look(row, end)), key=_time, default=None)
    return NearHistory(
        before=before.rates() if before else None,
        after=after.rates() if after else None,
        step_s=max((spot.row.step_s for spot in (before, after) if spot), default=COARSE_S),
        with_processes=looked.rates() if looked else None,
        is_twice=len(holding) > 1,
    )


def _last_look(row: StoredRow, end: int) -> list[_Spot]:
    """The last pass before `end` that looked at processes, if any."""
    return next(([_Spot(row, i)] for i in range(end - 1, -1, -1) if row.passes.looked(i)), [])


def _time(spot: _Spot) -> datetime:
    return spot.taken_at
