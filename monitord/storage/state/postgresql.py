"""State in PostgreSQL (extra `postgres`).

A statement that waits too long is ended by the server, and the connection goes on; a server that does not
answer at all loses the connection, and the next call makes another.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event

from monitord.errors import MonitordError
from monitord.installation import install_command
from monitord.storage.state.backend import deadline, left_s
from monitord.storage.state.errors import StateUnusableError
from monitord.storage.state.sql import SqlBackend, opening
from monitord.storage.tables import state

_BROKEN_OFF = {"40001", "40P01"}  # serialization failure, deadlock
_SERVERS_SHARE = 0.8  # of the time: then its answer still comes in time
_CLOSE_S = 1.0
_LOOKS_S = 0.02  # between two looks at the clock while the server is silent


def postgresql_backend(url: str) -> SqlBackend:
    """Open `postgresql://…` as libpq understands it."""
    try:
        connect = limited_connect(left_s)
        with opening():
            engine = create_engine(
                "postgresql+psycopg://" + url.partition("://")[2],
                pool_pre_ping=True,
                max_overflow=-1,  # nobody waits for another's connection
            )
    except ImportError as error:
        raise StateUnusableError(
            f"cannot import psycopg; install it: {install_command('postgres')}"
        ) from error
    event.listen(engine, "do_connect", connect)
    asking = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with engine.begin() as connection:
            limit_ms = max(1, int(left_s() * 1000 * _SERVERS_SHARE))
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit_ms}")
            yield connection

    def close() -> None:
        with deadline(_CLOSE_S):
            engine.dispose()

    with opening():
        with asking.connect() as connection:
            is_new = not connection.dialect.has_table(connection, state.name)
        if is_new:
            with transaction() as connection:
                state.create(connection, checkfirst=True)
    return SqlBackend(transaction, reading=asking.connect, is_passing=_is_broken_off, close=close)


def _is_broken_off(error: BaseException | None) -> bool:
    return getattr(error, "sqlstate", None) in _BROKEN_OFF


def limited_connect(check: Callable[[], object]) -> Callable[..., Any]:
    """What connects for SQLAlchemy, and waits until `check` raises a MonitordError.

    Raises ImportError where there is no psycopg.
    """
    import psycopg

    class LimitedConnection(psycopg.Connection[Any]):
        """Waits for the server as long as it may, and is closed when it did."""

        def wait(self, gen: Any, *_others: Any, **_more: Any) -> Any:
            try:
                return super().wait(_limited(gen, check), _LOOKS_S)
            except MonitordError as error:
                self.pgconn.finish()
                raise psycopg.OperationalError(str(error)) from error

        @classmethod
        def _connect_gen(cls, *words: Any, **more: Any) -> Any:
            return _limited(super()._connect_gen(*words, **more), check)

    def connect(_dialect: Any, _record: Any, words: Any, more: Any) -> Any:
        return LimitedConnection.connect(*words, **more)

    return connect


def _limited(waiting: Generator[Any, Any, Any], check: Callable[[], object]) -> Generator[Any, Any, Any]:
    """The same generator of psycopg's, which hears every few milliseconds of nothing new."""
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            check()
            wanted = waiting.send(ready)
    except StopIteration as end:
        return end.value
