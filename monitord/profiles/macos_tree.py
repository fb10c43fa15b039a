"""The call trees that macOS prints: counts are inclusive, so a stack's own count is the rest."""

from __future__ import annotations

from monitord.profiles.builder import ProfileBuilder
from monitord.profiles.idle_calls import BUSY_SHARE, is_waiting
from monitord.profiles.limits import MAX_DEPTH
from monitord.profiles.representation import Frame, Thread


class TreeReader:
    """Takes the lines of one tree from top to bottom: depth (root = 0), count, frame."""

    def __init__(self, builder: ProfileBuilder) -> None:
        self._builder = builder
        self._thread = Thread()
        self._ran_share: float | None = None
        self._path: list[tuple[Frame, int]] = []
        self._left: list[int] = []

    def start_thread(self, thread: Thread, ran_share: float | None = None) -> None:
        """Begin a thread's tree; `ran_share` is what part of the time it ran, None: that is not known."""
        self.finish()
        self._thread, self._ran_share = thread, ran_share

    def take(self, depth: int, count: int, frame: Frame) -> None:
        """Add a line; one that is deeper than its parent allows is a cut or forged tree and is an error."""
        if depth < 0 or depth > len(self._path) or depth > 4 * MAX_DEPTH:
            self._builder.errors += 1
            return
        self._unwind(depth)
        if self._left:
            self._left[-1] -= count
        self._path.append((frame, count))
        self._left.append(count)

    def finish(self) -> None:
        self._unwind(0)

    def _unwind(self, depth: int) -> None:
        while len(self._path) > depth:
            own = self._left[-1]
            if own > 0:
                self._add(own)
            elif own < 0:
                self._builder.errors += 1
            self._path.pop()
            self._left.pop()

    def _add(self, own: int) -> None:
        frames = [frame for frame, _count in self._path]
        users = [frame for frame in frames if frame.kind != "kernel"]
        share = self._ran_share
        idle = (bool(users) and is_waiting(users[-1].name)) or (share is not None and share < BUSY_SHARE)
        thread = Thread(self._thread.name, self._thread.thread_id, self._thread.pid, idle)
        value = own if idle or share is None else own * min(1.0, share)
        self._builder.add(thread, [self._builder.frame(frame) for frame in frames], value, samples=own)
