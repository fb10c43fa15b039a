"""Single events, how many there are, letting the oldest go; here, or in a copy at a URL (`of`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from monitord.actions.confirming import require_confirmation
from monitord.actions.lists import EventQuestion
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, UsageError
from monitord.model import Event
from monitord.storage.artefacts.urls import shown_url

if TYPE_CHECKING:
    from monitord.storage.events import EventFilter
    from monitord.storage.events.far import FarEvents
    from monitord.storage.events.stats import EventStats

_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class EventPlace:
    """Which events: of the store here, or with `url` those of a host in a copy.

    `url` is one, where one stands (`file:`, `credential:`, `environment:`), or `events.url`: as configured.
    """

    url: str | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        if self.host is not None and self.url is None:
            raise UsageError("invalid call: --host without --of, expected both")

    def words(self) -> list[str]:
        """The options that name it, without a password."""
        url = [] if self.url is None else ["--of", shown_url(self.url) if "://" in self.url else self.url]
        return [*url, *([] if self.host is None else ["--host", self.host])]


HERE = EventPlace()


def far_events(workspace: Workspace, place: EventPlace) -> AbstractContextManager[FarEvents]:
    """Open the copy that a place names, for the block."""
    from monitord.actions.event_copy import events_url
    from monitord.fleet.ship_state import read_state
    from monitord.storage.events.far import FarEvents

    try:
        known = read_state(workspace.data_dir)
    except (OSError, ValueError):
        known = None
    own = known.host_id if known else None
    within_s = workspace.settings.events.deadline_s
    return FarEvents.to_ask(events_url(workspace, place.url), place.host, own, within_s)


def event(workspace: Workspace, event_id: str, place: EventPlace = HERE) -> Event:
    """Return one event; raises NotFoundError, UsageError for an invalid id."""
    if place.url is not None:
        with far_events(workspace, place) as far:
            return far.events.get_event_by_id(event_id)
    with workspace.reader() as reader:
        return reader.event(event_id)


def event_stats(workspace: Workspace, place: EventPlace = HERE) -> EventStats:
    """How many events there are, and what they take."""
    if place.url is not None:
        with far_events(workspace, place) as far:
            return far.events.get_stats()
    with workspace.reader() as reader:
        return reader.event_stats()


def events_of(workspace: Workspace, place: EventPlace, asked: EventQuestion) -> Iterator[Event]:
    """Yield the events of a copy, newest first; raises NotFoundError for an incident that is not there."""
    from monitord.storage.event_search import EventSearch

    with far_events(workspace, place) as far:
        wanted = asked.wanted
        if asked.incident:
            wanted = replace(wanted, correlation_id=_whole_id(far, asked.incident))
        yield from EventSearch(_Copied(far), wanted, asked.process, asked.text).each()


@dataclass(frozen=True, slots=True)
class _Copied:
    """A copy as `EventSearch` asks it: it knows what events say, and no command lines."""

    far: FarEvents

    @property
    def is_sqlite(self) -> bool:
        return self.far.is_file

    def events(self, wanted: EventFilter, also: Sequence[str], values: Mapping[str, Any]) -> list[Event]:
        self.far.more_time()  # who reads may have been slow
        return self.far.events.query_narrowed(wanted, also, values)

    def event_names(self) -> list[str]:
        return self.far.events.process_names()

    def incidents_of(self, _process: str) -> frozenset[str]:
        return frozenset()

    def incidents_of_names(self, cells: Sequence[str]) -> frozenset[str]:
        return self.far.events.incidents_of_names(cells)


def _whole_id(far: FarEvents, beginning: str) -> str:
    found = sorted(far.events.incidents_beginning(beginning, _CANDIDATES + 1))
    if not found:
        raise NotFoundError(f"cannot find events of incident {beginning!r} there; try `events list --of`")
    if len(found) > 1:
        more = ", …" if len(found) > _CANDIDATES else ""
        raise UsageError(
            f"invalid incident {beginning!r}: expected one of {', '.join(found[:_CANDIDATES])}{more}"
        )
    return found[0]


def prune_events(
    workspace: Workspace,
    older_than: timedelta | None,
    max_events: int | None,
    *,
    confirmed: bool,
    place: EventPlace = HERE,
) -> int:
    """Delete the oldest events by age or beyond a number; how many.

    Here only those that no incident needs: what belongs to an incident goes with it, but for samples, which
    it has in its own history. In a copy all of them, and no later round brings them back.
    """
    if older_than is None and max_events is None:
        raise UsageError("invalid call: neither an age nor a number, expected --older-than or --max")
    words = [] if older_than is None else ["--older-than", f"{older_than.total_seconds():g}s"]
    words += [] if max_events is None else ["--max", str(max_events)]
    require_confirmation(confirmed, "delete events", "events", "prune", *place.words(), *words)
    before = None if older_than is None else datetime.now(UTC) - older_than
    if place.url is not None:
        with far_events(workspace, place) as far:
            return far.prune(before, max_events)
    with workspace.store() as store:
        return store.prune_events(max_events=max_events, before=before)
