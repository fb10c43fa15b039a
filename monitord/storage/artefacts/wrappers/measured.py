"""Tells a monitor of every call that reaches the provider, with what it took. Keys are told to nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Protocol

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactExistsError,
    InvalidKeyError,
    MissingArtefactError,
)
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging

ANSWERS = (ArtefactChangedError, ArtefactExistsError, InvalidKeyError, MissingArtefactError)
"""Errors that only say how things are: nothing is wrong with the provider."""


class Recorder(Protocol):
    """Counts what is done with artefacts, as StorageMonitor does. Sizes in bytes, as stored."""

    def record_read(self, size: int) -> None: ...
    def record_write(self, size: int) -> None: ...
    def record_delete(self) -> None: ...
    def record_error(self, operation: str, error: StorageError) -> None: ...
    def record_latency(self, operation: str, seconds: float) -> None: ...


class Measured(PassThrough):
    """The innermost wrapper: what it counts is what the provider was really asked for, retries included."""

    def __init__(
        self, inner: StorageProvider, recorder: Recorder, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        super().__init__(inner)
        self._recorder, self._clock = recorder, clock

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        with self._timed("store"):
            stored = self.inner.store(key, payload, metadata, replace=replace)
        self._recorder.record_write(stored.stored_size)
        return stored

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        with self._timed("exchange"):
            stored = exchanging(self.inner).exchange(key, payload, metadata, expected=expected)
        self._recorder.record_write(stored.stored_size)
        return stored

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        began_s = self._clock()
        with self._errors_of("retrieve"):
            metadata, chunks = self.inner.retrieve(key)
        return metadata, self._read(chunks, self._clock() - began_s)

    def _read(self, chunks: Generator[bytes], taken_s: float) -> Generator[bytes]:
        """Counts what was read, to its end or not, and the provider's time, not the reader's."""
        size = 0
        try:
            with closing(chunks), self._errors_of("retrieve"):
                began_s = self._clock()
                for chunk in chunks:
                    taken_s += self._clock() - began_s
                    size += len(chunk)
                    yield chunk
                    began_s = self._clock()
                taken_s += self._clock() - began_s
        finally:
            self._recorder.record_read(size)
            self._recorder.record_latency("retrieve", taken_s)

    def get_metadata(self, key: str) -> StorageMetadata:
        with self._timed("get_metadata"):
            return self.inner.get_metadata(key)

    def delete(self, key: str) -> int:
        with self._timed("delete"):
            freed = self.inner.delete(key)
        if freed:
            self._recorder.record_delete()
        return freed

    def list(self, prefix: str = "") -> Iterator[str]:
        with self._errors_of("list"):
            yield from self.inner.list(prefix)

    def set_aside(self, key: str) -> None:
        with self._timed("set_aside"):
            self.inner.set_aside(key)

    @contextmanager
    def _timed(self, operation: str) -> Iterator[None]:
        began_s = self._clock()
        with self._errors_of(operation):
            yield
        self._recorder.record_latency(operation, self._clock() - began_s)

    @contextmanager
    def _errors_of(self, operation: str) -> Iterator[None]:
        try:
            yield
        except ANSWERS:
            raise
        except StorageError as error:
            self._recorder.record_error(operation, error)
            raise
