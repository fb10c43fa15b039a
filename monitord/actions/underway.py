"""Captures on their way: each has a deadline, and a server that is told to end ends them first.

What a capture that was ended has by then is kept, as with Ctrl-C of `monitord capture`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from monitord.actions.capturing import GoesOn

_SLACK_S = 30.0  # beyond its duration and the profilers' grace: for several tries, on a machine that is slow


class CapturesUnderway:
    """Counts the captures of one server, on whatever threads they are."""

    def __init__(self) -> None:
        self._count = 0
        self._is_ending = False
        self._number: int | None = None
        self._lock = threading.Lock()  # never taken where signals are handled

    @contextmanager
    def one(self, grace_s: float) -> Iterator[GoesOn]:
        """Give what a capture asks whether to go on; a server that waits for it to end does so afterwards."""
        with self._lock:
            self._count += 1
        try:
            yield lambda elapsed_s, of_s: not self._is_ending and elapsed_s < of_s + grace_s + _SLACK_S
        finally:
            with self._lock:
                self._count -= 1
            main_thread = threading.main_thread().ident
            if self._number is not None and main_thread is not None:
                signal.pthread_kill(main_thread, self._number)

    def end(self) -> None:
        """End them soon."""
        self._is_ending = True

    def end_with(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: end this process by it, after the captures."""
        self._is_ending, self._number = True, number
        if not self._count:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
