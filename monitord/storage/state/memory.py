"""State in memory, bounded: under pressure expiring items go, the least recently used first.

An item without a time to live is never lost: when only such items are left, a write is refused.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from monitord.storage.state.backend import held
from monitord.storage.state.errors import StateFullError
from monitord.storage.state.items import ANY, Record, Write
from monitord.storage.state.names import Address, Scope

_OVERHEAD_BYTES = 400  # of an item's keys, record and index entries, by sys.getsizeof
_SWEPT_AT_ONCE = 1000  # some milliseconds, in which nobody else reads or writes


class MemoryBackend:
    """Records in dicts, behind one lock."""

    changes_at_once: int | None = None

    def __init__(self, max_bytes: int = 64 << 20, max_items: int = 1_000_000) -> None:
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._lock = threading.Lock()
        self._records: dict[Address, Record] = {}
        self._members: dict[str, dict[str, set[str]]] = {}
        self._expiring: OrderedDict[Address, None] = OrderedDict()  # least recently used first
        self._deadlines: list[tuple[int, Address]] = []
        self.used_bytes = 0
        self.evicted = 0

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """See StateBackend.read."""
        with held(self._lock):
            return [self._live(address, now_us) for address in addresses]

    def _live(self, address: Address, now_us: int) -> Record | None:
        record = self._records.get(address)
        if record is None or not record.is_live(now_us):
            return None
        if address in self._expiring:
            self._expiring.move_to_end(address)
        return record

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """See StateBackend.write."""
        with held(self._lock):
            wanted = {Address(w.user_id, w.session_id, w.key): w.record for w in writes}
            for write, address in zip(writes, wanted, strict=True):
                if write.expected is not ANY:
                    found = self._live(address, now_us)
                    if (found.version if found else None) != write.expected:
                        return False
            self._make_room(wanted, now_us)
            for address, record in wanted.items():
                self._drop(address)
                if record is not None:
                    self._add(address, record)
            return True

    def _make_room(self, wanted: dict[Address, Record | None], now_us: int) -> None:
        """Let expired, then expiring items go until it fits; refuse before anything is lost in vain."""
        items = bytes_ = 0
        for address, record in wanted.items():
            old = self._records.get(address)
            items += (record is not None) - (old is not None)
            bytes_ += _weight(address, record) - _weight(address, old)
        if self._fits(items, bytes_):
            return
        self._sweep(now_us, spared=wanted)
        movable = [address for address in self._expiring if address not in wanted]
        weight = sum(_weight(address, self._records[address]) for address in movable)
        if not self._fits(items - len(movable), bytes_ - weight):
            raise StateFullError(
                f"cannot keep more: {len(self._records)} items with {self.used_bytes} bytes leave no room"
                f" ({self._max_items} items, {self._max_bytes} bytes); delete some, or give them a ttl"
            )
        for address in movable:
            if self._fits(items, bytes_):
                return
            self._drop(address)
            self.evicted += 1

    def _fits(self, items: int, bytes_: int) -> bool:
        return len(self._records) + items <= self._max_items and self.used_bytes + bytes_ <= self._max_bytes

    def _add(self, address: Address, record: Record) -> None:
        self._records[address] = record
        sessions = self._members.setdefault(address.user_id, {})
        sessions.setdefault(address.session_id, set()).add(address.key)
        self.used_bytes += _weight(address, record)
        if record.expires_us is not None:
            self._expiring[address] = None
            heapq.heappush(self._deadlines, (record.expires_us, address))

    def _drop(self, address: Address) -> bool:
        record = self._records.pop(address, None)
        if record is None:
            return False
        self.used_bytes -= _weight(address, record)
        self._expiring.pop(address, None)
        sessions = self._members[address.user_id]
        sessions[address.session_id].discard(address.key)
        if not sessions[address.session_id]:
            del sessions[address.session_id]
        if not sessions:
            del self._members[address.user_id]
        return True

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """See StateBackend.keys."""
        with held(self._lock):
            names = self._members.get(user_id, {}).get(session_id, set())
            return sorted(
                key for key in names if self._records[Address(user_id, session_id, key)].is_live(now_us)
            )

    def namespaces(self, now_us: int) -> list[tuple[str, str, int]]:
        """See StateBackend.namespaces."""
        with held(self._lock):
            counted = [
                (user_id, session_id, self._live_in(user_id, session_id, now_us))
                for user_id, sessions in self._members.items()
                for session_id in sessions
            ]
        return sorted(each for each in counted if each[2])

    def _live_in(self, user_id: str, session_id: str, now_us: int) -> int:
        names = self._members[user_id][session_id]
        return sum(self._records[Address(user_id, session_id, key)].is_live(now_us) for key in names)

    def remove(self, scope: Scope, now_us: int) -> int:
        """See StateBackend.remove."""
        with held(self._lock):
            addresses = list(self._addresses(scope))
            count = sum(self._records[address].is_live(now_us) for address in addresses)
            for address in addresses:
                self._drop(address)
            return count

    def _addresses(self, scope: Scope) -> Iterator[Address]:
        sessions = self._members.get(scope.user_id, {})
        for session_id, keys in sessions.items():
            if scope.session_id is None or session_id == scope.session_id:
                yield from (Address(scope.user_id, session_id, key) for key in keys)

    def sweep(self, now_us: int) -> int:
        """See StateBackend.sweep; costs what has expired, not what is kept, and lets others in between."""
        count = 0
        while True:
            with held(self._lock):
                count += self._sweep(now_us, at_most=_SWEPT_AT_ONCE)
                if not self._deadlines or self._deadlines[0][0] > now_us:
                    return count
            time.sleep(0)  # else a thread that waits for the lock is not quick enough to get it

    def _sweep(
        self,
        now_us: int,
        spared: dict[Address, Record | None] | None = None,
        at_most: float = float("inf"),
    ) -> int:
        count, looked, later = 0, 0, []
        while looked < at_most and self._deadlines and self._deadlines[0][0] <= now_us:
            looked += 1
            deadline = heapq.heappop(self._deadlines)
            record = self._records.get(deadline[1])
            if record is None or record.is_live(now_us):
                continue  # replaced or removed since
            if spared and deadline[1] in spared:
                later.append(deadline)
                continue
            count += self._drop(deadline[1])
        for deadline in later:
            heapq.heappush(self._deadlines, deadline)
        return count

    def close(self) -> None:
        """Nothing is held."""


def _weight(address: Address, record: Record | None) -> int:
    if record is None:
        return 0
    return _OVERHEAD_BYTES + sum(len(name.encode()) for name in address) + len(record.data)
