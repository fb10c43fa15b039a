"""DataAccess: the event table of one database, inside transactions that somebody else opens."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import OperationalError

from monitord.errors import BusyError
from monitord.model import Event, EventType
from monitord.storage.events.filters import EventFilter
from monitord.storage.events.identity import EVENTS_PER_MICROSECOND, numbered
from monitord.storage.events.rows import CODES, COLUMNS, event_of, row_of
from monitord.storage.events.statements import (
    BEGINNING,
    EACH_NAME,
    EventIndex,
    QueryOptimizer,
    creation_of,
    has_arity_index,
    of_names,
)

_INSERT = f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES ({', '.join(':' + name for name in COLUMNS)})"  # noqa: S608
_INSERT_SQLITE = f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
if TYPE_CHECKING:
    from monitord.storage.events.stats import EventStats

Which = Literal["all", "loose", "spare"]
_WHICH: Mapping[Which, tuple[str, ...]] = {
    "all": (),
    "loose": ("correlation_id IS NULL",),  # of no incident: those of one go with it
    "spare": ("(correlation_id IS NULL OR event_type = 0)",),  # and samples: an incident has its own history
}
_STEPS = 20_000  # of SQLite's machine, about a millisecond, between two looks at the clock
_WRITERS = 0x6D6F6E69746F7264  # any number that nobody else on the server is likely to lock


@dataclass(frozen=True, slots=True)
class EventPlan:
    """How a question is served: by which index ("time" is the table, in order), and the planner's words."""

    index: str
    detail: tuple[str, ...]


