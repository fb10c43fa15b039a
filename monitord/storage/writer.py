"""One thread that writes, behind a bounded queue: the sampling loop never waits for a disk.

Only what was submitted as `may_drop` (history) is ever dropped, and it is counted; anything else is
written or its Future says why not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from monitord.errors import StorageError


@dataclass(slots=True)
class _Task:
    call: Callable[[], Any]
    may_drop: bool
    future: Future[Any] = field(default_factory=Future)


class Writer:
    """Runs submitted calls in order on its own thread. Close it before the store."""

    def __init__(self, capacity: int = 256) -> None:
        self.capacity = capacity
        self.dropped_count = 0
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._running: _Task | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="monitord-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many calls wait or run."""
        with self._changed:
            return len(self._tasks) + (self._running is not None)

    def submit(self, call: Callable[[], Any], *, may_drop: bool = False) -> Future[Any]:
        """Have `call()` run; its Future gives the result or the error, or is cancelled when dropped.

        Never blocks. Raises StorageError when closed, or when the queue is full of what may not be
        dropped: the caller keeps its own backlog and tries again.
        """
        task = _Task(call, may_drop)
        with self._changed:
            if self._is_closed:
                raise StorageError("cannot write: the writer is closed")
            if len(self._tasks) >= self.capacity and not self._make_room(may_drop):
                if not may_drop:
                    raise StorageError(
                        f"cannot write now: {self.capacity} writes wait already; try again later"
                    )
                self._drop(task)
                return task.future
            self._tasks.append(task)
            self._changed.notify_all()
        return task.future

    def _make_room(self, may_drop: bool) -> bool:
        """Drop the oldest call that may be; history of its own kind gives way too."""
        oldest = next((task for task in self._tasks if task.may_drop), None)
        if oldest is None:
            return False
        self._tasks.remove(oldest)
        self._drop(oldest)
        return True

    def _drop(self, task: _Task) -> None:
        self.dropped_count += 1
        task.future.cancel()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was submitted is done; False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._tasks and self._running is None, timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Take no more, write what waits, end the thread; False when time ran out (the rest is cancelled)."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        is_done = self.flush(timeout_s)
        with self._changed:
            for task in self._tasks:
                task.future.cancel()
            self._tasks.clear()
            self._changed.notify_all()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return is_done

    def _work(self) -> None:
        while (task := self._next()) is not None:
            if task.future.set_running_or_notify_cancel():
                try:
                    task.future.set_result(task.call())
                except BaseException as error:  # noqa: BLE001 - handed to the holder of the Future
                    task.future.set_exception(error)
            with self._changed:
                self._running = None
                self._changed.notify_all()

    def _next(self) -> _Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or self._is_closed)
            if not self._tasks:
                return None
            self._running = self._tasks.popleft()
            return self._running
