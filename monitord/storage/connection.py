"""SQLite opened for writing: durable at every commit, whatever happens to process or power.

Everything is written under WAL with synchronous=FULL, history too: a flush is one transaction, and one
fsync a minute is cheaper than explaining which rows a power cut may take (facts: reliability, finding 1).
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from monitord.errors import StorageError
from monitord.storage.cells import lenient_text
from monitord.storage.faults import cause_of
from monitord.storage.usage import WAL_LIMIT_BYTES, WAL_PAGES

BUSY_TIMEOUT_S = 5.0
CACHE_KIB = 256  # SQLite's default is 2 MB
_STEPS = 20_000  # of SQLite's machine, about a millisecond, between two looks at the clock
_IMMEDIATE, _DEFERRED = (
    partial(Connection.exec_driver_sql, statement=begin) for begin in ("BEGIN IMMEDIATE", "BEGIN")
)


def open_engine(database: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Open an engine over one connection to an existing database; the store lets one thread in at a time."""
    return engine_over(partial(_connect, database, busy_timeout_s))


def engine_over(connect: Callable[[], sqlite3.Connection]) -> Engine:
    """Make an engine over the one connection that `connect` gives, whose `isolation_level` is None."""
    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    # The write lock at once: a transaction that must wait waits before it has read anything.
    event.listen(engine, "begin", _IMMEDIATE)
    return engine


def _connect(database: Path, busy_timeout_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(database))}?mode=rw",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = lenient_text
    try:
        set_pragmas(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def set_pragmas(connection: sqlite3.Connection) -> None:
    """Set what every writing connection needs; writes nothing to a database that is in WAL mode already."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = ON")


_READING: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()
_ASKING: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """For questions of one statement each to SQLite: they take no lock."""
    with _beside(engine, _READING, None).connect() as connection:
        yield connection


@contextmanager
def asking(engine: Engine) -> Iterator[Connection]:
    """For questions to any database: they wait for no writer, and see it as it was at the first of them."""
    if engine.dialect.name == "sqlite":
        engine = _beside(engine, _ASKING, _DEFERRED)
    with engine.begin() as connection:
        yield connection


def _beside(
    engine: Engine, made: WeakKeyDictionary[Engine, Engine], begin: Callable[..., object] | None
) -> Engine:
    """The engine over the same connections that begins otherwise; made once, because that takes time."""
    other = made.get(engine)
    if other is None:
        other = Engine(engine.pool, engine.dialect, engine.url)
        if begin is not None:
            event.listen(other, "begin", begin)
        made[engine] = other
    return other


@contextmanager
def patient(engine: Engine, within_s: float) -> Iterator[None]:
    """Let SQLite wait for other writers, and work on a statement, for so long at most."""
    raw = engine.raw_connection()
    try:
        driver = raw.driver_connection
        assert isinstance(driver, sqlite3.Connection)  # noqa: S101  what `open_engine` makes
        before_ms = driver.execute("PRAGMA busy_timeout").fetchone()[0]
        ends_at_s = time.monotonic() + within_s
        driver.execute(f"PRAGMA busy_timeout = {max(1, int(within_s * 1000))}")
        driver.set_progress_handler(lambda: time.monotonic() > ends_at_s, _STEPS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)
            driver.execute(f"PRAGMA busy_timeout = {before_ms}")
    finally:
        raw.close()


@contextmanager
def explained_sql(what: str, kind: type[StorageError] = StorageError) -> Iterator[None]:
    """Let errors of any database out as `kind`: WHAT, then its own words; see `faults.explained` for ours."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise kind(f"{what}: {cause_of(error)}") from error
