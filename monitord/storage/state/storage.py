"""Storage over any backend: what is common to all of them stands here once.

Names and data are checked, times are taken from one clock, what changed is counted and told.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from monitord.storage.state.backend import StateBackend
from monitord.storage.state.codec import decode, encode
from monitord.storage.state.errors import InvalidOptionsError, StateFullError, StateUnavailableError
from monitord.storage.state.items import (
    Changed,
    ChangeKind,
    Put,
    Record,
    Remove,
    StateMetrics,
    StorageItem,
    Write,
)
from monitord.storage.state.names import Namespace, address, scope

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LONGEST_TTL = timedelta(days=36_525)


def _now() -> datetime:
    return datetime.now(UTC)


class NamespacedStorage:
    """The one implementation of `Storage`."""

    def __init__(self, backend: StateBackend, *, now: Callable[[], datetime] = _now) -> None:
        self._backend = backend
        self._now = now
        self._listeners: list[Callable[[Changed], None]] = []
        self.metrics = StateMetrics()

    def get(self, key: str, namespace: Namespace = None) -> StorageItem | None:
        """See Storage.get."""
        return self.get_many([key], namespace).get(key)

    def get_many(self, keys: Sequence[str], namespace: Namespace = None) -> dict[str, StorageItem]:
        """See Storage.get_many."""
        addresses = [address(namespace, key) for key in keys]
        with self._counted():
            records = self._backend.read(addresses, _us(self._now()))
        found = {key: _item(record) for key, record in zip(keys, records, strict=True) if record is not None}
        self.metrics.gets += len(keys)
        self.metrics.hits += len(found)
        return found

    def set(
        self, key: str, data: bytes, namespace: Namespace = None, ttl: timedelta | None = None
    ) -> StorageItem:
        """See Storage.set."""
        change = Put(key, data, namespace, ttl)
        writes, now_us = self._writes([change])
        self._write([change], writes, now_us)
        record = writes[0].record
        assert record is not None  # noqa: S101  a Put always has one
        return StorageItem(data, _time(record.created_us), _time_or_none(record.expires_us), record.version)

    def set_many(
        self, items: Mapping[str, bytes], namespace: Namespace = None, ttl: timedelta | None = None
    ) -> None:
        """See Storage.set_many."""
        self.apply([Put(key, data, namespace, ttl) for key, data in items.items()])

    def delete(self, namespace: Namespace, key: str | None = None) -> int:
        """See Storage.delete."""
        now_us = _us(self._now())
        if key is None:
            removed = scope(namespace)
            with self._counted():
                count = self._backend.remove(removed, now_us)
            self.metrics.deletes += count
            self._tell(Changed(ChangeKind.NAMESPACE_DELETED, namespace, None))
            return count
        where = address(namespace, key)
        with self._counted():
            was_there = self._backend.read([where], now_us)[0] is not None
        self.apply([Remove(key, namespace)])
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
        return self._write(changes, writes, now_us)

    def keys(self, namespace: Namespace = None) -> list[str]:
        """See Storage.keys."""
        user_id, session_id, _key = address(namespace, "-")
        with self._counted():
            return self._backend.keys(user_id, session_id, _us(self._now()))

    def sweep(self) -> int:
        """See Storage.sweep."""
        with self._counted():
            count = self._backend.sweep(_us(self._now()))
        self.metrics.swept += count
        return count

    def on_change(self, listener: Callable[[Changed], None]) -> None:
        """See Storage.on_change."""
        self._listeners.append(listener)

    def close(self) -> None:
        """See Storage.close."""
        self._backend.close()

    def _writes(self, changes: Sequence[Put | Remove]) -> tuple[list[Write], int]:
        """The changes as a backend makes them, every name and number checked."""
        now = self._now()
        writes = [_write_of(change, now) for change in changes]
        if len({(write.user_id, write.session_id, write.key) for write in writes}) < len(writes):
            raise InvalidOptionsError("invalid transaction: two changes of one key, expected at most one")
        return writes, _us(now)

    def _write(self, changes: Sequence[Put | Remove], writes: Sequence[Write], now_us: int) -> bool:
        with self._counted():
            is_made = self._backend.write(writes, now_us)
        if not is_made:
            self.metrics.conflicts += 1
            return False
        for change in changes:
            kind = ChangeKind.SET if isinstance(change, Put) else ChangeKind.DELETED
            self.metrics.sets += kind is ChangeKind.SET
            self.metrics.deletes += kind is ChangeKind.DELETED
            self._tell(Changed(kind, change.namespace, change.key))
        return True

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except (StateUnavailableError, StateFullError):
            self.metrics.errors += 1
            raise

    def _tell(self, changed: Changed) -> None:
        """What was done is done: a listener that fails is said and counted, and stops nobody."""
        for listener in self._listeners:
            try:
                listener(changed)
            except Exception:  # noqa: BLE001  a listener is somebody else's code
                self.metrics.listener_errors += 1
                from monitord.logs import get_logger  # 60 ms that a read command need not pay

                get_logger().exception("state.listener_failed", kind=changed.kind.value)


def _write_of(change: Put | Remove, now: datetime) -> Write:
    where = address(change.namespace, change.key)
    if isinstance(change, Remove):
        return Write(*where, None, change.expected)
    expires = None if change.ttl is None else now + _checked_ttl(change.ttl)
    record = Record(
        data=encode(change.data),
        created_us=_us(now),
        expires_us=None if expires is None else _us(expires),
        version=secrets.token_hex(8),
    )
    return Write(*where, record, change.expected)


def _checked_ttl(ttl: timedelta) -> timedelta:
    if not timedelta(0) < ttl <= LONGEST_TTL:
        raise InvalidOptionsError(f"invalid ttl: {ttl}, expected above 0 and at most a century")
    return ttl


def _us(moment: datetime) -> int:
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
