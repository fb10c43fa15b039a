"""Which events are asked for: checked before anything is run; an impossible question costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from monitord.errors import UsageError
from monitord.model import EventType
from monitord.storage.events.identity import id_at

Order = Literal["asc", "desc"]
_CURSOR_SIGN = {"asc": "a", "desc": "d"}
_TEXTS = ("correlation_id", "ast_node_id", "module", "function", "process_name")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted: conditions that must all hold; None sets none. `since` is inclusive,
    `until` exclusive; both are aware.

    `limit` None gives all. `order` is that of time, ties as stored. `after` is a cursor from
    `cursor_after`: the answer goes on behind that event.
    """

    pid: int | None = None
    event_type: EventType | str | None = None
    since: datetime | None = None
    until: datetime | None = None
    correlation_id: str | None = None
    ast_node_id: str | None = None
    module: str | None = None
    function: str | None = None
    arity: int | None = None
    process_name: str | None = None
    limit: int | None = 100
    order: Order = "desc"
    after: str | None = None

    def __post_init__(self) -> None:
        """Raises UsageError, which names what can't be."""
        for name in ("pid", "arity", "limit"):
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST
            ):
                raise UsageError(f"invalid {name} {value!r}: expected a whole number from 0")
        for name in _TEXTS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise UsageError(f"invalid {name} {value!r}: expected a text that is not empty")
        if self.order not in _CURSOR_SIGN:
            raise UsageError(f"invalid order {self.order!r}: expected asc or desc")
        self._check_times()
        if self.event_type is not None:
            type_of(self.event_type)
        if self.after is not None:
            id_of_cursor(self.after, self.order)

    def _check_times(self) -> None:
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None:
                id_at(moment, name)
        if self.since is not None and self.until is not None and self.since > self.until:
            raise UsageError(
                f"invalid period: since {self.since} is after until {self.until}, expected before it"
            )


def type_of(word: EventType | str) -> EventType:
    """Return the type of this name; raises UsageError with those there are."""
    try:
        return EventType(word)
    except ValueError:
        raise UsageError(f"invalid event type {word!r}: expected one of {', '.join(EventType)}") from None


def parse_id(event_id: int | str) -> int:
    """Read an event's id as a number; raises UsageError."""
    text = str(event_id)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _LARGEST):
        raise UsageError(
            f"invalid event id {text[:40]!r}: expected a whole number, as `monitord events -o json` shows it"
        )
    return int(text)


def cursor_after(event_id: int, order: Order) -> str:
    """Where an answer in this order goes on behind this event; stays good whatever is stored or pruned."""
    return f"{_CURSOR_SIGN[order]}{event_id:x}"


def id_of_cursor(cursor: str, order: Order) -> int:
    """The event behind which an answer goes on; raises UsageError for an invalid one or the other order."""
    try:
        if cursor[:1] not in _CURSOR_SIGN.values() or not cursor[1:].isalnum():
            raise ValueError
        number = int(cursor[1:], 16)
    except (ValueError, TypeError):
        raise UsageError(f"invalid cursor {cursor!r}: expected one that an answer gave") from None
    if cursor[0] != _CURSOR_SIGN[order]:
        raise UsageError(f"invalid cursor {cursor!r}: it belongs to an answer in the other order")
    if number > _LARGEST:
        raise UsageError(f"invalid cursor {cursor!r}: expected one that an answer gave")
    return number
