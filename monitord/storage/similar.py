"""Stored incidents that are like one: found by their hot functions' events and by cause, then compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from monitord.errors import DamagedRowError
from monitord.model import ProfileRecord
from monitord.profiles.similarity import MOST_FUNCTIONS, WEIGHTS, Traits, agreement, is_telling, traits_of
from monitord.storage.cells import SENSELESS, Row, columns_of, read_cells
from monitord.storage.records import StoredIncident
from monitord.storage.views import IncidentSpan, IncidentView

if TYPE_CHECKING:  # asking how often needs only the reader that asks: `recent` stays fast
    from monitord.storage.past import PastReader
    from monitord.storage.queries import StoreReader

_COMPARED = 500  # the newest: each is read with its functions
_WEEK = timedelta(days=7)
_PAGE = 200
MOST_OF_A_WEEK = 500
"""So many incidents are looked at for a page of rows: 40 ms on a busy machine where each has ten hot
functions. Of a row whose week has more it is not known."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """An incident, and by what one recognises it."""

    correlation_id: str
    raised_at: datetime
    traits: Traits


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


def with_times(reader: StoreReader, records: Iterable[ProfileRecord]) -> Iterator[ProfileRecord]:
    """Yield incidents' rows with how often each came in the seven days up to it, itself included."""
    remaining = iter(records)
    seen: dict[str, Recognised | None] = {}  # the weeks of two pages overlap
    while page := list(islice(remaining, _PAGE)):
        times, seen = _times(reader, page, seen)
        yield from (replace(each, times_this_week=times.get(each.correlation_id)) for each in page)


def incident_with_times(reader: StoreReader, correlation_id: str) -> IncidentView:
    """Return what is kept of an incident, its row as `with_times` gives it; raises NotFoundError."""
    view = reader.incident(correlation_id)
    return replace(view, record=next(with_times(reader, [view.record])))


def _times(
    reader: StoreReader, page: Sequence[ProfileRecord], seen: Mapping[str, Recognised | None]
) -> tuple[dict[str, int], dict[str, Recognised | None]]:
    """How often each came, by its id, without those of which it is not known; and what was looked at."""
    raised = [each.raised_at for each in page if each.raised_at is not None]
    if not raised:
        return {}, {}
    earliest = _week_before(min(raised))
    rows = {
        str(row["correlation_id"]): row for row in reader.recognisable(earliest, max(raised), MOST_OF_A_WEEK)
    }
    is_cut = len(rows) == MOST_OF_A_WEEK
    oldest = _recognised(next(reversed(rows.values()))) if is_cut else None
    if oldest and _week_before(max(raised)) < oldest.raised_at:
        return {}, {}  # not even of the newest is it known: 500 need not be read for nothing
    looked_at = {name: seen[name] if name in seen else _recognised(row) for name, row in rows.items()}
    found = [each for each in looked_at.values() if each]
    known_from = (found[-1].raised_at if found else max(raised)) if is_cut else earliest
    by_mark: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for number, each in enumerate(found):
        for mark in each.traits.marks:
            by_mark[mark].add(number)
    wanted = {each.correlation_id for each in page}
    times = {}
    for each in found:
        since = _week_before(each.raised_at)
        if each.correlation_id in wanted and since >= known_from:
            alike = set[int]().union(*(by_mark[mark] for mark in each.traits.marks))
            times[each.correlation_id] = 1 + sum(
                since <= found[number].raised_at < each.raised_at for number in alike
            )
    return times, looked_at


def _week_before(moment: datetime) -> datetime:
    """Seven days earlier; a damaged cell may hold the first days of time."""
    first = datetime.min.replace(tzinfo=UTC)
    return moment - _WEEK if moment - first > _WEEK else first


def _recognised(row: Row) -> Recognised | None:
    """Return an incident's traits from its row; None of a damaged one: the list that has it tells of it."""
    try:
        # The rest of a profile, nine functions of ten, is not made into values only to be left out.
        told = [s for s in json.loads(row["hotspots"]) if is_telling(s["function"], s["self_share"])]
        told = sorted(told, key=lambda spot: -spot["self_share"])[:MOST_FUNCTIONS]
        hot = columns_of(StoredIncident)["hotspots"].kind.value(told)
        held = read_cells(StoredIncident, {name: row[name] for name in row if name != "hotspots"})
        return Recognised(
            held["correlation_id"],
            held["raised_at"],
            traits_of(hot, held["cause"], held["process_name"], held["trigger_metric"]),
        )
    except (DamagedRowError, *SENSELESS):
        return None


def _weight(agreed: tuple[str, ...]) -> int:
    return sum(WEIGHTS[name] for name in agreed)
