"""Recent profiles in memory: bounded in number, bytes and age; the least recently used goes first."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from monitord.profiling.result import ProfileResult

_MAX_BYTES = 32_000_000


class ProfileCache:
    """Profiles by id. Safe from several threads; nothing in it survives its process."""

    def __init__(
        self,
        max_size: int = 100,
        ttl_seconds: float = 3600,
        *,
        max_bytes: int = _MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_size = max_size
        self._lock = threading.Lock()
        self._results: TTLCache[str, ProfileResult] = TTLCache(
            max_bytes, ttl_seconds, timer=clock, getsizeof=lambda result: len(result.payload)
        )

    def put(self, result: ProfileResult) -> None:
        """Remember a profile; others make room for it. One bigger than the whole cache is not remembered."""
        with self._lock:
            self._results.pop(result.profile_id, None)
            if len(result.payload) > self._results.maxsize or self._max_size < 1:
                return
            self._results.expire()
            while len(self._results) >= self._max_size:
                self._results.popitem()
            self._results[result.profile_id] = result

    def get(self, profile_id: str) -> ProfileResult | None:
        """The profile of this id, if it is still remembered; that makes it a recently used one."""
        with self._lock:
            return self._results.get(profile_id)

    def results(self) -> list[ProfileResult]:
        """What is remembered, newest first; looking through is no use of any of them."""
        with self._lock:
            found = list(copy.copy(self._results).values())
        return sorted(found, key=lambda result: result.taken_at, reverse=True)

    def clear(self) -> int:
        """Forget all of them; how many there were."""
        with self._lock:
            self._results.expire()
            count = len(self._results)
            self._results.clear()
        return count

    def __len__(self) -> int:
        with self._lock:
            self._results.expire()
            return len(self._results)
