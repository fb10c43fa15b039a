"""Events by what no single index knows: what a process is called, a text anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from monitord.model import Event
from monitord.redaction.naming import fits_name
from monitord.storage.events import EventFilter, cursor_after
from monitord.storage.events.rows import CODES, text_of_cell
from monitord.storage.events.statements import among

_BATCH = 1000
# So few names and incidents are looked up by indexes; what more of them did is met soon, going through time.
_FEW = 200
_PLAIN = re.compile(r"[ !#-\[\]-~]+")  # what JSON writes as it is
_RUN_LIMIT = 100  # SQLite takes no pattern of any length
_LIKE = re.compile(r"[%_!]")
_TEXTS = ("process_name", "module", "function", "pid", "arity", "correlation_id", "ast_node_id", "payload")
_NAMED = "(event_type > 0 AND {by}process_name IN {named} OR {by}correlation_id IN {of_these})"


class EventSource(Protocol):
    """Where events are looked for: a store, or a copy of its events. Cells are names as a database has them.

    `is_sqlite` says in whose words to ask.
    """

    @property
    def is_sqlite(self) -> bool: ...

    def events(
        self, wanted: EventFilter, also: Sequence[str], values: Mapping[str, Any], /
    ) -> Sequence[Event]:
        """Return the events under a filter of which further conditions hold."""

    def event_names(self) -> Sequence[str]:
        """Return the cells of all names of processes that events other than samples have."""

    def incidents_of(self, process: str, /) -> frozenset[str]:
        """Return the incidents of processes that are called so by what is known besides their events."""

    def incidents_of_names(self, cells: Sequence[str], /) -> frozenset[str]:
        """Return the incidents that have an event of one of these names."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What else the database is to compare: conditions that must all hold, and their values."""

    conditions: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __add__(self, other: Narrowing) -> Narrowing:
        return Narrowing((*self.conditions, *other.conditions), {**self.values, **other.values})


class EventSearch:
    """Events under a filter, of processes that are called so, with a text in any value."""

    def __init__(
        self, source: EventSource, wanted: EventFilter, process: str | None, text: str | None = None
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._process = process or None
        self._text = text.casefold() if text else None

    def newest(self) -> list[Event]:
        """Return at most as many as the filter says, newest first."""
        return list(self.each())

    def each(self) -> Iterator[Event]:
        """Yield them, a page at a time."""
        return islice(self._walk(self._wanted), self._wanted.limit)

    def since(self, moment: datetime) -> list[Event]:
        """Return all from this moment on, newest first."""
        start = max(moment, self._wanted.since) if self._wanted.since else moment
        return list(self._walk(replace(self._wanted, since=start)))

    def _walk(self, wanted: EventFilter) -> Iterator[Event]:
        narrowing = self._named()
        if narrowing is None:
            return
        if self._text and self._source.is_sqlite:  # PostgreSQL's LIKE knows letter case, and no numbers
            narrowing += _mentioning(self._text)
        page = replace(wanted, limit=_BATCH if self._text else min(wanted.limit or _BATCH, _BATCH))
        while True:
            found = self._source.events(page, narrowing.conditions, narrowing.values)
            yield from (event for event in found if self._text is None or mentions(event, self._text))
            last = found[-1].id if found else None
            if last is None or len(found) < (page.limit or 0):
                return
            page = replace(page, after=cursor_after(last, "desc"))

    def _named(self) -> Narrowing | None:
        """By its own name, or because its incident is one of a process that `recent` calls so; None: nothing.

        A sample has the name of its incident, whose other events have it too.
        """
        if self._process is None:
            return Narrowing()
        source = self._source
        cells = [cell for cell in source.event_names() if fits_name(self._process, _text_of(cell))]
        incidents = source.incidents_of(self._process) | source.incidents_of_names(cells)
        if not cells and not incidents:
            return None
        lists = {name: among(name, is_sqlite=source.is_sqlite) for name in ("named", "of_these")}
        goes_through_time = source.is_sqlite and len(cells) + len(incidents) > _FEW
        words = _NAMED.format(by="+" if goes_through_time else "", **lists)
        return Narrowing((words,), {"named": json.dumps(cells), "of_these": json.dumps(sorted(incidents))})


def _text_of(cell: str) -> str:
    try:
        return text_of_cell(cell) or ""
    except ValueError:  # damaged: the events that have it are left out, and told of
        return cell


def _mentioning(text: str) -> Narrowing:
    """What has the longest plain part of a text somewhere: more than what has all of it, but found fast.

    Of letters beyond ASCII SQLite does not know the case ("ß" is "ss"): a text with them is not narrowed.
    """
    run = max(_PLAIN.findall(text), key=len, default="")[:_RUN_LIMIT]
    if not run or not text.isascii():
        return Narrowing()
    types = ", ".join(str(code) for kind, code in CODES.items() if run in kind.value)
    alternatives = [f"{name} LIKE :run ESCAPE '!'" for name in _TEXTS]
    alternatives += [f"event_type IN ({types})"] if types else []
    pattern = _LIKE.sub(r"!\g<0>", run)
    return Narrowing((f"({' OR '.join(alternatives)})",), {"run": f"%{pattern}%"})


def mentions(event: Event, text: str) -> bool:
    """Whether a name or value of an event holds the text, which is casefolded."""
    values = (event.event_type.value, *(getattr(event, name) for name in _TEXTS[:-1]))
    texts = [str(value) for value in values if value is not None]
    texts += [json.dumps(event.payload, ensure_ascii=False)] if event.payload else []
    return any(text in each.casefold() for each in texts)
