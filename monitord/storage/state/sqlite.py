"""State in a SQLite file of its own: readers wait for nobody, a writer for others as long as its call may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from monitord.storage.connection import open_engine, patient, reading
from monitord.storage.state.backend import held, left_s
from monitord.storage.state.errors import StateUnusableError
from monitord.storage.state.sql import SqlBackend, opening
from monitord.storage.tables import state


def sqlite_backend(path: Path) -> SqlBackend:
    """Open the file, made where there is none."""
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        more = "; make its folder first" if isinstance(error, FileNotFoundError) else ""
        raise StateUnusableError(f"cannot use {path}: {error.strerror}{more}") from error
    lock = threading.RLock()  # one connection takes one thread at a time

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with held(lock), patient(engine, left_s()), engine.begin() as connection:
            yield connection

    @contextmanager
    def question() -> Iterator[Connection]:
        with held(lock), patient(engine, left_s()), reading(engine) as connection:
            yield connection

    with opening():
        engine = open_engine(path, left_s())
        with question() as connection:
            is_new = not connection.dialect.has_table(connection, state.name)
        if is_new:
            with transaction() as connection:
                state.create(connection, checkfirst=True)
    return SqlBackend(transaction, reading=question, close=engine.dispose)
