"""State in MySQL or MariaDB (extra `mysql`). Names lie as bytes: no collation makes two of them one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, MetaData, String, Table, create_engine, event
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY, insert
from sqlalchemy.types import TypeDecorator

from monitord.installation import install_command
from monitord.storage.state.backend import deadline, left_s
from monitord.storage.state.errors import StateUnusableError
from monitord.storage.state.names import NAME_LIMIT_BYTES
from monitord.storage.state.sql import SqlBackend, opening

_DUPLICATE = 1062
_BROKEN_OFF = {1020, 1205, 1213}  # changed since it was read, waited too long for a lock, deadlock
_SERVERS_SHARE = 0.8
_CLOSE_S = 1.0


class _Name(TypeDecorator[str]):
    impl = VARBINARY(NAME_LIMIT_BYTES)
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Any) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, _dialect: Any) -> str | None:
        return None if value is None else value.decode("utf-8", "replace")


state = Table(
    "monitord_state",
    MetaData(),
    Column("user_id", _Name, primary_key=True),
    Column("session_id", _Name, primary_key=True),
    Column("key", _Name, primary_key=True),
    Column("data", LONGBLOB, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Column("version", String(16), nullable=False),
    Index("monitord_state_expiry", "expires_us"),
    mysql_engine="InnoDB",
    mysql_charset="utf8mb4",
)


def mysql_backend(url: str) -> SqlBackend:
    """Open `mysql://user:password@host/database`; `?unix_socket=PATH` for a socket, `ssl_ca=FILE` for TLS."""
    try:
        with opening():
            engine = create_engine(
                "mysql+pymysql://" + url.partition("://")[2],
                pool_pre_ping=True,
                max_overflow=-1,  # nobody waits for another's connection
            )
        import pymysql  # noqa: F401  else the first call would say that it is missing
    except ImportError as error:
        raise StateUnusableError(f"cannot import pymysql; install it: {install_command('mysql')}") from error
    event.listen(engine, "do_connect", _connect)
    asking = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with engine.begin() as connection:
            limit_s = max(1, int(left_s() * _SERVERS_SHARE))
            if connection.info.get("lock_wait_s") != limit_s:
                connection.exec_driver_sql(f"SET innodb_lock_wait_timeout = {limit_s}")
                connection.info["lock_wait_s"] = limit_s
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
    return SqlBackend(
        transaction,
        reading=asking.connect,
        table=state,
        insert=_insert,
        is_passing=_is_broken_off,
        close=close,
    )


def _is_broken_off(error: BaseException | None) -> bool:
    return error is not None and bool(error.args) and error.args[0] in _BROKEN_OFF


def _insert(connection: Connection, table: Table, row: dict[str, Any], replaces: bool) -> int:
    from sqlalchemy.exc import IntegrityError

    made = insert(table).values(row)
    if replaces:
        changed = {name: value for name, value in row.items() if name not in ("user_id", "session_id", "key")}
        return connection.execute(made.on_duplicate_key_update(changed)).rowcount
    try:
        return connection.execute(made).rowcount
    except IntegrityError as error:
        if error.orig is not None and error.orig.args[0] == _DUPLICATE:
            return 0
        raise


def _connect(_dialect: Any, _record: Any, words: Any, more: dict[str, Any]) -> Any:
    """A connection of pymysql's over a socket that keeps to the deadline."""
    import pymysql

    from monitord.storage.state.sockets import LimitedTLSSocket, connect_tcp, connect_unix

    made: Any = pymysql.Connection(*words, **more, defer_connect=True)
    if made.ctx is not None:
        made.ctx.sslsocket_class = LimitedTLSSocket
    try:
        made.connect(
            connect_unix(made.unix_socket) if made.unix_socket else connect_tcp(made.host, made.port)
        )
    except OSError as error:
        raise pymysql.OperationalError(2003, f"cannot connect to {made.host}: {error}") from error
    return made
