"""When this boot and those before it began, by the clock as it was put right at last.

Each pass notes when this boot began by the clock of now: the time less the uptime, which nobody can set. What
that says of incidents raised under a wrong clock stands in `monitord.storage.incident_stock.happened_at`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord.jobs.clock_guard import Moment

STATE_KEY = "retention.boots"
_REMEMBERED = 64  # boots; the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Boots:
    """Boots by their id: when each began and was seen last."""

    spans: Mapping[str, tuple[datetime, datetime]]

    def seen(self, now: Moment) -> Boots:
        """Return the boots with this moment noted."""
        began = now.wall - timedelta(seconds=now.uptime.boottime_s)
        others = {boot: span for boot, span in self.spans.items() if boot != now.uptime.boot_id}
        spans = dict(list(others.items())[-_REMEMBERED + 1 :])
        return Boots({**spans, now.uptime.boot_id: (began, now.wall)})

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
