"""Events as rows, both ways, without loss; what can't be kept is refused by name.

Text lies as it is, unless a database could not hold it (NUL, bytes that are not UTF-8): then as JSON after
a mark that no other text begins with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from monitord.errors import StorageError, UsageError
from monitord.model import Event, EventType
from monitord.storage.events.filters import type_of
from monitord.storage.events.identity import id_at, time_of_id

PAYLOAD_LIMIT_BYTES = 64_000
TEXT_LIMIT = 4096
COLUMNS = (
    *("id", "event_type", "pid", "start_ticks", "process_name", "module", "function", "arity"),
    *("correlation_id", "ast_node_id", "payload"),
)
# Numbers in the store; never change one, add at the end. SAMPLE is 0: the index of types leaves it out.
CODES: Mapping[EventType, int] = {
    EventType.SAMPLE: 0,
    EventType.ALERT: 1,
    EventType.CAPTURE: 2,
    EventType.HOTSPOT: 3,
    EventType.NOTE: 4,
    EventType.STORAGE: 5,
    EventType.JOB: 6,
    EventType.DAEMON: 7,
    EventType.REPEAT: 8,
}
_TYPES = {code: event_type for event_type, code in CODES.items()}
_MARK = "\x01"
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def row_of(event: Event) -> list[Any]:
    """Return the row, its id the first of its time; raises UsageError that names what can't be kept."""
    if event.arity is not None and event.function is None:
        raise UsageError("invalid event: an arity without a function, expected both")
    return [
        id_at(event.taken_at),
        _code_of(event.event_type),
        _number("pid", event.pid),
        _number("start_ticks", event.start_ticks),
        text_cell("process_name", event.process_name),
        text_cell("module", event.module),
        text_cell("function", event.function),
        _number("arity", event.arity),
        text_cell("correlation_id", event.correlation_id),
        text_cell("ast_node_id", event.ast_node_id),
        payload_cell(event.payload),
    ]


def _code_of(event_type: EventType | str) -> int:
    try:
        return CODES[event_type]  # type: ignore[index]  # a type's name is the same key as the type
    except (KeyError, TypeError):
        return CODES[type_of(event_type)]


def clipped(text: str | None) -> str | None:
    """A name as an event holds it, to store and to look up by; whole ones stand in the incident."""
    return text[:TEXT_LIMIT] if text else None


def _number(name: str, value: int | None) -> int | None:
    if value is not None and (
        not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63
    ):
        raise UsageError(f"invalid {name}: {value!r}, expected a whole number from 0")
    return value


def text_cell(name: str, value: str | None) -> str | None:
    """Text as it lies in a column, to store and to compare with."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or len(value) > TEXT_LIMIT:
        raise UsageError(f"invalid {name}: expected a text of 1 to {TEXT_LIMIT} characters")
    if value.isascii() and value[0] != _MARK and "\0" not in value:
        return value
    try:
        value.encode()
        is_plain = value[0] != _MARK and "\0" not in value
    except UnicodeEncodeError:
        is_plain = False
    return value if is_plain else _MARK + json.dumps(value)


def payload_cell(payload: Mapping[str, object]) -> str | None:
    """Write the payload as JSON in ASCII; None for nothing. Raises UsageError that names the value."""
    if not isinstance(payload, Mapping):
        raise UsageError(f"invalid payload: {type(payload).__name__}, expected names and values")
    if not payload:
        return None
    try:
        cell = _of_numbers(payload) or _ENCODER.encode(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"invalid payload: {_culprit(payload)} ({error}), expected values of JSON"
        ) from error
    if len(cell) > PAYLOAD_LIMIT_BYTES:
        raise UsageError(f"invalid payload: {len(cell)} bytes, expected at most {PAYLOAD_LIMIT_BYTES}")
    return cell


def _of_numbers(payload: Mapping[str, object]) -> str | None:
    """Write what the encoder writes, in a third of its time, where all values are numbers, as of samples."""
    members = []
    for name, value in payload.items():
        kind = type(value)
        is_number = kind is int or (kind is float and -math.inf < value < math.inf)  # type: ignore[operator]
        if not is_number or type(name) is not str:
            return None
        members.append(f"{_name_cell(name)}:{value!r}")
    return f"{{{','.join(members)}}}"


_name_cell = lru_cache(maxsize=256)(_ENCODER.encode)


def _culprit(payload: Mapping[str, object]) -> str:
    """Which member it is that JSON can't hold."""
    for name, value in payload.items():
        try:
            _ENCODER.encode({name: value})
        except (TypeError, ValueError, RecursionError):
            return f"member {str(name)[:60]!r}"
    return "its members together"


def event_of(row: Sequence[Any]) -> Event:
    """Read the event in a row of COLUMNS; raises StorageError for what nobody can have stored."""
    try:
        return Event(
            id=row[0],
            taken_at=time_of_id(row[0]),
            event_type=_TYPES[row[1]],
            pid=row[2],
            start_ticks=row[3],
            process_name=text_of_cell(row[4]),
            module=text_of_cell(row[5]),
            function=text_of_cell(row[6]),
            arity=row[7],
            correlation_id=text_of_cell(row[8]),
            ast_node_id=text_of_cell(row[9]),
            payload=json.loads(row[10]) if row[10] else {},
        )
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise StorageError(f"cannot read event {row[0]!r}: {error}; try `monitord db check`") from error


def type_of_code(code: int) -> EventType:
    """Return the type of this number; raises StorageError for one that nobody can have stored."""
    try:
        return _TYPES[code]
    except KeyError as error:
        raise StorageError(f"invalid event type {code}; try `monitord db check`") from error


def text_of_cell(cell: str | None) -> str | None:
    """Read the text in a column; None stays None."""
    return json.loads(cell[1:]) if cell and cell[0] == _MARK else cell
