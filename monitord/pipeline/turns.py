"""Profiles are taken one at a time: who waits for a turn, and who must give way. The worst come first."""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

WAITING_AT_MOST = 16


class Ranked(Protocol):
    """Something that is worth more or less."""

    @property
    def severity(self) -> float: ...


_T = TypeVar("_T", bound=Ranked)


class Turns(Generic[_T]):
    """A bounded queue by severity, from any thread."""

    def __init__(self, most: int = WAITING_AT_MOST) -> None:
        self._most = most
        self._waiting: list[_T] = []
        self._changed = threading.Condition()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, one: _T) -> _T | None:
        """Wait for a turn; returns the mildest, which gives way, when too many wait."""
        with self._changed:
            self._waiting.append(one)
            self._waiting.sort(key=lambda each: -each.severity)  # stable: of two alike the older is first
            self._changed.notify()
            return self._waiting.pop() if len(self._waiting) > self._most else None

    def get(self) -> _T | None:
        """The worst that waits; waits for one. None when the queue was closed and is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return self._waiting.pop(0) if self._waiting else None

    def close(self) -> None:
        """Nobody comes any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
