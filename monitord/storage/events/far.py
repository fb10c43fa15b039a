"""Copied events, at a URL: each with the id that it has here, so it is there once however often it is copied.

In PostgreSQL each host has a schema of its own, `monitord_<host id>`, and so can have a role of its own that
reaches no other host's; a SQLite file is one host's. Beside the table `event` stands `event_mark`: whose
events these are, and how far the copy came. It is written in the transaction of the events that it counts.

More than 400 lines: one place and its two databases, which are to be alike.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, bindparam, text
from sqlalchemy import event as engine_event

from monitord.errors import (
    MonitordError,
    NotFoundError,
    PermissionDeniedError,
    StorageError,
    UsageError,
)
from monitord.model import Event
from monitord.ownership import is_privileged, why_untrusted
from monitord.storage.connection import asking, explained_sql
from monitord.storage.events.identity import id_at
from monitord.storage.events.rows import COLUMNS, row_of
from monitord.storage.events.statements import EventIndex, creation_of
from monitord.storage.events.store import EventStore, engine_of
from monitord.storage.sqlite_urls import sqlite_file

_SCHEMA = re.compile(r"monitord_[a-z0-9_]{1,54}")
_SERVERS_SHARE = 0.8  # of the time: then its answer still comes in time
_FAILED = "the copied events can't be read or written"
_LARGEST_CELL_BYTES = 1 << 20
_STEPS = 10_000  # of SQLite's machine between two looks at the time
_MOST_MARKS = 100
_MARK = (
    "CREATE TABLE IF NOT EXISTS event_mark (host_id TEXT PRIMARY KEY, through BIGINT NOT NULL,"
    " whole_us BIGINT NOT NULL, since BIGINT NOT NULL, round TEXT NOT NULL)"
)
_SCHEMAS = (
    "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = 'event_mark' AND starts_with(n.nspname, 'monitord_') ORDER BY 1"
)


class ForeignEventsError(MonitordError):
    """What lies there under this host's name is another host's."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the copy of a host's events came.

    All up to the id `through` were looked at since `whole_us`, when the last look at all of them began. None
    below `since` is copied again: they were pruned there. `round` names who wrote it last.
    """

    host_id: str
    through: int
    whole_us: int
    since: int
    round: str


def check_events_url(url: str) -> None:
    """Raise UsageError unless events can be copied to such a URL; its words hold no password."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "postgresql" and rest:
        return
    if separator and scheme == "sqlite":
        _file_of(url)
        return
    is_scheme = separator and re.fullmatch(r"[a-z][a-z0-9+.-]{0,40}", scheme)
    shown = f"{scheme}://" if is_scheme else "no scheme"  # all else may hold a password
    raise UsageError(f"invalid events URL: {shown}, expected one of postgresql://…, sqlite:////FOLDER/FILE")


