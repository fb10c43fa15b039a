"""Hot functions across incidents, each with its history: when it was hot, in which incident, and how hot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.export.encoding import iso
from monitord.export.shapes import hot_row
from monitord.model import Event, EventType
from monitord.storage.events import EventFilter
from monitord.storage.queries import StoreReader
from monitord.storage.views import HotFilter, HotFunction

MOST_FUNCTIONS = 100
MOST_OCCURRENCES = 60
_EVENTS_EACH = 4  # its statements have events of their own


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A function in one capture. Shares are of its samples, 0 to 1.

    `version` numbers its code, 1 being the first one seen; None: no source was read.
    """

    at: datetime
    incident: str | None
    process_name: str | None
    self_share: float | None
    total_share: float | None
    samples: int | None
    version: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        names = ("incident", "process_name", "self_share", "total_share", "samples", "version")
        return {"at": iso(self.at), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True)
class FunctionHistory:
    """A function and when it was hot, oldest first; the newest `MOST_OCCURRENCES` at most."""

    function: HotFunction
    occurrences: Sequence[Occurrence]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; the function has the keys of `hot -o json` (docs/output.md)."""
        return {**hot_row(self.function), "history": [one.as_json() for one in self.occurrences]}


def hot_functions(workspace: Workspace, wanted: HotFilter) -> list[FunctionHistory]:
    """Return the hottest functions under a filter, each with its history in that period."""
    with workspace.reader() as reader:
        found = reader.hot(wanted)[:MOST_FUNCTIONS]
        return [FunctionHistory(each, history_of(reader, each, wanted)) for each in found]


def history_of(reader: StoreReader, function: HotFunction, wanted: HotFilter) -> list[Occurrence]:
    """Return when it was hot, oldest first; of a function, not of its statements."""
    asked = EventFilter(
        event_type=EventType.HOTSPOT,
        function=function.function or None,
        module=function.module or None,
        since=wanted.since,
        until=wanted.until,
        limit=MOST_OCCURRENCES * _EVENTS_EACH,
    )
    events = [event for event in reader.events(asked) if event.ast_node_id == function.node]
    return list(_occurrences(events[:MOST_OCCURRENCES][::-1]))


def _occurrences(events: Sequence[Event]) -> Iterator[Occurrence]:
    versions: dict[str, int] = {}
    for event in events:
        told: Mapping[str, Any] = event.payload or {}
        code = told.get("func_hash")
        yield Occurrence(
            at=event.taken_at,
            incident=event.correlation_id,
            process_name=event.process_name,
            self_share=_number(told.get("self_share")),
            total_share=_number(told.get("total_share")),
            samples=count if isinstance(count := told.get("samples"), int) else None,
            version=versions.setdefault(code, len(versions) + 1) if isinstance(code, str) else None,
        )


def _number(value: object) -> float | None:
    return round(float(value), 4) if isinstance(value, int | float) and not isinstance(value, bool) else None
