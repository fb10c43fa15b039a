"""A provider behind a bad line: calls fail before they arrive, after they had their effect, or half-way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Literal, TypeVar

from monitord.errors import StorageError
from monitord.storage.artefacts.errors import TransientError
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging

Fault = Literal["before", "after"] | int | StorageError | None
Result = TypeVar("Result")


class Flaky(PassThrough):
    """`faults` are taken one a call, in order; a number breaks a stream or listing after so many bytes or keys."""

    def __init__(self, inner: StorageProvider, *faults: Fault) -> None:
        super().__init__(inner)
        self.faults = list(faults)
        self.calls: list[str] = []
        self.between: Callable[[], None] = lambda: None
        """What somebody else does after each failed call."""

    def _next(self, name: str) -> Fault:
        self.calls.append(name)
        return self.faults.pop(0) if self.faults else None

    def _broken(self) -> TransientError:
        self.between()
        return TransientError("the connection was reset")

    def _through(self, name: str, call: Callable[[], Result]) -> Result:
        fault = self._next(name)
        if isinstance(fault, StorageError):
            raise fault
        if fault == "before":
            raise self._broken()
        result = call()
        if fault == "after":
            raise self._broken()
        return result

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        return self._through("store", lambda: self.inner.store(key, payload, metadata, replace=replace))

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        inner = exchanging(self.inner)
        return self._through("exchange", lambda: inner.exchange(key, payload, metadata, expected=expected))

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        if not self.faults or not isinstance(self.faults[0], int):
            return self._through("retrieve", lambda: self.inner.retrieve(key))
        limit = self._next("retrieve")
        metadata, chunks = self.inner.retrieve(key)
        return metadata, self._cut(chunks, int(str(limit)))

    def _cut(self, chunks: Generator[bytes], limit: int) -> Generator[bytes]:
        for chunk in chunks:
            if len(chunk) > limit:
                if limit:
                    yield chunk[:limit]
                chunks.close()
                raise self._broken()
            limit -= len(chunk)
            yield chunk

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._through("get_metadata", lambda: self.inner.get_metadata(key))

    def delete(self, key: str) -> int:
        return self._through("delete", lambda: self.inner.delete(key))

    def list(self, prefix: str = "") -> Iterator[str]:
        limit = self._next("list")
        for number, key in enumerate(self.inner.list(prefix)):
            if number == limit:
                raise self._broken()
            yield key

    def set_aside(self, key: str) -> None:
        self._through("set_aside", lambda: self.inner.set_aside(key))
