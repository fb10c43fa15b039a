"""Files of /proc, each of which may be missing, empty, garbage or refused: then the pass goes on without.

Containers, sandboxes and hardened machines leave out or fake any of them, also while we run (a restarted
lxcfs makes every descriptor of it fail).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from monitord.logs import get_logger

_T = TypeVar("_T")
CLOSED = -1


class ProcFile:
    """A file of /proc kept open; `read` gives all of it, as it is now. OSError where it can't be read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = CLOSED
        self._size = 4096  # enough for most; a large buffer costs more than what is read into it

    def read(self) -> bytes:
        """Opened when it is not, and anew once when that fails: the file behind it may have been replaced."""
        try:
            text = os.pread(self.descriptor, self._size, 0)
        except OSError:
            self.close()
            text = os.pread(self.open(), self._size, 0)
        while len(text) == self._size:
            self._size *= 2
            text = os.pread(self.descriptor, self._size, 0)
        return text

    def open(self) -> int:
        """Its descriptor, also for polling."""
        if self.descriptor == CLOSED:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self.descriptor

    def close(self) -> None:
        if self.descriptor != CLOSED:
            os.close(self.descriptor)
            self.descriptor = CLOSED


class Sources:
    """What could not be had, by file: said once in the log when it begins, and once when it ends."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def take(self, name: str, read: Callable[[], _T], fallback: _T) -> _T:
        """What `read` gives; `fallback` where the file is not there or makes no sense."""
        try:
            found = read()
        except (OSError, ValueError, LookupError, ArithmeticError) as error:
            if name not in self.missing:
                self.missing[name] = _reason(error)
                get_logger().warning("sampling.source_missing", file=name, reason=self.missing[name])
            return fallback
        if name in self.missing:
            del self.missing[name]
            get_logger().info("sampling.source_back", file=name)
        return found


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not what the kernel writes there"
