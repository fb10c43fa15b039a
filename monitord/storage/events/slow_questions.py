"""How often a question to the events was slow, by its shape: which filters it had, never their values.

One small value in the state. The reader that was asked counts, because nobody else knows; one that may not
write, or would have to wait for it, counts nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import stat
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from monitord.model import EventType
from monitord.storage.events.filters import EventFilter, type_of
from monitord.storage.state.codec import decode, encode
from monitord.storage.state.errors import StateUnavailableError

STATE_KEY = "events.slow_questions"
MOST_SHAPES = 64
KEPT = timedelta(days=30)
"""A shape that was not slow for so long is forgotten."""
_MOST_TIMES = 1_000_000_000
_WAIT_S = 0.02
_COLUMNS = {
    "pid": "pid", "module": "module", "function": "function", "arity": "arity", "node": "ast_node_id",
    "incident": "correlation_id", "name": "process_name", "since": "since", "until": "until",
}  # fmt: skip
_ADDED = {"named": "process", "run": "grep"}  # by a value of what `EventSearch` adds
WORDS = frozenset((*_COLUMNS, *_ADDED.values(), "type", "sample"))
"""What a shape is made of, as options of `monitord events` are called: `sample` is `--type sample`, `name` a
process by its whole name."""

_READ = "SELECT data FROM state WHERE user_id = '' AND session_id = '' AND key = ?"
_WRITE = (
    "INSERT INTO state (user_id, session_id, key, data, created_us, expires_us, version)"
    " VALUES ('', '', ?, ?, ?, ?, ?) ON CONFLICT (user_id, session_id, key) DO UPDATE SET"
    " data = excluded.data, created_us = excluded.created_us, expires_us = excluded.expires_us,"
    " version = excluded.version"
)
Shape = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """How often questions of a shape were slow, and when the last one was."""

    shape: Shape
    times: int
    last_at: datetime


def shape_of(wanted: EventFilter, also: Mapping[str, Any]) -> Shape:
    """Return which filters a question has, in order; `also` are the values of further conditions."""
    words = [word for word, name in _COLUMNS.items() if getattr(wanted, name) is not None]
    words += [word for name, word in _ADDED.items() if name in also]
    if wanted.event_type is not None:
        words.append("sample" if type_of(wanted.event_type) is EventType.SAMPLE else "type")
    return tuple(sorted(words))


def filter_of(shape: Shape) -> EventFilter | None:
    """Return a filter of this shape, for a planner that looks at no value; None where others are added.

    A text that is compared (`grep`) changes no plan.
    """
    if "process" in shape:
        return None
    values: dict[str, Any] = {_COLUMNS[word]: "x" for word in shape if word in _COLUMNS}
    values |= {name: 1 for name in ("pid", "arity") if name in values}
    values |= {name: datetime(2026, 1, 1, tzinfo=UTC) for name in ("since", "until") if name in values}
    kinds = {"type": EventType.HOTSPOT, "sample": EventType.SAMPLE}
    return EventFilter(
        **values, event_type=next((kind for word, kind in kinds.items() if word in shape), None)
    )


def count_slow(database: Path, shapes: Iterable[Shape], now: datetime | None = None) -> None:
    """Count one more slow question of each shape, if that can be done at once.

    Only in a store of one's own: what root asks of another user's stays a question.
    """
    now = now or datetime.now(UTC)
    try:
        status = database.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return
        address = f"file:{quote(str(database))}?mode=rw"
        opened = sqlite3.connect(address, uri=True, timeout=_WAIT_S, isolation_level=None)
        with closing(opened) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")  # waits for no disk
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute(_READ, [STATE_KEY]).fetchone()
            known = counts_in(_value_of(row[0]), now) if row else []
            data = encode(_text_of(_with(known, shapes, now)).encode("ascii"))
            times_us = [int(moment.timestamp() * 1e6) for moment in (now, now + KEPT)]
            connection.execute(_WRITE, [STATE_KEY, data, *times_us, secrets.token_hex(8)])
            connection.execute("COMMIT")
    except (sqlite3.Error, OSError):
        return  # the answer is what was asked for


def counts_in(value: object, now: datetime) -> list[Counted]:
    """Return what a value says that is in force, the most frequent first; what is damaged is left out."""
    rows = value if isinstance(value, list) else []
    found = {each.shape: each for each in map(_counted, rows[:MOST_SHAPES]) if each}
    fresh = [each for each in found.values() if now - KEPT < each.last_at < now + KEPT]
    return sorted(fresh, key=lambda each: (-each.times, each.shape))


def _with(known: Collection[Counted], shapes: Iterable[Shape], now: datetime) -> list[Counted]:
    by_shape = {each.shape: each for each in known}
    for shape in shapes:
        before = by_shape.get(shape)
        times = min(before.times + 1 if before else 1, _MOST_TIMES)
        by_shape[shape] = Counted(shape, times, now)
    return sorted(by_shape.values(), key=lambda each: each.last_at, reverse=True)[:MOST_SHAPES]


def _value_of(data: Any) -> object:
    try:
        return json.loads(decode(data)) if isinstance(data, bytes) else None
    except (StateUnavailableError, ValueError, TypeError, RecursionError):
        return None


def _counted(row: Any) -> Counted | None:
    try:
        shape, times, last_at = tuple(sorted(set(row["by"]))), row["times"], row["last_at"]
        moment = datetime.fromisoformat(last_at)
        is_sound = WORDS.issuperset(shape) and type(times) is int and 0 < times <= _MOST_TIMES
        return Counted(shape, times, moment) if is_sound and moment.tzinfo is not None else None
    except (LookupError, TypeError, ValueError):
        return None


def _text_of(counts: Iterable[Counted]) -> str:
    rows = [{"by": each.shape, "times": each.times, "last_at": each.last_at.isoformat()} for each in counts]
    return json.dumps(rows, separators=(",", ":"))
