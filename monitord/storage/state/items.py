"""What is kept, how it is changed, and what can be asked: the values and the interface of this room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from monitord.storage.state.names import Namespace

DEADLINE_S = 5.0
"""How long a call takes at most when nobody says it: `Storage.within` does."""


@dataclass(frozen=True, slots=True)
class StorageItem:
    """One stored piece of data. Times are aware UTC; `version` is new with every write (see `expected`)."""

    data: bytes
    created_at: datetime
    expires_at: datetime | None = None
    version: str = ""

    def is_expired(self, now: datetime | None = None) -> bool:
        """Whether its time is over; at the very moment it is."""
        return self.expires_at is not None and (now or datetime.now(UTC)) >= self.expires_at


class _Any:
    """What is there now does not matter."""

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()
Expected = str | None | _Any
"""What must be there for a change to be made: a version, None (nothing), or ANY."""


@dataclass(frozen=True, slots=True)
class Put:
    """Store data under a key."""

    key: str
    data: bytes
    namespace: Namespace = None
    ttl: timedelta | None = None
    expected: Expected = ANY


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a key."""

    key: str
    namespace: Namespace = None
    expected: Expected = ANY


class Storage(Protocol):
    """Small data by key, apart for each user and session. Safe from several threads.

    Every method raises InvalidOptionsError before anything is done, StateUnavailableError when the
    backend can't, or not in time, StateFullError when there is no room. A change that ended so may have
    been made. An expired item is never seen.
    """

    def within(self, seconds: float) -> Storage:
        """Return the same storage with another deadline, above 0 and at most an hour, for every call."""
        ...

    def get(self, key: str, namespace: Namespace = None) -> StorageItem | None:
        """Return the item, or None when there is none or its time is over."""
        ...

    def set(
        self,
        key: str,
        data: bytes,
        namespace: Namespace = None,
        ttl: timedelta | None = None,
    ) -> StorageItem:
        """Store data, replacing what was there; it goes by itself after `ttl` (None: never)."""
        ...

    def delete(self, namespace: Namespace, key: str | None = None) -> int:
        """Remove one key, or with none the whole namespace; a user's sessions go with the user. How many."""
        ...

    def get_many(self, keys: Sequence[str], namespace: Namespace = None) -> dict[str, StorageItem]:
        """Return the items of those keys that are there."""
        ...

    def delete_many(self, keys: Sequence[str], namespace: Namespace = None) -> None:
        """Remove all of them or none."""
        ...

    def compare_and_set(self, change: Put) -> bool:
        """Make the change only if `change.expected` is there; whether it was."""
        ...

    def apply(self, changes: Sequence[Put | Remove]) -> bool:
        """Make all changes at once if every `expected` holds, else none; whether they were made."""
        ...

    def keys(self, namespace: Namespace = None) -> list[str]:
        """Return the keys of exactly this namespace, in order."""
        ...

    def namespaces(self) -> list[tuple[Namespace, int]]:
        """Return every namespace that has items, and how many; the global one first."""
        ...

    def sweep(self) -> int:
        """Remove what has expired, in bulk; how many."""
        ...

    def close(self) -> None:
        """Let go of the backend."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """An item as a backend keeps it: encoded data, times in microseconds since 1970 UTC."""

    data: bytes
    created_us: int
    expires_us: int | None
    version: str

    def is_live(self, now_us: int) -> bool:
        return self.expires_us is None or now_us < self.expires_us


@dataclass(frozen=True, slots=True)
class Write:
    """One change as a backend makes it: a record to put, or None to remove."""

    user_id: str
    session_id: str
    key: str
    record: Record | None
    expected: Expected = field(default=ANY)