class FarEvents:
    """The copied events of one host at a URL; `events` answers what an EventStore is asked.

    No call waits beyond `within_s` from the opening. Raises StorageError when the database can't.
    """

    def __init__(self, url: str, within_s: float) -> None:
        check_events_url(url)
        self.is_file = url.startswith("sqlite:")
        self._ends_at_s = time.monotonic() + within_s
        self._within_s = within_s
        self._schema = ""
        self._engine: Engine = engine_of(url, self.check_time)
        if self.is_file:
            engine_event.listen(self._engine, "connect", self._bind)
        else:
            engine_event.listen(self._engine, "begin", self._enter_schema)
        self.events: EventStore

    def _bind(self, connection: sqlite3.Connection, _record: object) -> None:
        """Others may have made the file: a view in it may never end, and a cell may have any size."""
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_CELL_BYTES)
        connection.set_progress_handler(lambda: time.monotonic() > self._ends_at_s, _STEPS)

    def _enter_schema(self, connection: Connection) -> None:
        """In each transaction, which also holds behind a pool that shares connections."""
        if self._schema:
            connection.exec_driver_sql(f'SET LOCAL search_path TO "{self._schema}"')

    def check_time(self) -> None:
        """Raise StorageError once the time is over."""
        if time.monotonic() > self._ends_at_s:
            raise StorageError(f"cannot use the copied events: no answer within {self._within_s:g} s")

    def more_time(self) -> None:
        """Begin the time anew."""
        self._ends_at_s = time.monotonic() + self._within_s

    # ------------------------------------------------------------------------------------ opening

    @classmethod
    @contextmanager
    def to_write(cls, url: str, host_id: str, within_s: float) -> Iterator[FarEvents]:
        """Open where this host's events are copied to, and make what is missing there."""
        check_events_url(url)
        if url.startswith("sqlite:"):
            _check_file(_file_of(url))
        with cls._closing(url, within_s) as far:
            far._make(host_id)
            yield far

    @classmethod
    @contextmanager
    def to_ask(cls, url: str, host_id: str | None, own: str | None, within_s: float) -> Iterator[FarEvents]:
        """Open one host's events: the one named, else `own`, else the only one there.

        Raises NotFoundError when there are none, UsageError when it is not clear whose.
        """
        check_events_url(url)
        if url.startswith("sqlite:") and not _is_copy(_file_of(url)):
            raise NotFoundError(
                f"cannot find copied events in {_file_of(url)}; `monitord events copy` makes them"
            )
        with cls._closing(url, within_s) as far:
            hosts = far._hosts()
            chosen = _chosen(hosts, host_id, own)
            far._schema = hosts[chosen]
            far.events = EventStore(far._engine)
            yield far

    @classmethod
    @contextmanager
    def _closing(cls, url: str, within_s: float) -> Iterator[FarEvents]:
        far = cls(url, within_s)
        try:
            yield far
        except StorageError:
            far.check_time()  # "interrupted" says less
            raise
        finally:
            far._ends_at_s = max(far._ends_at_s, time.monotonic() + 1)  # to say good-bye
            far._engine.dispose()

    def _make(self, host_id: str) -> None:
        schema = "" if self.is_file else schema_of(host_id)
        with self._transaction() as connection:
            if schema and not _is_there(connection, schema):  # only who makes it needs the right to
                connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        self._schema = schema
        with self._transaction() as connection:
            connection.exec_driver_sql(_MARK)
        mark = self.mark()
        if mark is not None and mark.host_id != host_id:
            raise UsageError(f"cannot copy events of {host_id} there: it holds those of {mark.host_id}")
        self.events = EventStore(self._engine)

    def _hosts(self) -> dict[str, str]:
        """Whose events are there, each with its schema."""
        with self._asking() as connection:
            schemas = [""] if self.is_file else [row[0] for row in connection.exec_driver_sql(_SCHEMAS)]
            found = {}
            for schema in schemas:
                if schema and _SCHEMA.fullmatch(schema) is None:
                    continue
                table = f'"{schema}".event_mark' if schema else "event_mark"
                if schema and not _may_read(connection, table):
                    continue
                marks = f"SELECT host_id FROM {table} LIMIT {_MOST_MARKS}"  # noqa: S608  checked
                for (host_id,) in connection.exec_driver_sql(marks):
                    found[str(host_id)] = schema
            return found

    # ------------------------------------------------------------------------------------ copying

    def mark(self) -> Mark | None:
        """How far the copy came; None before the first."""
        columns = "host_id, through, whole_us, since, round"
        with self._asking() as connection:
            rows = connection.exec_driver_sql(f"SELECT {columns} FROM event_mark").fetchall()  # noqa: S608  our words
        return Mark(*rows[0]) if rows else None

    def absent(self, ids: Sequence[int]) -> set[int]:
        """Which of these ids are not there."""
        asked = text("SELECT id FROM event WHERE id IN :ids").bindparams(bindparam("ids", expanding=True))
        with self._asking() as connection:
            return set(ids) - {row[0] for row in connection.execute(asked, {"ids": list(ids)})}

    def put(
        self, events: Sequence[Event], before: Mark | None, after: Mark, stale: Callable[[Connection], None]
    ) -> None:
        """Write events under their ids, and the mark, at once; what is there under an id is replaced.

        Raises ForeignEventsError when not the mark `before` is there: somebody else copies under this name.
        """
        with self._transaction() as connection:
            _set_mark(connection, before, after)
            if events:
                connection.execute(text(self._upsert()), [_cells(event) for event in events])
            stale(connection)

    def _upsert(self) -> str:
        differs = "IS NOT" if self.is_file else "IS DISTINCT FROM"
        rest = [name for name in COLUMNS if name != "id"]
        values = ", ".join(f":{name}" for name in COLUMNS)
        changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
        changed = " OR ".join(f"event.{name} {differs} excluded.{name}" for name in rest)
        return (
            f"INSERT INTO event ({', '.join(COLUMNS)}) VALUES ({values})"  # noqa: S608  our words
            f" ON CONFLICT (id) DO UPDATE SET {changes} WHERE {changed}"
        )

    # ------------------------------------------------------------------------------------- indexes

    def create_index(self, index: EventIndex) -> bool:
        """Make an index, unless it is there; whether it was made. PostgreSQL lets others write meanwhile."""
        if self.is_file:
            return self.events.create_index(index)
        if index.name in self.events.indexes():
            return False
        drop = f'DROP INDEX CONCURRENTLY IF EXISTS "{self._schema}".{index.name}'
        try:
            self._alone(drop)  # what was begun and never ended lies there under its name, and serves nobody
            self._alone(creation_of(index, f'"{self._schema}".event', "INDEX CONCURRENTLY"))
        except StorageError:
            with suppress(StorageError):
                self.more_time()
                self._alone(drop)
            raise
        return True

    def drop_index(self, index: EventIndex) -> bool:
        """Remove an index, if it is there; whether it was."""
        if self.is_file:
            return self.events.drop_index(index)
        if index.name not in self.events.indexes():
            return False
        self._alone(f'DROP INDEX CONCURRENTLY "{self._schema}".{index.name}')
        return True

    def _alone(self, statement: str) -> None:
        """Run what PostgreSQL takes in no transaction; it ends by itself in time."""
        left_ms = max(1, int((self._ends_at_s - time.monotonic()) * 1000 * _SERVERS_SHARE))
        with explained_sql(_FAILED), self._engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql(f"SET statement_timeout = {left_ms}")
            try:
                alone.exec_driver_sql(statement)
            finally:
                connection.invalidate()  # the next one has no such limit

    # ------------------------------------------------------------------------------------ removing

    def prune(self, before: datetime | None, max_events: int | None) -> int:
        """Delete the oldest, by age and beyond a number; how many. No copy brings them back."""
        count = 0
        if before is not None:
            count += self.events.cleanup_old_events(before=before)
            self._begin_at(id_at(before, "before"))
        if max_events is not None:
            count += self.events.cleanup_old_events(max_events=max_events)
            oldest, mark = self.events.query_events(order="asc", limit=1), self.mark()
            self._begin_at(oldest[0].id or 0 if oldest else mark.through + 1 if mark else 0)
        return count

    def _begin_at(self, event_id: int) -> None:
        with self._transaction() as connection:
            connection.execute(text("UPDATE event_mark SET since = :id WHERE since < :id"), {"id": event_id})

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with explained_sql(_FAILED), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _asking(self) -> Iterator[Connection]:
        with explained_sql(_FAILED), asking(self._engine) as connection:
            yield connection


