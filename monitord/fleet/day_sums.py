"""The sums of a day in a host's file of hotspots: one row stands for all hours of a function.

They lie in columns behind the others of the same rows, so an earlier version reads what was always there,
and no sum can be of other rows than its file has. Where a sum could differ from the hours by a single sample
each row stands for itself: numbers that can't be, and two versions of a program that ran side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from monitord.analytics.tables import HOTSPOTS, Table

Row = tuple[object, ...]
_MOST = 10**12  # what questions take for a number of samples
_ELSEWHERE = (0, *(None,) * (len(HOTSPOTS.sums) - 1))


def with_sums(table: Table, rows: Sequence[Row]) -> list[Row]:
    """Return a day's rows with the table's sums behind them; of a table without any the rows themselves."""
    if table is not HOTSPOTS:
        return [*rows]
    by_process: dict[object, list[int]] = {}
    for place, row in enumerate(rows):
        if row[_SOURCE] not in (None, "baseline"):  # no question counts these
            by_process.setdefault(row[_PROCESS], []).append(place)
    sums: list[tuple[object, ...]] = [_ELSEWHERE] * len(rows)
    for places in by_process.values():
        mine = {place: rows[place] for place in places}
        if all(map(_is_plain, mine.values())) and _succeed_each_other(mine.values()):
            found = _summed(mine)
        else:
            found = {}
        for place, row in mine.items():
            sums[place] = found.get(place) or _itself(row)
    return [(*row, *own) for row, own in zip(rows, sums, strict=True)]


def _is_plain(row: Any) -> bool:
    numbers = (row[_INCIDENTS], row[_SELF], row[_TOTAL], row[_SAMPLES])
    return (
        isinstance(row[_HOUR], datetime)
        and all(isinstance(one, int) and 0 <= one <= _MOST for one in numbers)
        and row[_SAMPLES] > 0
    )


def _succeed_each_other(rows: Iterable[Any]) -> bool:
    """Whether each version began after the one before, and no earlier than its last hour.

    Then all hours of a version lie before the arrival of another one (its first hour among them), or none.
    """
    spans: dict[object, tuple[datetime, datetime]] = {}
    for row in rows:
        first, last = spans.get(row[_VERSION], (row[_HOUR], row[_HOUR]))
        spans[row[_VERSION]] = min(first, row[_HOUR]), max(last, row[_HOUR])
    in_order = sorted(spans.values())
    return all(one[0] < next_one[0] and one[1] <= next_one[0] for one, next_one in pairwise(in_order))


def _itself(row: Any) -> tuple[object, ...]:
    return 1, row[_HOUR], row[_HOUR], row[_INCIDENTS], row[_SELF], row[_TOTAL], row[_SAMPLES]


def _summed(rows: dict[int, Any]) -> dict[int, tuple[object, ...]]:
    """Give the first row of each function the sum of all, and every other one a zero; {}: too large ones."""
    samples: dict[object, dict[datetime, int]] = {}
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, row in rows.items():
        of_hour = samples.setdefault((row[_VERSION], row[_SOURCE]), {})
        of_hour[row[_HOUR]] = max(of_hour.get(row[_HOUR], 0), row[_SAMPLES])
        groups.setdefault(tuple(row[at] for at in _FUNCTION), []).append(place)
    found: dict[int, tuple[object, ...]] = {}
    for (version, source, *_what), places in groups.items():
        hours = samples[version, source]
        counts = [
            *(sum(rows[place][at] for place in places) for at in (_INCIDENTS, _SELF, _TOTAL)),
            sum(hours.values()),
        ]
        if max(counts) > _MOST:
            return {}
        found |= dict.fromkeys(places, _ELSEWHERE)
        bearer = min(places, key=lambda place: (rows[place][_HOUR], place))
        until = max(rows[place][_HOUR] for place in places)
        found[bearer] = (len(places), min(hours), until, *counts)
    return found


_NAMES = [name for name, _kind in HOTSPOTS.columns]
_HOUR, _PROCESS, _VERSION, _SOURCE = map(_NAMES.index, ("hour", "process", "version", "taken_from"))
_INCIDENTS, _SELF, _TOTAL, _SAMPLES = map(
    _NAMES.index, ("incidents", "self_samples", "total_samples", "process_samples")
)
_FUNCTION = (_VERSION, _SOURCE, *map(_NAMES.index, ("function", "module", "file", "line")))
