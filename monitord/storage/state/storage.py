"""Storage over any backend: what is common to all of them stands here once.

Names and data are checked, times are taken from one clock, and every call has a deadline.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from monitord.storage.state.backend import StateBackend, deadline
from monitord.storage.state.codec import decode, encode
from monitord.storage.state.errors import InvalidOptionsError, StateUnavailableError
from monitord.storage.state.items import DEADLINE_S, Put, Record, Remove, StorageItem, Write
from monitord.storage.state.names import Namespace, address, namespace_of, scope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LONGEST_TTL = timedelta(days=36_525)


def _now() -> datetime:
    return datetime.now(UTC)


class NamespacedStorage:
    """The one implementation of `Storage`."""

    def __init__(
        self, backend: StateBackend, *, within_s: float = DEADLINE_S, now: Callable[[], datetime] = _now
    ) -> None:
        self.backend = backend
        self._within_s = within_s
        self._now = now

    def within(self, seconds: float) -> NamespacedStorage:
        """See Storage.within."""
        return NamespacedStorage(self.backend, within_s=seconds, now=self._now)

    def get(self, key: str, namespace: Namespace = None) -> StorageItem | None:
        """See Storage.get."""
        return self.get_many([key], namespace).get(key)

    def get_many(self, keys: Sequence[str], namespace: Namespace = None) -> dict[str, StorageItem]:
        """See Storage.get_many."""
        addresses = [address(namespace, key) for key in keys]
        with deadline(self._within_s):
            records = self.backend.read(addresses, us_of(self._now()))
        return {key: _item(record) for key, record in zip(keys, records, strict=True) if record is not None}

    def set(
        self,
        key: str,
        data: bytes,
        namespace: Namespace = None,
        ttl: timedelta | None = None,
    ) -> StorageItem:
        """See Storage.set."""
        writes, now_us = self._writes([Put(key, data, namespace, ttl)])
        with deadline(self._within_s):
            self.backend.write(writes, now_us)
        record = writes[0].record
        assert record is not None  # noqa: S101  a Put always has one
        return StorageItem(data, _time(record.created_us), _time_or_none(record.expires_us), record.version)

    def delete(self, namespace: Namespace, key: str | None = None) -> int:
        """See Storage.delete."""
        writes, now_us = self._writes([Remove(key, namespace)] if key is not None else [])
        removed = scope(namespace)
        with deadline(self._within_s):
            if key is None:
                return self.backend.remove(removed, now_us)
            was_there = self.backend.read([address(namespace, key)], now_us)[0] is not None
            self.backend.write(writes, now_us)
        return int(was_there)

    def delete_many(self, keys: Sequence[str], namespace: Namespace = None) -> None:
        """See Storage.delete_many."""
        self.apply([Remove(key, namespace) for key in keys])

    def compare_and_set(self, change: Put) -> bool:
        """See Storage.compare_and_set."""
        return self.apply([change])

    def apply(self, changes: Sequence[Put | Remove]) -> bool:
        """See Storage.apply."""
        if not changes:
            return True
        writes, now_us = self._writes(changes)
        with deadline(self._within_s):
            return self.backend.write(writes, now_us)

    def keys(self, namespace: Namespace = None) -> list[str]:
        """See Storage.keys."""
        user_id, session_id, _key = address(namespace, "-")
        with deadline(self._within_s):
            return self.backend.keys(user_id, session_id, us_of(self._now()))

    def namespaces(self) -> list[tuple[Namespace, int]]:
        """See Storage.namespaces."""
        with deadline(self._within_s):
            found = self.backend.namespaces(us_of(self._now()))
        return [(namespace_of(user_id, session_id), count) for user_id, session_id, count in found]

    def sweep(self) -> int:
        """See Storage.sweep."""
        with deadline(self._within_s):
            return self.backend.sweep(us_of(self._now()))

    def close(self) -> None:
        """See Storage.close."""
        self.backend.close()

    def _writes(self, changes: Sequence[Put | Remove]) -> tuple[list[Write], int]:
        """The changes as a backend makes them, every name and number checked."""
        now, at_once = self._now(), self.backend.changes_at_once
        if at_once is not None and len(changes) > at_once:
            raise InvalidOptionsError(
                f"invalid transaction: {len(changes)} changes, expected at most {at_once} with this backend"
            )
        writes = [_write_of(change, now) for change in changes]
        if len({(write.user_id, write.session_id, write.key) for write in writes}) < len(writes):
            raise InvalidOptionsError("invalid transaction: two changes of one key, expected at most one")
        return writes, us_of(now)


def _write_of(change: Put | Remove, now: datetime) -> Write:
    where = address(change.namespace, change.key)
    if isinstance(change, Remove):
        return Write(*where, None, change.expected)
    expires = None if change.ttl is None else now + _checked_ttl(change.ttl)
    record = Record(
        data=encode(change.data),
        created_us=us_of(now),
        expires_us=None if expires is None else us_of(expires),
        version=secrets.token_hex(8),
    )
    return Write(*where, record, change.expected)


def _checked_ttl(ttl: timedelta) -> timedelta:
    if not timedelta(0) < ttl <= LONGEST_TTL:
        raise InvalidOptionsError(f"invalid ttl: {ttl}, expected above 0 and at most a century")
    return ttl


def us_of(moment: datetime) -> int:
    """A moment as records have it: microseconds since 1970 UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def _time(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def _time_or_none(us: int | None) -> datetime | None:
    return None if us is None else _time(us)


def _item(record: Record) -> StorageItem:
    try:
        created_at, expires_at = _time(record.created_us), _time_or_none(record.expires_us)
        return StorageItem(decode(record.data), created_at, expires_at, record.version)
    except (TypeError, ValueError, OverflowError) as error:
        raise StateUnavailableError(
            f"cannot read an item: {error}; `monitord storage verify --repair` removes it"
        ) from error
