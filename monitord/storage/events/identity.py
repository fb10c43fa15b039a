"""An event's id is its time: microseconds since 1970 UTC, times 2,048, plus a count within the microsecond.

So the table itself is the time index, every other index has its rows in the order of time, and an id is a
cursor. When a microsecond is full (2,048 events), the next one takes the rest: such an event is told to
have happened a microsecond later.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from monitord.errors import UsageError

EVENTS_PER_MICROSECOND = 2048
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY_S = 86_400
_LAST = datetime(2110, 1, 1, tzinfo=UTC)  # what 63 bits hold, roughly


def id_at(moment: datetime, name: str = "taken_at") -> int:
    """Return the smallest id of this time; raises UsageError for one without zone, or that can't be kept."""
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise UsageError(f"invalid {name}: {moment!r}, expected a time with its zone")
    if not _EPOCH <= moment < _LAST:
        raise UsageError(f"invalid {name}: {moment.isoformat()}, expected between 1970 and 2110")
    since = moment - _EPOCH  # its whole numbers, because to divide a timedelta takes twice as long
    return ((since.days * _DAY_S + since.seconds) * 1_000_000 + since.microseconds) * EVENTS_PER_MICROSECOND


def time_of_id(event_id: int) -> datetime:
    """Return when the event of this id happened."""
    return _EPOCH + event_id // EVENTS_PER_MICROSECOND * _MICROSECOND


def numbered(first: Iterable[int], taken: Iterable[int]) -> list[int]:
    """An id for each event, given the first id of its time (`id_at`) and those that are taken from there on.

    Equal times get ids in the order in which they come.
    """
    occupied = set(taken)
    next_free: dict[int, int] = {}
    ids = []
    for base in first:
        free = next_free.get(base, base)
        while free in occupied:
            free += 1
        occupied.add(free)
        next_free[base] = free + 1
        ids.append(free)
    return ids
