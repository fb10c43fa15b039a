"""Which stored passes stand on both sides of a moment. Pure.

Rows are numbered in the order of recording. Where the clock was set back two recordings hold the same time:
then the later one is told of, alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from monitord.model import Rates
from monitord.storage.views import NearHistory

STEP_S = 15.0
Passes = Sequence[Rates]


def near_of(rows: Iterable[tuple[int, Passes]], at: datetime) -> NearHistory:
    """Return what is known around a moment, from the rows around it: each its number and its passes."""
    ordered = [passes for _number, passes in sorted(rows, key=lambda row: row[0]) if passes]
    holding = [passes for passes in ordered if passes[0].taken_at <= at <= passes[-1].taken_at]
    if len(holding) > 1:
        ordered = ordered[ordered.index(holding[-1]) :]
    earlier = [rates for passes in ordered for rates in passes if rates.taken_at <= at]
    later = [rates for passes in ordered for rates in passes if rates.taken_at > at]
    return NearHistory(
        before=max(earlier, key=_time, default=None),
        after=min(later, key=_time, default=None),
        step_s=STEP_S,
        with_processes=max((rates for rates in earlier if rates.processes), key=_time, default=None),
        is_twice=len(holding) > 1,
    )


def _time(rates: Rates) -> datetime:
    return rates.taken_at
