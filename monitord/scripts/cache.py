"""Recent profiles in memory: bounded in number, bytes and age; the least recently used goes first."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from cachetools import TTLCache

_MAX_BYTES = 32_000_000


class Profile(Protocol):
    """Whatever is told of a profile: a result with its document, or an answer that was made of one."""

    @property
    def profile_id(self) -> str: ...


P = TypeVar("P", bound=Profile)


def _payload_bytes(result: Any) -> int:
    return len(result.payload)


class ProfileCache(Generic[P]):
    """Profiles by id. Safe from several threads; nothing in it survives its process."""

    def __init__(
        self,
        max_size: int = 100,
        ttl_seconds: float = 3600,
        *,
        max_bytes: int = _MAX_BYTES,
        size_of: Callable[[P], int] = _payload_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_size = max_size
        self._size_of = size_of
        self._lock = threading.Lock()
        self._results: TTLCache[str, P] = TTLCache(max_bytes, ttl_seconds, timer=clock, getsizeof=size_of)

    def put(self, result: P) -> None:
        """Remember a profile; others make room for it. One bigger than the whole cache is not remembered."""
        with self._lock:
            self._results.pop(result.profile_id, None)
            if self._size_of(result) > self._results.maxsize or self._max_size < 1:
                return
            self._results.expire()
            while len(self._results) >= self._max_size:
                self._results.popitem()
            self._results[result.profile_id] = result

    def get(self, profile_id: str) -> P | None:
        """The profile of this id, if it is still remembered; that makes it a recently used one."""
        with self._lock:
            return self._results.get(profile_id)

    def results(self) -> list[P]:
        """What is remembered, the last one first; listing does not count as use."""
        with self._lock:
            return list(copy.copy(self._results).values())[::-1]

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