def schema_of(host_id: str) -> str:
    """The schema of a host's events; a host's id has no `_`, so no two share one."""
    schema = "monitord_" + host_id.replace("-", "_")
    if _SCHEMA.fullmatch(schema) is None:
        raise UsageError(f"invalid host {host_id[:80]!r}: expected a name as `monitord fleet hosts` shows it")
    return schema


def remove_stale(
    since: int, incidents: Collection[str], kept: Collection[int]
) -> Callable[[Connection], None]:
    """Return what deletes events of these incidents from an id on that are not among those `kept`.

    An incident that gets more evidence is written anew, and some of what it had before is not true any more.
    Samples are: they stay.
    """
    asked = (
        "SELECT id, correlation_id FROM event"
        " WHERE id >= :since AND event_type > 0 AND correlation_id IS NOT NULL"
    )

    def remove(connection: Connection) -> None:
        rows = connection.execute(text(asked), {"since": since}).fetchall()
        gone = [{"id": row[0]} for row in rows if row[1] in incidents and row[0] not in kept]
        if gone:
            connection.execute(text("DELETE FROM event WHERE id = :id"), gone)

    return remove


def _set_mark(connection: Connection, before: Mark | None, after: Mark) -> None:
    values: dict[str, Any] = {
        "host_id": after.host_id, "through": after.through, "whole_us": after.whole_us, "round": after.round,
    }  # fmt: skip
    if before is None:
        sql = (
            "INSERT INTO event_mark (host_id, through, whole_us, since, round)"
            " VALUES (:host_id, :through, :whole_us, 0, :round) ON CONFLICT DO NOTHING"
        )
    else:
        sql = (
            "UPDATE event_mark SET through = :through, whole_us = :whole_us, round = :round"
            " WHERE round = :was"
        )
        values["was"] = before.round
    if connection.execute(text(sql), values).rowcount != 1:
        raise ForeignEventsError(f"cannot copy events as {after.host_id}: another host does")


