"""State in a SQL table: the daemon's own database, another SQLite file, or PostgreSQL.

A change that expects something is one statement that says so (`WHERE version = …`, `ON CONFLICT DO
NOTHING`): the database compares, and its count of rows tells whether it was there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    and_,
    create_engine,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import sqlite

from monitord.installation import install_command
from monitord.storage.connection import explained_sql, open_engine
from monitord.storage.state.errors import StateUnavailableError
from monitord.storage.state.items import Record, Write
from monitord.storage.state.names import Address, Scope
from monitord.storage.tables import state

_COLUMNS = (state.c.data, state.c.created_us, state.c.expires_us, state.c.version)
_ADDRESS = (state.c.user_id, state.c.session_id, state.c.key)
_BATCH = 200  # addresses in one statement: SQLite takes 999 parameters everywhere
Transaction = Callable[[], AbstractContextManager[Connection]]


class SqlBackend:
    """Records in the table `state`; `transaction` opens one (write lock taken) and commits at its end."""

    def __init__(self, transaction: Transaction, close: Callable[[], None] = lambda: None) -> None:
        self._transaction = transaction
        self._close = close

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """See StateBackend.read."""
        found: dict[Address, Record] = {}
        with self._opened() as connection:
            for start in range(0, len(addresses), _BATCH):
                batch = [tuple(address) for address in addresses[start : start + _BATCH]]
                query = select(*_ADDRESS, *_COLUMNS).where(tuple_(*_ADDRESS).in_(batch), _is_live(now_us))
                for user_id, session_id, key, data, *rest in connection.execute(query):
                    found[Address(user_id, session_id, key)] = Record(
                        bytes(data) if isinstance(data, memoryview) else data, *rest
                    )
        return [found.get(address) for address in addresses]

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """See StateBackend.write. In the order of addresses: two writers never wait for each other."""
        ordered = sorted(writes, key=lambda write: (write.user_id, write.session_id, write.key))
        try:
            with self._opened() as connection:
                for write in ordered:
                    if not _make(connection, write, now_us):
                        raise _Conflict
        except _Conflict:
            return False
        return True

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """See StateBackend.keys."""
        of_it = and_(state.c.user_id == user_id, state.c.session_id == session_id)
        with self._opened() as connection:
            found = connection.execute(select(state.c.key).where(of_it, _is_live(now_us))).scalars()
            return sorted(
                key for key in found if isinstance(key, str)
            )  # here, because databases disagree about the order of texts

    def remove(self, scope: Scope, now_us: int) -> int:
        """See StateBackend.remove."""
        of_it = state.c.user_id == scope.user_id
        if scope.session_id is not None:
            of_it = and_(of_it, state.c.session_id == scope.session_id)
        with self._opened() as connection:
            live = select(func.count()).select_from(state).where(of_it, _is_live(now_us))
            count = connection.execute(live).scalar_one()
            connection.execute(delete(state).where(of_it))
        return int(count)

    def sweep(self, now_us: int) -> int:
        """See StateBackend.sweep."""
        with self._opened() as connection:
            return connection.execute(delete(state).where(state.c.expires_us <= now_us)).rowcount

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        failed = explained_sql("the state can't be read or written", StateUnavailableError)
        with failed, self._transaction() as connection:
            yield connection

    def close(self) -> None:
        """Let go of the database."""
        self._close()


class _Conflict(Exception):  # noqa: N818  no error: it undoes the transaction
    """What was expected is not there."""


def _is_live(now_us: int) -> ColumnElement[bool]:
    return or_(state.c.expires_us.is_(None), state.c.expires_us > now_us)


def _make(connection: Connection, write: Write, now_us: int) -> bool:
    """One change; whether what it expects was there."""
    at_it = and_(
        state.c.user_id == write.user_id, state.c.session_id == write.session_id, state.c.key == write.key
    )
    if write.expected is None:
        return _make_new(connection, write, at_it, now_us)
    if isinstance(write.expected, str):
        current = and_(at_it, state.c.version == write.expected, _is_live(now_us))
        if write.record is None:
            return connection.execute(delete(state).where(current)).rowcount == 1
        values = _values(write.record)
        return connection.execute(update(state).where(current).values(**values)).rowcount == 1
    if write.record is None:
        connection.execute(delete(state).where(at_it))
    else:
        _insert(connection, write, write.record, replaces=True)
    return True


def _make_new(connection: Connection, write: Write, at_it: ColumnElement[bool], now_us: int) -> bool:
    """A change of what must not be there; what has expired is not there."""
    connection.execute(delete(state).where(at_it, state.c.expires_us <= now_us))
    if write.record is None:
        return connection.execute(select(state.c.key).where(at_it)).first() is None
    return _insert(connection, write, write.record, replaces=False).rowcount == 1


def _insert(connection: Connection, write: Write, record: Record, *, replaces: bool) -> CursorResult[Any]:
    values = _values(record)
    row = {"user_id": write.user_id, "session_id": write.session_id, "key": write.key, **values}
    names = [column.name for column in _ADDRESS]
    insert = _dialect(connection).insert(state).values(row)
    if replaces:
        insert = insert.on_conflict_do_update(index_elements=names, set_=values)
    else:
        insert = insert.on_conflict_do_nothing(index_elements=names)
    return connection.execute(insert, execution_options={"preserve_rowcount": True})


def _dialect(connection: Connection) -> Any:
    """The database's own kind of INSERT; PostgreSQL's is loaded by those who have one."""
    if connection.dialect.name != "postgresql":
        return sqlite
    from sqlalchemy.dialects import postgresql

    return postgresql


def _values(record: Record) -> dict[str, Any]:
    return {
        "data": record.data,
        "created_us": record.created_us,
        "expires_us": record.expires_us,
        "version": record.version,
    }


def sqlite_backend(path: Path) -> SqlBackend:
    """State in a SQLite file of its own, made where there is none."""
    path.touch(mode=0o600, exist_ok=True)
    return _backend_over(open_engine(path), threading.RLock())


def postgresql_backend(url: str) -> SqlBackend:
    """State in PostgreSQL (extra `postgres`)."""
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 5})
    except ImportError as error:
        raise StateUnavailableError(
            f"cannot import psycopg; install it: {install_command('postgres')}"
        ) from error
    return _backend_over(engine, None)


def _backend_over(engine: Engine, lock: threading.RLock | None) -> SqlBackend:
    """`lock` for an engine with one connection, which takes one thread at a time."""

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with lock or nullcontext(), engine.begin() as connection:
            yield connection

    with explained_sql("the state can't be opened", StateUnavailableError), transaction() as connection:
        state.create(connection, checkfirst=True)
    return SqlBackend(transaction, engine.dispose)
