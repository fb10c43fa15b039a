"""What else the store knows of an incident's time, and of its program: what `explain` compares it with."""

from __future__ import annotations

from datetime import timedelta

from monitord.export.explaining import HOT_SHARE, Surroundings
from monitord.model import ProfileRecord
from monitord.redaction.naming import kinship
from monitord.storage.events.rows import clipped
from monitord.storage.queries import StoreReader
from monitord.storage.views import HotFilter, IncidentView, RecentFilter

_NEAR = timedelta(minutes=5)
_EARLIER = timedelta(days=7)
_FUNCTIONS = 3


def surroundings_of(reader: StoreReader, view: IncidentView) -> Surroundings:
    """What else the store knows of that time and of that program."""
    near = RecentFilter(limit=20, since=view.raised_at - _NEAR, until=view.raised_at + _NEAR)
    same = RecentFilter(
        limit=100, since=view.raised_at - _EARLIER, until=view.raised_at, rule=view.rule or None
    )
    own = _kinship(view.record)
    earlier = [each for each in reader.recent(same) if _kinship(each) == own]
    recurring = [
        found
        for spot in view.hotspots[:_FUNCTIONS]
        if spot.self_share >= HOT_SHARE and spot.function
        for found in reader.hot(
            HotFilter(
                function=clipped(spot.function),
                module=clipped(spot.module),
                since=view.raised_at - _EARLIER,
                limit=1,
            )
        )
    ]
    return Surroundings(reader.recent(near), earlier, recurring)


def _kinship(record: ProfileRecord) -> tuple[str, ...]:
    return kinship(record.process_name, record.command_line)
