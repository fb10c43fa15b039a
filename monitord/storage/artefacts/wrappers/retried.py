"""Another try for what may go better a moment later, within one deadline for all tries together.

Only TransientError is answered; every provider decides which of its errors that is. After such an error it
is not known whether the call had its effect: a second try that meets its own first one has succeeded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TypeVar

from monitord.model import counted
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactError,
    ArtefactExistsError,
    MissingArtefactError,
    TransientError,
)
from monitord.storage.artefacts.metadata import Payload, StorageMetadata
from monitord.storage.artefacts.provider import StorageProvider
from monitord.storage.artefacts.wrappers.passing import PassThrough, exchanging

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often: `deadline_s` bounds a whole call, pauses double up to the longest."""

    deadline_s: float = 30.0
    attempts: int = 6
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0


class Tries:
    """The tries of one call; `unclear` once one of them ended in a way that leaves open what it did."""

    def __init__(
        self,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience, self._clock, self._sleep = patience, clock, sleep
        self._began_s = clock()
        self._failed = 0

    @property
    def unclear(self) -> bool:
        return self._failed > 0

    def wait_after(self, error: TransientError) -> None:
        """Pause before the next try; raises when there is none left, or no time for one."""
        self._failed += 1
        longest = min(self._patience.longest_pause_s, self._patience.first_pause_s * 2 ** (self._failed - 1))
        pause_s = longest * random.uniform(0.5, 1)  # noqa: S311  # spreads clients out, keeps no secret
        taken_s = self._clock() - self._began_s
        if self._failed >= self._patience.attempts or taken_s + pause_s > self._patience.deadline_s:
            raise TransientError(
                f"{error} (tried {counted(self._failed, 'time')} in {taken_s:.1f} s)"
            ) from error
        self._sleep(pause_s)

    def run(self, attempt: Callable[[], Result]) -> Result:
        while True:
            try:
                return attempt()
            except TransientError as error:
                self.wait_after(error)


class Retried(PassThrough):
    """Tries again. The provider's own timeouts bound a try; this, how many there are and until when."""

    def __init__(
        self,
        inner: StorageProvider,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(inner)
        self._patience, self._clock, self._sleep = patience, clock, sleep

    def _tries(self) -> Tries:
        return Tries(self._patience, self._clock, self._sleep)

    def store(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, replace: bool = True
    ) -> StorageMetadata:
        tries = self._tries()

        def attempt() -> StorageMetadata:
            try:
                return self.inner.store(key, payload, metadata, replace=replace)
            except ArtefactExistsError as refusal:
                return self._own(key, metadata, tries, refusal)

        return tries.run(attempt)

    def exchange(
        self, key: str, payload: Payload, metadata: StorageMetadata, *, expected: StorageMetadata
    ) -> StorageMetadata:
        tries, inner = self._tries(), exchanging(self.inner)

        def attempt() -> StorageMetadata:
            try:
                return inner.exchange(key, payload, metadata, expected=expected)
            except ArtefactChangedError as refusal:
                return self._own(key, metadata, tries, refusal)

        return tries.run(attempt)

    def _own(
        self, key: str, metadata: StorageMetadata, tries: Tries, refusal: ArtefactError
    ) -> StorageMetadata:
        """What an earlier try of ours left there, or the refusal raised: somebody else was there."""
        if tries.unclear:
            with suppress(MissingArtefactError):
                found = self.inner.get_metadata(key)
                if _identity(found) == _identity(metadata):
                    return found
        raise refusal

    def retrieve(self, key: str) -> tuple[StorageMetadata, Generator[bytes]]:
        """A stream that breaks goes on where it broke, if the same artefact is still there."""
        tries = self._tries()
        metadata, chunks = tries.run(lambda: self.inner.retrieve(key))
        return metadata, self._resumed(key, metadata, chunks, tries)

    def _resumed(
        self, key: str, metadata: StorageMetadata, chunks: Generator[bytes], tries: Tries
    ) -> Generator[bytes]:
        given = 0
        while True:
            with closing(chunks):
                try:
                    for chunk in _after(given, chunks):
                        given += len(chunk)
                        yield chunk
                    return
                except TransientError as error:
                    tries.wait_after(error)
            chunks = tries.run(lambda: self._again(key, metadata))

    def _again(self, key: str, expected: StorageMetadata) -> Generator[bytes]:
        found, chunks = self.inner.retrieve(key)
        if (found.checksum, found.updated_at) != (expected.checksum, expected.updated_at):
            chunks.close()
            raise ArtefactChangedError(f"cannot read {key}: it was replaced meanwhile; read it again")
        return chunks

    def get_metadata(self, key: str) -> StorageMetadata:
        return self._tries().run(lambda: self.inner.get_metadata(key))

    def delete(self, key: str) -> int:
        """After an unclear try that did remove it, 0: what it took can't be known any more."""
        return self._tries().run(lambda: self.inner.delete(key))

    def list(self, prefix: str = "") -> Iterator[str]:
        """A listing that breaks goes on after the last key that it gave."""
        tries, last = self._tries(), ""
        while True:
            try:
                for key in self.inner.list(prefix):
                    if key > last:
                        last = key
                        yield key
                return
            except TransientError as error:
                tries.wait_after(error)

    def set_aside(self, key: str) -> None:
        tries = self._tries()

        def attempt() -> None:
            try:
                self.inner.set_aside(key)
            except MissingArtefactError:
                if not tries.unclear:
                    raise

        tries.run(attempt)


def _identity(metadata: StorageMetadata) -> tuple[object, ...]:
    """What no other store of the same bytes has in common with this one."""
    return (
        metadata.size,
        metadata.checksum,
        metadata.updated_at,
        metadata.encryption,
        metadata.archived_in,
    )


def _after(count: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What follows the first `count` bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:] if count else chunk
        count = max(0, count - len(chunk))
