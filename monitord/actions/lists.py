"""Lists that are asked for: incidents, events, hot functions; the newest or hottest first.

They are lazy: a store that is not there is a NotFoundError at the first item.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from monitord.actions.rule_names import unknown_rule
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError
from monitord.model import Event, ProfileRecord
from monitord.storage.events import EventFilter
from monitord.storage.queries import StoreReader
from monitord.storage.similar import with_times
from monitord.storage.views import HotFilter, HotFunction, RecentFilter

if TYPE_CHECKING:
    from monitord.storage.event_search import EventSearch

_Found = TypeVar("_Found")
_LOOK_BACK = timedelta(minutes=15)  # an incident's samples are older than the incident, by the ring's length


@dataclass(frozen=True, slots=True)
class EventQuestion:
    """Which events: what an index knows (`wanted`), of one incident, and what no index knows."""

    wanted: EventFilter
    incident: str | None = None
    process: str | None = None
    text: str | None = None


def recent(workspace: Workspace, wanted: RecentFilter) -> Iterator[ProfileRecord]:
    """Yield each incident's leading row."""
    with workspace.reader() as reader:
        yield from with_times(reader, reader.each_recent(wanted))


def or_refused(workspace: Workspace, rule: str | None, found: Iterator[_Found]) -> Iterator[_Found]:
    """Yield what was found; where that is nothing, a rule that nobody knows is a NotFoundError."""
    is_empty = True
    for one in found:
        is_empty = False
        yield one
    if is_empty and (unknown := rule_not_known(workspace, rule)) is not None:
        raise unknown


def rule_not_known(workspace: Workspace, rule: str | None) -> NotFoundError | None:
    """Return what to say of a rule that is neither configured nor has incidents here; None of any other."""
    if rule is None:
        return None
    stored: list[str] = []
    with suppress(NotFoundError), workspace.reader() as reader:  # nobody has recorded here so far
        stored = [tally.rule for tally in reader.incidents_by_rule()]
    return unknown_rule(rule, [*(one.name for one in workspace.settings.rules), *stored])


def newest_id(workspace: Workspace) -> int:
    """Return the highest id of a row so far: what RecentFilter's `after_id` may begin with."""
    with workspace.reader() as reader:
        return reader.newest_id()


def events(workspace: Workspace, asked: EventQuestion) -> Iterator[Event]:
    """Return an iterator over events; an incident that is not there is a NotFoundError at once."""
    if asked.incident:
        with workspace.reader() as reader:
            asked = _with_its_id(reader, asked)
    return _newest(workspace, asked)


def _newest(workspace: Workspace, asked: EventQuestion) -> Iterator[Event]:
    with workspace.reader() as reader:
        yield from _search(reader, asked).newest()


def hot(workspace: Workspace, wanted: HotFilter) -> Iterator[HotFunction]:
    """Yield the functions that took most time across captures."""
    with workspace.reader() as reader:
        yield from reader.hot(wanted)


def incidents_asked_for(
    rule: str | None, user: str | None, unit: str | None, cause: str | None, *, pinned: bool | None
) -> RecentFilter | None:
    """Return which incidents hot functions may be of; None: of any."""
    asked = RecentFilter(rule=rule, user=user, unit=unit, cause=cause, pinned=pinned)
    return None if asked == RecentFilter() else asked


def follow_recent(workspace: Workspace, wanted: RecentFilter) -> Iterator[list[ProfileRecord]]:
    """Yield what there is, then at each further step what was stored since the one before; never ends.

    A rule that nobody knows is a NotFoundError at once: nothing would ever come.
    """
    if (unknown := rule_not_known(workspace, wanted.rule)) is not None:
        raise unknown
    reader = workspace.reader()
    last = yield from _once_there(reader)  # asked first: what comes in between is not lost
    found = list(with_times(reader, reader.each_recent(wanted)))
    seen = {record.id for record in found}
    while True:
        yield found
        fresh = reader.recent(replace(wanted, limit=None, after_id=last))
        last = max([last, *(record.id or 0 for record in fresh)])
        found = list(with_times(reader, (record for record in fresh if record.id not in seen)))


def _once_there(reader: StoreReader) -> Generator[list[Any], None, int]:
    """Yield nothing new while nobody has recorded here so far; then the newest id."""
    while True:
        try:
            return reader.newest_id()
        except NotFoundError:
            yield []


def follow_events(workspace: Workspace, asked: EventQuestion) -> Iterator[list[Event]]:
    """Yield what there is, then at each further step what was stored since the one before; never ends.

    Ids are times, and an incident's events are stored after they happened: each look goes back far enough to
    see them, and what was seen is not shown twice.
    """
    reader = workspace.reader()
    yield from _once_there(reader)
    search = _search(reader, _with_its_id(reader, asked))
    seen = {event.id for event in search.since(datetime.now(UTC) - _LOOK_BACK)}
    found = search.newest()
    seen |= {event.id for event in found}  # what came between the two questions was shown, too
    while True:
        yield found
        late = search.since(datetime.now(UTC) - _LOOK_BACK)
        found = [event for event in late if event.id not in seen]
        seen = {event.id for event in late}


def _with_its_id(reader: StoreReader, asked: EventQuestion) -> EventQuestion:
    """The same question, with the whole id of the incident that it names among what is wanted."""
    if not asked.incident:
        return asked
    wanted = replace(asked.wanted, correlation_id=reader.find(asked.incident).correlation_id)
    return replace(asked, wanted=wanted, incident=None)


def _search(reader: StoreReader, asked: EventQuestion) -> EventSearch:
    from monitord.storage.event_search import EventSearch

    return EventSearch(reader, asked.wanted, asked.process, asked.text)
