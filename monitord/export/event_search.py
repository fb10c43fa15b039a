"""Events by what no index knows: a part of a process's name, a text anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from monitord.export.encoding import json_text
from monitord.export.shapes import event_row
from monitord.model import Event
from monitord.redaction.naming import fits_name
from monitord.storage.events import EventFilter, cursor_after

if TYPE_CHECKING:
    from monitord.storage.queries import StoreReader

_BATCH = 1000


class EventSearch:
    """Events under a filter, and under what no index knows: a part of a name, a text anywhere."""

    def __init__(
        self, reader: StoreReader, wanted: EventFilter, process: str | None, text: str | None = None
    ) -> None:
        self._reader = reader
        self._wanted = wanted
        self._process = process or None
        self._text = text.casefold() if text else None
        self._named: frozenset[str] = frozenset()
        self._asked: set[str] = set()

    def newest(self) -> list[Event]:
        """Return at most as many as the filter says, newest first."""
        limit = self._wanted.limit or 0
        found: list[Event] = []
        for event in self._walk(self._wanted):
            found.append(event)
            if len(found) == limit:
                break
        return found

    def since(self, moment: datetime) -> list[Event]:
        """Return all from this moment on, newest first."""
        start = max(moment, self._wanted.since) if self._wanted.since else moment
        return list(self._walk(replace(self._wanted, since=start)))

    def _walk(self, wanted: EventFilter) -> Iterator[Event]:
        is_exact = self._process is None and self._text is None
        page = replace(wanted, limit=min(wanted.limit or _BATCH, _BATCH) if is_exact else _BATCH)
        while True:
            found = self._reader.events(page)
            yield from (event for event in found if self._fits(event))
            last = found[-1].id if found else None
            if last is None or len(found) < (page.limit or 0):
                return
            page = replace(page, after=cursor_after(last, "desc"))

    def _fits(self, event: Event) -> bool:
        if self._process is not None and not self._is_of(self._process, event):
            return False
        return self._text is None or self._text in json_text(event_row(event), indent=None).casefold()

    def _is_of(self, process: str, event: Event) -> bool:
        """By its own name, or because its incident is one of a process that `recent` calls so."""
        if fits_name(process, event.process_name or ""):
            return True
        if event.correlation_id is None:
            return False
        if event.correlation_id not in self._asked:
            self._named = self._reader.incidents_of(process)
            self._asked |= {event.correlation_id, *self._named}
        return event.correlation_id in self._named
