"""Stored incidents that are like one: found by their hot functions' events and by cause, then compared."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from monitord.errors import DamagedRowError
from monitord.model import Cause, ProfileRecord
from monitord.profiles.similarity import MOST_FUNCTIONS, WEIGHTS, Traits, agreement, is_telling, traits_of
from monitord.storage.cells import SENSELESS, Row, columns_of, read_cells, text_of
from monitord.storage.records import StoredIncident
from monitord.storage.views import AlikeKeys, IncidentSpan, IncidentView

if TYPE_CHECKING:  # asking how often needs only the reader that asks: `recent` stays fast
    from monitord.storage.past import PastReader
    from monitord.storage.queries import StoreReader

_COMPARED = 500  # the newest: each is read with its functions
_WEEK = timedelta(days=7)
_PAGE = 200
MOST_OF_A_WEEK = 500
"""So many incidents are all looked at for a page of rows: 25 ms where each has ten hot functions. Where there
are as many, only those are that may be like one of the page's."""
MOST_ALIKE = 1000
"""So many events of functions and statements lead to these: the most frequent names are left out beyond."""
_LATEST = 100
"""Of rows with such a name it is known how often they came among so many, the newest: at least so often."""
_CELLS = ("correlation_id", "raised_at", "process_name", "trigger_metric")


@dataclass(frozen=True, slots=True)
class Recognised:
    """An incident, and by what one recognises it."""

    correlation_id: str
    raised_at: datetime
    traits: Traits
    functions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Times:
    """How often an incident came: exactly, None where that is not known, and at least."""

    exact: int | None
    at_least: int | None


_UNKNOWN = Times(None, None)


@dataclass(frozen=True, slots=True)
class SimilarIncident:
    """An incident that is like another one, and what of them agrees, what tells most first."""

    span: IncidentSpan
    agreed: tuple[str, ...]


def similar_to(reader: PastReader, view: IncidentView) -> list[SimilarIncident]:
    """Return the incidents that are like this one, those first of which most agrees, then the newest."""
    traits = traits_of(view.hotspots, _kind(view.cause), view.process_name, view.metric)
    names = [spot.function for spot in view.hotspots]
    found = []
    for span in reader.alike(names, traits.cause, view.process_name, _COMPARED):
        if span.correlation_id == view.correlation_id:
            continue
        other = traits_of(span.hotspots, _kind(span.cause), span.process_name, span.trigger_metric)
        if agreed := agreement(traits, other):
            found.append(SimilarIncident(span, agreed))
    return sorted(found, key=lambda each: (-_weight(each.agreed), -each.span.raised_at.timestamp()))


def with_times(reader: StoreReader, records: Iterable[ProfileRecord]) -> Iterator[ProfileRecord]:
    """Yield incidents' rows with how often each came in the seven days up to it, itself included."""
    remaining = iter(records)
    seen: dict[str, Recognised | None] = {}  # the weeks of two pages overlap
    while page := list(islice(remaining, _PAGE)):
        times, seen = _times(reader, page, seen)
        for each in page:
            known = times.get(each.correlation_id, _UNKNOWN)
            yield replace(each, times_this_week=known.exact, times_this_week_at_least=known.at_least)


def incident_with_times(reader: StoreReader, correlation_id: str) -> IncidentView:
    """Return what is kept of an incident, its row as `with_times` gives it; raises NotFoundError."""
    view = reader.incident(correlation_id)
    return replace(view, record=next(with_times(reader, [view.record])))


def _times(
    reader: StoreReader, page: Sequence[ProfileRecord], seen: Mapping[str, Recognised | None]
) -> tuple[dict[str, Times], dict[str, Recognised | None]]:
    """How often each came, by its id, without those of which nothing is known; and what was looked at."""
    raised = [each.raised_at for each in page if each.raised_at is not None]
    if not raised:
        return {}, {}
    looked_at: dict[str, Recognised | None] = {}

    def recognised(rows: Iterable[Row]) -> list[Recognised]:
        by_id = _by_id(rows)
        fresh = {name: seen.get(name) or looked_at.get(name) or _recognised(by_id[name]) for name in by_id}
        looked_at.update(fresh)
        return [each for each in fresh.values() if each]

    wanted = {each.correlation_id for each in page}
    since, until = _week_before(min(raised)), max(raised)
    week, is_whole = reader.recognisable(since, until, MOST_OF_A_WEEK, _LATEST)
    if is_whole:
        found = recognised(week)
        return _counted([each for each in found if each.correlation_id in wanted], found), looked_at
    held = [row for row in week if row["correlation_id"] in wanted]
    named = wanted.difference(_by_id(held))
    own = recognised([*held, *reader.recognisable_named(sorted(named))])
    if not own:
        return {}, looked_at
    rows, common = reader.recognisable_alike(_keys_of(own), since, until, MOST_ALIKE)
    frequent = [each for each in own if _has_one(each, common)]
    alike = [*recognised([*rows, *(week if frequent else ())]), *own]
    times = _counted(own, list({each.correlation_id: each for each in alike}.values()))
    for each in frequent:
        times[each.correlation_id] = Times(None, times[each.correlation_id].at_least)
    return times, looked_at


def _by_id(rows: Iterable[Row]) -> dict[str, Row]:
    return {str(row["correlation_id"]): row for row in rows}


def _counted(wanted: Iterable[Recognised], found: Sequence[Recognised]) -> dict[str, Times]:
    """How often each of those wanted came, where those found are all that are like it."""
    in_order = sorted(found, key=lambda each: each.raised_at)
    moments = [each.raised_at for each in in_order]
    by_mark: dict[tuple[str, ...], int] = defaultdict(int)  # a bit for each that has it, in the order of time
    for number, each in enumerate(in_order):
        for mark in each.traits.marks:
            by_mark[mark] |= 1 << number
    times = {}
    for each in wanted:
        alike = 0
        for mark in each.traits.marks:
            alike |= by_mark[mark]
        earlier = alike & ((1 << bisect_left(moments, each.raised_at)) - 1)
        count = 1 + (earlier >> bisect_left(moments, _week_before(each.raised_at))).bit_count()
        times[each.correlation_id] = Times(count, count)
    return times


def _has_one(each: Recognised, keys: AlikeKeys) -> bool:
    traits = each.traits
    is_rare = each.functions.isdisjoint(keys.functions) and traits.statements.isdisjoint(keys.statements)
    return not is_rare or (traits.cause in keys.causes and traits.process in keys.processes)


def _keys_of(group: Iterable[Recognised]) -> AlikeKeys:
    """By what the incidents are found that may be like one of these."""
    functions, statements, causes, processes = set[str](), set[str](), set[str](), set[str]()
    for each in group:
        functions |= each.functions
        statements |= each.traits.statements
        if each.traits.cause is not None:
            causes.add(each.traits.cause)
            processes.add(each.traits.process)
    return AlikeKeys(functions, statements, causes, processes)


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
        hot = columns_of(StoredIncident)["hotspots"].kind.value(
            [{name: spot[name] for name in spot if name != "statements"} for spot in told]
        )
        held = read_cells(StoredIncident, {name: row[name] for name in _CELLS})
        traits = traits_of(hot, text_of(row["cause"]), held["process_name"], held["trigger_metric"])
        functions = frozenset(spot.function for spot in hot)
        return Recognised(held["correlation_id"], held["raised_at"], traits, functions)
    except (DamagedRowError, *SENSELESS):
        return None


def _kind(cause: Cause | None) -> str | None:
    return cause.kind if cause else None


def _weight(agreed: tuple[str, ...]) -> int:
    return sum(WEIGHTS[name] for name in agreed)
