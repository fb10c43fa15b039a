"""Which stored passes stand on both sides of a moment. Pure.

Rows are numbered in the order of recording. Where the clock was set back two recordings hold the same time:
then the later one is told of, alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitord.model import Rates
from monitord.storage.thinning import COARSE_S
from monitord.storage.views import NearHistory


@dataclass(frozen=True, slots=True)
class StoredRow:
    """Passes that stand `step_s` apart, in the order of time. `number` is that of recording."""

    number: int
    step_s: int
    passes: Sequence[Rates]

    def holds(self, at: datetime) -> bool:
        return self.passes[0].taken_at <= at <= self.passes[-1].taken_at


def near_of(rows: Iterable[StoredRow], at: datetime) -> NearHistory:
    """Return what is known around a moment, from the rows around it."""
    ordered = sorted((row for row in rows if row.passes), key=lambda row: row.number)
    holding = [row for row in ordered if row.holds(at)]
    if len(holding) > 1:
        ordered = ordered[ordered.index(holding[-1]) :]
    every = [(rates, row.step_s) for row in ordered for rates in row.passes]
    earlier = [each for each in every if each[0].taken_at <= at]
    before = max(earlier, key=_time, default=(None, 0))
    after = min((each for each in every if each[0].taken_at > at), key=_time, default=(None, 0))
    looked = max((each for each in earlier if each[0].processes), key=_time, default=(None, 0))
    return NearHistory(
        before=before[0],
        after=after[0],
        step_s=max(before[1], after[1]) or COARSE_S,
        with_processes=looked[0],
        is_twice=len(holding) > 1,
    )


def _time(each: tuple[Rates, int]) -> datetime:
    return each[0].taken_at