class DataAccess:
    """Statements on one open connection of SQLite or PostgreSQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_sqlite = connection.dialect.name == "sqlite"

    @property
    def _driver(self) -> sqlite3.Connection:
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101  what `connection` makes
        return driver

    def _rows(self, sql: str, values: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        if self._is_sqlite:  # at the driver: SQLAlchemy's bookkeeping takes longer than SQLite
            return self._driver.execute(sql, dict(values or {})).fetchall()
        return self._connection.execute(text(sql), dict(values or {})).fetchall()

    def insert(self, events: Sequence[Event]) -> list[int]:
        """Store events; their ids, in the order given. One writer at a time: ids are given out here."""
        if not self._is_sqlite:  # SQLite's write lock was taken when the transaction began
            self._connection.execute(text("SELECT pg_advisory_xact_lock(:ours)"), {"ours": _WRITERS})
        rows = [row_of(event) for event in events]
        first = [row[0] for row in rows]
        ids = numbered(first, self._taken(first))
        for row, event_id in zip(rows, ids, strict=True):
            row[0] = event_id
        if self._is_sqlite:
            self._driver.executemany(_INSERT_SQLITE, rows)
        else:
            self._connection.execute(text(_INSERT), [dict(zip(COLUMNS, row, strict=True)) for row in rows])
        return ids

    def _taken(self, first: Sequence[int]) -> list[int]:
        """Ids from these on that are in use; none in the usual case that all are newer than any."""
        newest = self._rows("SELECT max(id) FROM event")[0][0]
        if newest is None or newest < min(first):
            return []
        span = 2 * EVENTS_PER_MICROSECOND
        sql = "SELECT id FROM event WHERE id >= :base AND id < :beyond"
        found: list[int] = []
        for base in sorted(set(first)):
            if base <= newest:
                found += [row[0] for row in self._rows(sql, {"base": base, "beyond": base + span})]
        return found

    def query(
        self, wanted: EventFilter, also: Sequence[str] = (), values: Mapping[str, Any] | None = None
    ) -> list[Event]:
        """Return the events under a filter, in its order; `also` are further conditions with their values."""
        return [event_of(row) for row in self.rows(wanted, also, values)]

    def rows(
        self, wanted: EventFilter, also: Sequence[str] = (), values: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Return the cells of what `query` reads."""
        sql, filtered = self._optimizer(wanted).select(wanted, also)
        return self._rows(sql, {**filtered, **(values or {})})

    def process_names(self) -> list[str]:
        """Return the cells of all names of processes that events other than samples have, each once."""
        return [str(row[0]) for row in self._rows(EACH_NAME)]

    def incidents_of_names(self, cells: Sequence[str]) -> frozenset[str]:
        """Return the incidents that have an event, not only a sample, of one of these names."""
        sql = of_names(is_sqlite=self._is_sqlite)
        return frozenset(str(row[0]) for row in self._rows(sql, {"cells": json.dumps(list(cells))}))

    def incidents_beginning(self, text: str, limit: int) -> list[str]:
        """Return the whole ids of incidents that begin so, at most so many."""
        return [
            str(row[0])
            for row in self._rows(BEGINNING, {"length": len(text), "beginning": text, "limit": limit})
        ]

    def _optimizer(self, wanted: EventFilter) -> QueryOptimizer:
        return QueryOptimizer(has_arity_index=self._is_sqlite and has_arity_index(self._rows, wanted))

    def explain(self, wanted: EventFilter) -> EventPlan:
        """How `query` would be served."""
        sql, values = self._optimizer(wanted).select(wanted)
        from monitord.storage.events.stats import INDEXES

        words = "EXPLAIN QUERY PLAN " if self._is_sqlite else "EXPLAIN "
        detail = tuple(str(row[-1]) for row in self._rows(words + sql, values))
        used = next((name for name in INDEXES if any(name in line for line in detail)), "time")
        return EventPlan(used, detail)

    def get(self, event_id: int) -> Event | None:
        """Return one event, or None."""
        sql = f"SELECT {', '.join(COLUMNS)} FROM event WHERE id = :id"  # noqa: S608
        rows = self._rows(sql, {"id": event_id})
        return event_of(rows[0]) if rows else None

    def count(self) -> int:
        """Count all events."""
        return int(self._rows("SELECT count(*) FROM event")[0][0])

    def stats(self) -> EventStats:
        """How much is stored, and what it takes."""
        from monitord.storage.events.stats import stats_of

        return stats_of(self._rows, is_sqlite=self._is_sqlite)

    def indexes(self) -> dict[str, int | None]:
        """Return the indexes that are there, each with its bytes; None where the database can't tell."""
        from monitord.storage.events.stats import indexes_of

        return indexes_of(self._rows, is_sqlite=self._is_sqlite)

    @contextmanager
    def limited(self, within_s: float | None) -> Iterator[None]:
        """End what SQLite does in the block after so long, with BusyError; Ctrl-C ends it at any time."""
        if not self._is_sqlite:
            yield
            return
        driver = self._driver
        ends_at_s = time.monotonic() + (math.inf if within_s is None else within_s)
        driver.set_progress_handler(lambda: time.monotonic() > ends_at_s, _STEPS)
        try:
            yield
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorname", None) != "SQLITE_INTERRUPT":
                raise
            if time.monotonic() <= ends_at_s:  # Ctrl-C, which SQLite saw first
                raise KeyboardInterrupt from error
            raise BusyError(f"cannot change indexes within {within_s:g} s; try again later") from error
        finally:
            driver.set_progress_handler(None, 0)

    def create_index(self, index: EventIndex) -> None:
        """Make an index that is not there; nobody else writes meanwhile."""
        self._connection.exec_driver_sql(creation_of(index))

    def drop_index(self, index: EventIndex) -> None:
        """Remove an index that is there."""
        self._connection.exec_driver_sql(f"DROP INDEX {index.name}")

    def delete_oldest(
        self, limit: int, before: int | None = None, code: int | None = None, which: Which = "all"
    ) -> int:
        """Remove at most so many, the oldest first: of this type, below this id, which of them; how many."""
        conditions = [*([] if before is None else ["id < :before"]), *_WHICH[which]]
        if code is not None:
            conditions += ["event_type = :code", *(["event_type > 0"] if code else [])]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        chosen = f"SELECT id FROM event{where} ORDER BY id LIMIT :limit"  # noqa: S608
        sql = f"DELETE FROM event WHERE id IN ({chosen})"  # noqa: S608
        values = {"limit": limit, "before": before, "code": code}
        used = {name: value for name, value in values.items() if f":{name}" in sql}
        if self._is_sqlite:
            return self._connection.exec_driver_sql(sql, used).rowcount
        return self._connection.execute(text(sql), used).rowcount

    def forget_incidents(self, correlation_ids: Sequence[str], types: Sequence[EventType] = ()) -> None:
        """Remove the events of incidents: those of some types, or with none given all."""
        codes = ", ".join(str(CODES[kind]) for kind in types)
        only = f" AND event_type IN ({codes})" if codes else ""
        statement = text(f"DELETE FROM event WHERE correlation_id IN :ids{only}")  # noqa: S608  numbers only
        statement = statement.bindparams(bindparam("ids", expanding=True))
        self._connection.execute(statement, {"ids": list(correlation_ids)})

    def refresh_statistics(self) -> None:
        """Let the planner know how the events are spread; a sample of each index is enough."""
        if self._is_sqlite:
            self._connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
        self._connection.exec_driver_sql("ANALYZE event")
