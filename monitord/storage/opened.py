"""The database and the artefacts of one data directory, open for writing, however often that takes.

One thread at a time gets in. When the disk is full, read-only or locked, what was tried raises StorageError
and `is_degraded` says so; the next call tries again, opening or rebuilding the database as needed.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from monitord.errors import StorageError
from monitord.model import NamedPlan
from monitord.storage import recovery
from monitord.storage.artefact_store import ArtefactStore, OpenArtefacts, open_folder
from monitord.storage.connection import open_engine, patient, reading
from monitord.storage.faults import DamagedError, explained, storage_error
from monitord.storage.opening import mark_filled, prepare_database, unfilled
from monitord.storage.schema import ARTEFACTS_NAME, DATABASE_NAME
from monitord.storage.state import NamespacedStorage, Storage
from monitord.storage.state.backend import held, left_s
from monitord.storage.state.sql import Opened, SqlBackend
from monitord.storage.upkeep import bound_set_aside
from monitord.storage.usage import room_for_rows


class OpenDatabase:
    """What every method of the store stands on: `_guarded`, `_ready`, `_transaction`; opens when used."""

    def __init__(
        self,
        data_dir: Path,
        *,
        create: bool = True,
        busy_timeout_s: float = 5.0,
        open_artefacts: OpenArtefacts = open_folder,
        budget_bytes: int | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.database = data_dir / DATABASE_NAME
        self.degraded_reason: str | None = None
        self.salvaged: dict[str, int] = {}  # rows by table that came back from a database set aside
        self._create = create
        self._busy_timeout_s = busy_timeout_s
        self._open_artefacts = open_artefacts
        self._budget_bytes = budget_bytes
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._artefact_store: ArtefactStore | None = None
        self._identity: tuple[int, ...] | None = None
        self._is_suspect = False

    @property
    def is_degraded(self) -> bool:
        """Whether the last attempt to open or write failed; `degraded_reason` says why."""
        return self.degraded_reason is not None

    def migrate_if_needed(self) -> None:
        """Open: build, migrate or set aside what is there, as needed. Writes nothing when all is current."""
        with self._guarded():
            self._ready()

    @contextmanager
    def _guarded(self, *, writes: bool = True, proves: bool = True) -> Iterator[None]:
        """One thread at a time; remember how an attempt to write went.

        A call that may end without a row written `proves` nothing: what was wrong before still is.
        """
        with self._lock:
            try:
                yield
            except StorageError as error:
                self._note_failure(error, writes)
                raise
            except Exception as error:
                known = storage_error(error, self.database)
                if known is None:
                    raise
                self._note_failure(known, writes)
                raise known from error
            if writes and proves:
                self.degraded_reason = None

    def _note_failure(self, error: StorageError, writes: bool) -> None:
        if isinstance(error, DamagedError):
            self._is_suspect = True
            self._release()
        if writes or isinstance(error, DamagedError):
            self.degraded_reason = str(error)

    def _ready(self) -> tuple[Engine, ArtefactStore]:
        """The open database, opened again when file or folder was removed or replaced under us."""
        if self._engine is None or self._artefact_store is None or self._identity != self._current_identity():
            self._release()
            is_new = prepare_database(self.data_dir, create=self._create, is_suspect=self._is_suspect)
            self._is_suspect = False
            self._artefact_store = self._open_artefacts(self.data_dir / ARTEFACTS_NAME)
            self._engine = open_engine(self.database, self._busy_timeout_s)
            self._identity = self._current_identity()
            if (replaced := unfilled(self.data_dir)) is not None:
                from monitord.storage.salvage import salvage

                recovery.adopt(self._engine, self._artefact_store)
                for damaged in replaced:
                    self.salvaged.update(salvage(damaged, self._engine))
                mark_filled(self.data_dir)
            if is_new:
                is_remote = self._artefact_store.uploading is not None
                room = self._budget_bytes - room_for_rows(self._budget_bytes) if self._budget_bytes else None
                bound_set_aside(self.data_dir, room, is_remote=is_remote)
        return self._engine, self._artefact_store

    def keep_plan(self, plan: NamedPlan) -> None:
        """Keep a capture plan, in the database and in an artefact; raises UsageError."""
        from monitord.storage.kept_plans import keep_plan

        with self._guarded():
            keep_plan(self._ready()[1].artefacts, self.state, plan)

    def drop_plan(self, name: str) -> None:
        """Remove a capture plan; raises NotFoundError."""
        from monitord.storage.kept_plans import drop_plan

        with self._guarded():
            drop_plan(self._ready()[1].artefacts, self.state, name)

    def _current_identity(self) -> tuple[int, ...] | None:
        """Which files lie under our names now; None when one is gone."""
        try:
            found = [path.lstat() for path in (self.database, self.data_dir / ARTEFACTS_NAME)]
        except OSError:
            return None
        return tuple(number for status in found for number in (status.st_dev, status.st_ino))

    def _release(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._artefact_store is not None:
            self._artefact_store.close()
        self._engine = self._artefact_store = self._identity = None

    def close(self) -> None:
        """Let go of the database; using the store again opens it again."""
        with self._lock, explained(self.database):
            self._release()

    def _pragma(self, words: str) -> list[Any]:
        """A statement that must stand outside a transaction, and whose answer has one column."""
        with self._driver() as connection:
            return [row[0] for row in connection.execute(f"PRAGMA {words}")]

    @contextmanager
    def _driver(self) -> Iterator[sqlite3.Connection]:
        """sqlite3's own connection, for what SQLAlchemy has no words for."""
        engine, _artefact_store = self._ready()
        raw = engine.raw_connection()
        try:
            driver = raw.driver_connection
            assert isinstance(driver, sqlite3.Connection)  # noqa: S101 - what `open_engine` makes
            yield driver
        finally:
            raw.close()

    @contextmanager
    def _transaction(self, *, writes: bool = True) -> Iterator[Connection]:
        with self._guarded(writes=writes):
            engine, _artefact_store = self._ready()
            with engine.begin() as connection:
                yield connection

    @contextmanager
    def _questions(self) -> Iterator[Connection]:
        """For questions of one statement each, so rare that none is kept compiled: they take no lock."""
        with self._guarded(writes=False), reading(self._ready()[0]) as connection:
            yield connection.execution_options(compiled_cache=None)

    @property
    def state(self) -> Storage:
        """Small state by namespace, kept in this database."""
        asked = partial(self._within, self._questions, writes=False)
        made = partial(self._within, self._transaction, writes=True)
        return NamespacedStorage(SqlBackend(made, reading=asked))

    @contextmanager
    def _within(self, opened: Opened, *, writes: bool) -> Iterator[Connection]:
        """What `opened` gives, within the deadline of the call that asks."""
        with held(self._lock), self._guarded(writes=writes, proves=False):
            engine, _artefact_store = self._ready()
            with patient(engine, left_s()), opened() as connection:
                yield connection
