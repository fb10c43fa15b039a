"""Events by what no single index knows: what a process is called, a text anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitord.model import Event
from monitord.redaction.naming import fits_name
from monitord.storage.events import EventFilter, cursor_after
from monitord.storage.events.rows import CODES, text_of_cell

if TYPE_CHECKING:
    from monitord.storage.queries import StoreReader

_BATCH = 1000
# So few names and incidents are looked up by indexes; what more of them did is met soon, going through time.
_FEW = 200
_PLAIN = re.compile(r"[ !#-\[\]-~]+")  # what JSON writes as it is
_RUN_LIMIT = 100  # SQLite takes no pattern of any length
_LIKE = re.compile(r"[%_!]")
_TEXTS = ("process_name", "module", "function", "pid", "arity", "correlation_id", "ast_node_id", "payload")
_NAMED = (
    "(event_type > 0 AND {0}process_name IN (SELECT value FROM json_each(:named))"
    " OR {0}correlation_id IN (SELECT value FROM json_each(:of_these)))"
)


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
        self, reader: StoreReader, wanted: EventFilter, process: str | None, text: str | None = None
    ) -> None:
        self._reader = reader
        self._wanted = wanted
        self._process = process or None
        self._text = text.casefold() if text else None

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
        narrowing = self._named()
        if narrowing is None:
            return
        narrowing += _mentioning(self._text) if self._text else Narrowing()
        page = replace(wanted, limit=_BATCH if self._text else min(wanted.limit or _BATCH, _BATCH))
        while True:
            found = self._reader.events(page, narrowing.conditions, narrowing.values)
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
        cells = [cell for cell in self._reader.event_names() if fits_name(self._process, _text_of(cell))]
        incidents = self._reader.incidents_of(self._process) | self._reader.incidents_of_names(cells)
        if not cells and not incidents:
            return None
        words = _NAMED.format("" if len(cells) + len(incidents) <= _FEW else "+")
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