def _cells(event: Event) -> dict[str, Any]:
    cells = dict(zip(COLUMNS, row_of(event), strict=True))
    return {**cells, "id": event.id}


def _chosen(hosts: dict[str, str], host_id: str | None, own: str | None) -> str:
    named = host_id or (own if own in hosts else None)
    if named is None and len(hosts) == 1:
        return next(iter(hosts))
    shown = ", ".join(sorted(hosts)[:10]) + (f" and {len(hosts) - 10} more" if len(hosts) > 10 else "")
    if not hosts:
        raise NotFoundError("cannot find copied events there; `monitord events copy` makes them")
    if named is None:
        raise UsageError(
            f"invalid call: events of several hosts are there, expected --host with one of {shown}"
        )
    if named not in hosts:
        raise NotFoundError(f"cannot find events of {named} there; it has those of {shown}")
    return named


def _is_there(connection: Connection, schema: str) -> bool:
    asked = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
    return connection.execute(asked, {"name": schema}).fetchone() is not None


def _may_read(connection: Connection, table: str) -> bool:
    """Each host may have a role of its own; what this one can't read is not asked."""
    schema = table.partition(".")[0].strip('"')
    asked = text(
        "SELECT has_schema_privilege(:schema, 'USAGE')"
        " AND (SELECT bool_and(has_table_privilege(c.oid, 'SELECT')) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = :schema AND c.relname = 'event_mark')"
    )
    return bool(connection.execute(asked, {"schema": schema}).scalar())


def _file_of(url: str) -> Path:
    return sqlite_file(url, "events")


def _check_file(path: Path) -> None:
    """Nobody else's file, nor one that holds something else."""
    reason = why_untrusted(path.absolute()) if is_privileged() else None
    if reason is not None:
        raise PermissionDeniedError(f"cannot copy events to {path}: {reason}; try another folder")
    if not path.parent.is_dir():
        raise StorageError(f"cannot copy events to {path}: its folder is not there")
    if path.exists() and _tables(path) and not _is_copy(path):
        raise UsageError(f"cannot copy events to {path}: it holds something else; name another file")


def _is_copy(path: Path) -> bool:
    return path.is_file() and "event_mark" in _tables(path)


def _tables(path: Path) -> set[str]:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=5)) as connection:
            return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise StorageError(f"cannot read {path}: {error}") from error
