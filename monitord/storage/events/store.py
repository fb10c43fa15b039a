"""EventStore: what happened, by time, process, function, statement, incident; bounded by age and number."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy import event as engine_event
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import StaticPool

from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.installation import install_command
from monitord.model import Event, EventType
from monitord.storage.connection import asking, engine_over, explained_sql, open_engine
from monitord.storage.events.access import DataAccess, EventPlan, Which
from monitord.storage.events.filters import EventFilter, parse_id, type_of
from monitord.storage.events.identity import id_at
from monitord.storage.events.pruning import Pruner, Transaction
from monitord.storage.events.rows import CODES
from monitord.storage.events.statements import EventIndex
from monitord.storage.tables import event as event_table

if TYPE_CHECKING:
    from monitord.storage.events.stats import EventStats

_T = TypeVar("_T")
_FAILED = "the events can't be read or written"
ROOMY = ("cache_size = -8192", "wal_autocheckpoint = 4000", f"journal_size_limit = {32 << 20}")
"""How SQLite is set for a file of events alone: its WAL is 16 to 20 MB while it is open."""
_SLACK = 0.02  # pruning at every event would cost more than the few that are kept too long


def _now() -> datetime:
    return datetime.now(UTC)


class EventStore:
    """Events in one database. From any thread; from several processes where the database allows it.

    `target` is a URL (see `engine_of`), an Engine, or a callable that opens a transaction on a database
    that has the table (the daemon's); then `asking` opens one for questions, which wait for no writer.
    With `max_events` or `max_age` the oldest go by themselves once they are 2 % too many, or an hour too
    old. Raises UsageError before anything is run for what can't be asked or stored, StorageError when the
    database can't.
    """

    def __init__(
        self,
        target: str | Engine | Transaction,
        *,
        asking: Transaction | None = None,
        max_events: int | None = None,
        max_age: timedelta | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        if max_events is not None and max_events < 1:
            raise UsageError(f"invalid max_events: {max_events}, expected at least 1")
        if max_age is not None and max_age <= timedelta(0):
            raise UsageError(f"invalid max_age: {max_age}, expected above 0")
        self._max_events = max_events
        self._max_age = max_age
        self._now = now
        self._engine: Engine | None = None
        if isinstance(target, str):
            target = self._engine = engine_of(target)
        if isinstance(target, Engine):
            self._transaction, self._asking = _opened(target)
        else:
            self._transaction, self._asking = target, asking or target
        self._since_pruning = 0

    # ------------------------------------------------------------------------------------ storing

    def store_event(self, event: Event) -> Event:
        """Store one event; the same with its id. Durable when this returns."""
        return replace(event, id=self._insert([event])[0])

    def store_events(self, events: Sequence[Event]) -> int:
        """Store events in one transaction, all or none; how many."""
        return len(self._insert(events)) if events else 0

    def _insert(self, events: Sequence[Event]) -> list[int]:
        ids = self._run(lambda access: access.insert(events))
        self._since_pruning += len(ids)
        self._prune_if_due()
        return ids

    def _prune_if_due(self) -> None:
        if self._max_events is not None and self._since_pruning >= max(1, int(self._max_events * _SLACK)):
            self._since_pruning = 0
            self.cleanup_old_events(max_events=self._max_events)
            if self._max_age is not None:
                self.cleanup_old_events(max_age=self._max_age)

    # ------------------------------------------------------------------------------------- asking

    def query_events(self, wanted: EventFilter | None = None, **filters: Any) -> list[Event]:
        """Return the events under a filter: an EventFilter, or its fields by name."""
        asked = _filter(wanted, filters)
        return self._ask(lambda access: access.query(asked))

    def query_narrowed(
        self, wanted: EventFilter, also: Sequence[str], values: Mapping[str, Any]
    ) -> list[Event]:
        """Return the events under a filter of which further conditions hold, in SQL with their values."""
        return self._ask(lambda access: access.query(wanted, also, values))

    def process_names(self) -> list[str]:
        """Return the cells of all names of processes that events other than samples have, each once."""
        return self._ask(lambda access: access.process_names())

    def incidents_of_names(self, cells: Sequence[str]) -> frozenset[str]:
        """Return the incidents that have an event, not only a sample, of one of these names."""
        return self._ask(lambda access: access.incidents_of_names(cells))

    def incidents_beginning(self, text: str, limit: int) -> list[str]:
        """Return the whole ids of incidents that begin so, at most so many."""
        return self._ask(lambda access: access.incidents_beginning(text, limit))

    def get_event_by_id(self, event_id: int | str) -> Event:
        """Return one event; raises NotFoundError, and UsageError for an invalid id."""
        number = parse_id(event_id)
        found = self._ask(lambda access: access.get(number))
        if found is None:
            raise NotFoundError(f"cannot find event {number}")
        return found

    def get_stats(self) -> EventStats:
        """How much is stored, and what it takes."""
        return self._ask(lambda access: access.stats())

    def explain(self, wanted: EventFilter | None = None, **filters: Any) -> EventPlan:
        """Which index serves a filter."""
        asked = _filter(wanted, filters)
        return self._ask(lambda access: access.explain(asked))

    # ------------------------------------------------------------------------------------- indexes

    def indexes(self) -> dict[str, int | None]:
        """Return the indexes that are there, each with its bytes; None where the database can't tell."""
        return self._ask(lambda access: access.indexes())

    def create_index(self, index: EventIndex, within_s: float | None = None) -> bool:
        """Make an index, unless it is there; whether it was made. SQLite lets nobody else write meanwhile.

        Raises BusyError, with nothing made, when SQLite takes longer than `within_s`.
        """

        def make(access: DataAccess) -> bool:
            if index.name in access.indexes():
                return False
            with access.limited(within_s):
                access.create_index(index)
            return True

        return self._run(make)

    def drop_index(self, index: EventIndex) -> bool:
        """Remove an index, if it is there; whether it was."""

        def remove(access: DataAccess) -> bool:
            if index.name not in access.indexes():
                return False
            access.drop_index(index)
            return True

        return self._run(remove)

    # ------------------------------------------------------------------------------------ removing

    def cleanup_old_events(
        self,
        *,
        before: datetime | None = None,
        max_age: timedelta | None = None,
        max_events: int | None = None,
    ) -> int:
        """Remove what is older, or beyond the number, the oldest first; how many. Give one of the three."""
        given = [value for value in (before, max_age, max_events) if value is not None]
        if len(given) != 1:
            raise UsageError("invalid call: expected one of before, max_age and max_events")
        if max_events is not None:
            if max_events < 0:
                raise UsageError(f"invalid max_events: {max_events}, expected 0 or more")
            return self.keep_newest(max_events)
        if max_age is not None:
            before = self._now() - max_age
        assert before is not None  # noqa: S101  one of the three is
        with explained_sql(_FAILED):
            return Pruner(self._transaction).remove(before=id_at(before, "before"))

    def keep_newest(self, max_events: int, which: Which = "all") -> int:
        """Remove the oldest beyond this number, of those that `which` names (see `Pruner`); how many."""
        excess = self._ask(lambda access: access.count()) - max_events
        with explained_sql(_FAILED):
            return Pruner(self._transaction).remove(at_most=excess, which=which) if excess > 0 else 0

    def clear(self, type: EventType | str | None = None) -> int:  # noqa: A002  the word of the requirement
        """Remove all events, or all of one type; how many."""
        code = None if type is None else CODES[type_of(type)]
        with explained_sql(_FAILED):
            return Pruner(self._transaction).remove(code=code)

    def refresh_statistics(self) -> None:
        """What the planner chooses by; once a day is enough."""
        self._run(lambda access: access.refresh_statistics())

    def close(self) -> None:
        """Let go of a database that was opened by URL."""
        if self._engine is not None:
            self._engine.dispose()

    def _run(self, work: Callable[[DataAccess], _T]) -> _T:
        with explained_sql(_FAILED), self._transaction() as connection:
            return work(DataAccess(connection))

    def _ask(self, question: Callable[[DataAccess], _T]) -> _T:
        with explained_sql(_FAILED), self._asking() as connection:
            return question(DataAccess(connection))


def _opened(engine: Engine) -> tuple[Transaction, Transaction]:
    """How to write and how to ask, on an engine; it has the table afterwards."""
    # An engine with one connection takes one thread at a time.
    alone = threading.RLock() if isinstance(engine.pool, StaticPool) else nullcontext()

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with alone, engine.begin() as connection:
            yield connection

    @contextmanager
    def question() -> Iterator[Connection]:
        with alone, asking(engine) as connection:
            yield connection

    with explained_sql(_FAILED):
        with question() as connection:
            is_there = connection.dialect.has_table(connection, event_table.name)
        if not is_there:
            with transaction() as connection:
                event_table.create(connection, checkfirst=True)
    return transaction, question


def _filter(wanted: EventFilter | None, filters: dict[str, Any]) -> EventFilter:
    if wanted is not None and filters:
        raise UsageError("invalid call: an EventFilter and its fields, expected one of them")
    try:
        return wanted or EventFilter(**filters)
    except TypeError as error:
        raise UsageError(f"invalid filter: {error}") from error


def _make_roomy(raw: Any, _record: object) -> None:
    """A file of events alone is not bound to the small cache and WAL of the daemon, which cost a third.

    A batch of samples changes a page of the index of pids for nearly each of its processes, the next batch
    the same pages. They reach the file once for all batches in the WAL; a WAL that keeps its length is
    overwritten, which needs no new blocks.
    """
    for pragma in ROOMY:
        raw.execute(f"PRAGMA {pragma}")


def engine_of(url: str, check_time: Callable[[], object] = lambda: None) -> Engine:
    """Open an engine for memory://, sqlite:////FOLDER/FILE or postgresql://…

    Raises UsageError, StorageError.
    While a server is silent `check_time` is called; what it raises (a MonitordError) ends the waiting.
    """
    scheme, separator, rest = url.partition("://")
    if url == "memory://":
        return engine_over(
            partial(sqlite3.connect, ":memory:", isolation_level=None, check_same_thread=False)
        )
    if scheme == "sqlite":
        from monitord.storage.sqlite_urls import sqlite_file  # which the recorder need not load

        path = sqlite_file(url, "event")
        try:
            path.touch(mode=0o600, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot open {path}: {error.strerror}") from error
        engine = open_engine(path)
        engine_event.listen(engine, "connect", _make_roomy)
        return engine
    if scheme == "postgresql" and separator:
        from monitord.storage.state.postgresql import limited_connect

        try:
            engine = create_engine(f"postgresql+psycopg://{rest}", connect_args={"connect_timeout": 5})
            engine_event.listen(engine, "do_connect", limited_connect(check_time))
        except ImportError as error:
            raise StorageError(f"cannot import psycopg; install it: {install_command('postgres')}") from error
        except (ArgumentError, ValueError) as error:  # a port of letters; the words may hold a password
            raise UsageError("invalid event URL: postgresql://…, what follows can't be read") from error
        return engine
    raise UsageError(
        f"invalid event URL: {scheme[:40]!r}, expected memory://, sqlite:////FOLDER/FILE or postgresql://…"
    )
