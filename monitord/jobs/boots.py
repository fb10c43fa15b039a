"""When things happened although the clock was wrong: an incident can't be older than its boot.

Each pass notes when this boot began by the clock of now (the time less the uptime, which nobody can set). An
incident of that boot with an earlier time was raised under a wrong clock: it counts from the boot's start.
One from the future counts from when its boot was seen last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from monitord.jobs.clock_guard import Moment
from monitord.storage.views import RetentionRow

STATE_KEY = "retention.boots"
_REMEMBERED = 64  # boots; the oldest are forgotten
_SLACK = timedelta(seconds=120)  # what clocks drift apart within a boot without being wrong

_Row = TypeVar("_Row", bound=RetentionRow)


@dataclass(frozen=True, slots=True)
class Boots:
    """Boots by their id: when each began and was seen last, by the clock as it was put right at last."""

    spans: Mapping[str, tuple[datetime, datetime]]

    def seen(self, now: Moment) -> Boots:
        """Return the boots with this moment noted."""
        began = now.wall - timedelta(seconds=now.uptime.boottime_s)
        others = {boot: span for boot, span in self.spans.items() if boot != now.uptime.boot_id}
        spans = dict(list(others.items())[-_REMEMBERED + 1 :])
        return Boots({**spans, now.uptime.boot_id: (began, now.wall)})

    def moment_of(self, boot_id: str | None, raised_at: datetime, now: datetime) -> datetime:
        """When it happened, as far as that is known."""
        began, seen_last = self.spans.get(boot_id or "", (raised_at, raised_at))
        if raised_at < began - _SLACK:
            return began
        return min(raised_at, seen_last) if raised_at > now + _SLACK else raised_at

    def as_json(self) -> dict[str, list[str]]:
        return {boot: [moment.isoformat() for moment in span] for boot, span in self.spans.items()}


def read_boots(state: object) -> Boots:
    """What `as_json` gave; anything unreadable counts as nothing remembered."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for boot, span in state.items() if isinstance(state, Mapping) else ():
        with contextlib.suppress(ValueError, TypeError):
            began, seen_last = (datetime.fromisoformat(text) for text in span)
            if began.tzinfo is not None and seen_last.tzinfo is not None:
                spans[str(boot)] = (began, seen_last)
    return Boots(spans)


def put_right(rows: Iterable[_Row], boots: Boots, now: datetime) -> Sequence[_Row]:
    """Return the rows with the times at which they happened, by the clock of each boot."""
    return [_moved(row, boots.moment_of(getattr(row, "boot_id", None), row.raised_at, now)) for row in rows]


def _moved(row: _Row, raised_at: datetime) -> _Row:
    if raised_at == row.raised_at:
        return row
    changed: Any = row
    moved: _Row = replace(changed, raised_at=raised_at)
    return moved
