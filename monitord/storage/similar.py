"""Stored incidents that are like one: found by their hot functions' events and by cause, then compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitord.profiles.similarity import WEIGHTS, agreement, traits_of
from monitord.storage.past import PastReader
from monitord.storage.views import IncidentSpan, IncidentView

_COMPARED = 500  # the newest: each is read with its functions
_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SimilarIncident:
    """An incident that is like another one, and what of them agrees, what tells most first."""

    span: IncidentSpan
    agreed: tuple[str, ...]


def similar_to(reader: PastReader, view: IncidentView) -> list[SimilarIncident]:
    """Return the incidents that are like this one, those first of which most agrees, then the newest."""
    traits = traits_of(view.hotspots, view.cause, view.process_name, view.metric)
    names = [spot.function for spot in view.hotspots]
    found = []
    for span in reader.alike(names, traits.cause, view.process_name, _COMPARED):
        if span.correlation_id == view.correlation_id:
            continue
        other = traits_of(span.hotspots, span.cause, span.process_name, span.trigger_metric)
        if agreed := agreement(traits, other):
            found.append(SimilarIncident(span, agreed))
    return sorted(found, key=lambda each: (-_weight(each.agreed), -each.span.raised_at.timestamp()))


def times_within_week(view: IncidentView, found: Sequence[SimilarIncident]) -> int:
    """How often it came in the seven days up to an incident, itself included."""
    since = view.raised_at - _WEEK
    return 1 + sum(since <= each.span.raised_at < view.raised_at for each in found)


def _weight(agreed: tuple[str, ...]) -> int:
    return sum(WEIGHTS[name] for name in agreed)
