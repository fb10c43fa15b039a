"""Artefacts in one SQLite file: a plug-in as another package would bring it. `shelf:///path/to/file.db`"""

from __future__ import annotations

import contextlib
import io
import sqlite3
import threading
from collections.abc import Generator, Iterator
from datetime import UTC, datetime

from monitord.storage.artefacts.envelope import body_chunks, pack_header, read_header, stored
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactExistsError,
    DamagedArtefactError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.keys import check_key
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.urls import StorageURL


def open_shelf(url: StorageURL) -> ShelfProvider:
    url.check_options()
    return ShelfProvider(url.path)


class ShelfProvider:
    name = "shelf"

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        with self._transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS shelf (key TEXT PRIMARY KEY, object BLOB)")
            connection.execute("CREATE TABLE IF NOT EXISTS aside (key TEXT, object BLOB)")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise TransientError(f"the shelf is busy: {error}") from error
            with self._connection:
                yield self._connection

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        check_key(key)
        data = b"".join([pack_header(metadata), *payload.chunks()])
        with self._transaction() as connection:
            verb = "REPLACE" if replace else "IGNORE"
            if not connection.execute(f"INSERT OR {verb} INTO shelf VALUES (?, ?)", (key, data)).rowcount:  # noqa: S608 - one of two words
                raise ArtefactExistsError(f"artefact {key} exists already")
        return stored(metadata, len(data))

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        check_key(key)
        data = b"".join([pack_header(metadata), *payload.chunks()])
        with self._transaction() as connection:
            try:
                found = self._read(connection, key)[0]
            except (MissingArtefactError, DamagedArtefactError) as error:
                raise ArtefactChangedError(f"artefact {key} was replaced or deleted meanwhile") from error
            if found != expected:
                raise ArtefactChangedError(f"artefact {key} was replaced or deleted meanwhile")
            connection.execute("REPLACE INTO shelf VALUES (?, ?)", (key, data))
        return stored(metadata, len(data))

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        check_key(key)
        with self._transaction() as connection:
            metadata, source = self._read(connection, key)
        return metadata, (chunk for chunk in body_chunks(source))

    def get_metadata(self, key: str) -> StorageMetadata:
        check_key(key)
        with self._transaction() as connection:
            return self._read(connection, key)[0]

    def _read(self, connection: sqlite3.Connection, key: str) -> tuple[StorageMetadata, io.BytesIO]:
        row = connection.execute("SELECT object FROM shelf WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise MissingArtefactError(f"cannot find artefact {key}")
        source = io.BytesIO(row[0])
        return read_header(source, key, len(row[0]), datetime.now(UTC)), source

    def delete(self, key: str) -> int:
        check_key(key)
        with self._transaction() as connection:
            row = connection.execute("SELECT length(object) FROM shelf WHERE key = ?", (key,)).fetchone()
            connection.execute("DELETE FROM shelf WHERE key = ?", (key,))
        return int(row[0]) if row else 0

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._transaction() as connection:
            keys = [row[0] for row in connection.execute("SELECT key FROM shelf ORDER BY key")]
        return iter([key for key in keys if key.startswith(prefix)])

    def set_aside(self, key: str) -> None:
        check_key(key)
        with self._transaction() as connection:
            moved = connection.execute("INSERT INTO aside SELECT * FROM shelf WHERE key = ?", (key,))
            if not moved.rowcount:
                raise MissingArtefactError(f"cannot find artefact {key}")
            connection.execute("DELETE FROM shelf WHERE key = ?", (key,))

    def close(self) -> None:
        with self._lock:
            self._connection.close()
