"""State in a SQL table: the daemon's own database, another SQLite file, PostgreSQL, or MySQL.

A change that expects something is one statement that says so (`WHERE version = …`, an INSERT that fails
or does nothing where a row is): the database compares, and its count of rows tells whether it was there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import sqlite

from monitord.storage.connection import explained_sql
from monitord.storage.state.backend import left_s
from monitord.storage.state.errors import StateUnavailableError
from monitord.storage.state.items import Record, Write
from monitord.storage.state.names import Address, Scope
from monitord.storage.tables import state as daemons_table

_BATCH = 200  # addresses in one statement: SQLite takes 999 parameters everywhere
_T = TypeVar("_T")
Opened = Callable[[], AbstractContextManager[Connection]]
Insert = Callable[[Connection, Table, dict[str, Any], bool], int]
"""Inserts a row, or with True replaces the one that is there; how many rows that made."""


class SqlBackend:
    """Records in a table; `transaction` opens one (write lock taken) and commits at its end.

    `reading` opens a connection for a question of one statement. `is_passing` knows the errors after which
    a transaction is tried again: two of them met, and the database ended one.
    """

    changes_at_once: int | None = None

    def __init__(
        self,
        transaction: Opened,
        *,
        reading: Opened | None = None,
        table: Table = daemons_table,
        insert: Insert | None = None,
        is_passing: Callable[[BaseException | None], bool] = lambda _error: False,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._transaction = transaction
        self._reading = reading or transaction
        self._table = table
        self._insert = insert or insert_on_conflict
        self._is_passing = is_passing
        self._close = close
        columns = table.c
        self._address = (columns.user_id, columns.session_id, columns.key)
        self._record = (columns.data, columns.created_us, columns.expires_us, columns.version)

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """See StateBackend.read."""
        found: dict[Address, Record] = {}
        is_one = len(addresses) <= _BATCH

        def ask(connection: Connection) -> None:
            for start in range(0, len(addresses), _BATCH):
                batch = [tuple(address) for address in addresses[start : start + _BATCH]]
                asked = tuple_(*self._address).in_(batch)
                query = select(*self._address, *self._record).where(asked, self._is_live(now_us))
                for user_id, session_id, key, data, *rest in connection.execute(query):
                    found[Address(user_id, session_id, key)] = Record(
                        bytes(data) if isinstance(data, memoryview) else data, *rest
                    )

        self._done(ask, self._reading if is_one else self._transaction)
        return [found.get(address) for address in addresses]

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """See StateBackend.write. In the order of addresses: two writers seldom wait for each other."""
        ordered = sorted(writes, key=lambda write: (write.user_id, write.session_id, write.key))

        def make(connection: Connection) -> None:
            for write in ordered:
                if not self._make(connection, write, now_us):
                    raise _Conflict

        try:
            self._done(make, self._transaction)
        except _Conflict:
            return False
        return True

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """See StateBackend.keys."""
        columns = self._table.c
        query = select(columns.key).where(
            columns.user_id == user_id, columns.session_id == session_id, self._is_live(now_us)
        )
        found = self._done(lambda connection: connection.execute(query).scalars().all(), self._reading)
        return sorted(
            key for key in found if isinstance(key, str)
        )  # here, because databases disagree about the order of texts

    def namespaces(self, now_us: int) -> list[tuple[str, str, int]]:
        """See StateBackend.namespaces."""
        names = (self._table.c.user_id, self._table.c.session_id)
        query = select(*names, func.count()).where(self._is_live(now_us)).group_by(*names)
        found = self._done(lambda connection: connection.execute(query).all(), self._reading)
        return sorted((row[0], row[1], row[2]) for row in found if isinstance(row[0] + row[1], str))

    def remove(self, scope: Scope, now_us: int) -> int:
        """See StateBackend.remove."""
        of_it = self._table.c.user_id == scope.user_id
        if scope.session_id is not None:
            of_it = and_(of_it, self._table.c.session_id == scope.session_id)
        live = select(func.count()).select_from(self._table).where(of_it, self._is_live(now_us))

        def take(connection: Connection) -> int:
            count = connection.execute(live).scalar_one()
            connection.execute(delete(self._table).where(of_it))
            return int(count)

        return self._done(take, self._transaction)

    def sweep(self, now_us: int) -> int:
        """See StateBackend.sweep."""
        expired = delete(self._table).where(self._table.c.expires_us <= now_us)
        return self._done(lambda connection: connection.execute(expired).rowcount, self._transaction)

    def _done(self, work: Callable[[Connection], _T], opened: Opened) -> _T:
        """Do the work, again while other transactions stand in its way and time is left."""
        while True:
            try:
                with _explained(), opened() as connection:
                    return work(connection)
            except StateUnavailableError as error:
                if not self._is_passing(getattr(error.__cause__, "orig", None)):
                    raise
                left_s()

    def close(self) -> None:
        """Let go of the database."""
        self._close()

    def _is_live(self, now_us: int) -> ColumnElement[bool]:
        expires_us = self._table.c.expires_us
        return or_(expires_us.is_(None), expires_us > now_us)

    def _make(self, connection: Connection, write: Write, now_us: int) -> bool:
        """One change; whether what it expects was there."""
        columns = self._table.c
        at_it = and_(
            columns.user_id == write.user_id, columns.session_id == write.session_id, columns.key == write.key
        )
        if write.expected is None:
            return self._make_new(connection, write, at_it, now_us)
        if isinstance(write.expected, str):
            current = and_(at_it, columns.version == write.expected, self._is_live(now_us))
            if write.record is None:
                return connection.execute(delete(self._table).where(current)).rowcount == 1
            changed = update(self._table).where(current).values(**_values(write.record))
            return connection.execute(changed).rowcount == 1
        if write.record is None:
            connection.execute(delete(self._table).where(at_it))
        else:
            self._insert(connection, self._table, _row(write, write.record), True)
        return True

    def _make_new(
        self, connection: Connection, write: Write, at_it: ColumnElement[bool], now_us: int
    ) -> bool:
        """A change of what must not be there; what has expired is not there."""
        connection.execute(delete(self._table).where(at_it, self._table.c.expires_us <= now_us))
        if write.record is None:
            return connection.execute(select(self._table.c.key).where(at_it)).first() is None
        return self._insert(connection, self._table, _row(write, write.record), False) == 1


class _Conflict(Exception):  # noqa: N818  no error: it undoes the transaction
    """What was expected is not there."""


def _explained() -> AbstractContextManager[None]:
    return explained_sql("the state can't be read or written", StateUnavailableError)


@contextmanager
def opening() -> Iterator[None]:
    """Let a database that can't be opened be said as every backend says it."""
    with explained_sql("the state can't be opened", StateUnavailableError):
        yield


def insert_on_conflict(connection: Connection, table: Table, row: dict[str, Any], replaces: bool) -> int:
    """`Insert` for SQLite and PostgreSQL; PostgreSQL's words are loaded by those who have one."""
    words: Any = sqlite
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        words = postgresql
    names = ["user_id", "session_id", "key"]
    insert = words.insert(table).values(row)
    if replaces:
        changed = {name: value for name, value in row.items() if name not in names}
        insert = insert.on_conflict_do_update(index_elements=names, set_=changed)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=names)
    return connection.execute(insert, execution_options={"preserve_rowcount": True}).rowcount


def _row(write: Write, record: Record) -> dict[str, Any]:
    names = {"user_id": write.user_id, "session_id": write.session_id, "key": write.key}
    return {**names, **_values(record)}


def _values(record: Record) -> dict[str, Any]:
    return {
        "data": record.data,
        "created_us": record.created_us,
        "expires_us": record.expires_us,
        "version": record.version,
    }
