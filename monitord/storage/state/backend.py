"""What a backend must do, and how long; `tests/contracts/test_state.py` holds each of them to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from monitord.errors import MonitordError
from monitord.storage.state.errors import InvalidOptionsError, StateUnavailableError
from monitord.storage.state.items import DEADLINE_S, Record, Write
from monitord.storage.state.names import Address, Scope

LONGEST_S = 3600.0
_ends_at_s: ContextVar[float | None] = ContextVar("ends_at_s", default=None)


@contextmanager
def deadline(within_s: float) -> Iterator[None]:
    """Let what is done in the block take so many seconds; backends ask `left_s`.

    What a backend trips over is told as StateUnavailableError: servers, and others who write into them,
    may answer anything.
    """
    if not 0 < within_s <= LONGEST_S:
        raise InvalidOptionsError(f"invalid deadline: {within_s!r} s, expected above 0 and at most an hour")
    token = _ends_at_s.set(time.monotonic() + within_s)
    try:
        yield
    except MonitordError:
        raise
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, ValueError) as error:
        raise StateUnavailableError(
            f"cannot use the state: what lies there is not what monitord wrote ({type(error).__name__})"
        ) from error
    finally:
        _ends_at_s.reset(token)


def left_s() -> float:
    """Seconds that the call in progress may still take; raises StateUnavailableError when there are none."""
    ends_at_s = _ends_at_s.get()
    if ends_at_s is None:
        return DEADLINE_S
    left = ends_at_s - time.monotonic()
    if left <= 0:
        raise StateUnavailableError("cannot use the state: no answer within the deadline")
    return left


@contextmanager
def held(lock: threading.Lock | threading.RLock) -> Iterator[None]:
    """Hold a lock, waiting no longer than the call in progress may take."""
    if not lock.acquire(timeout=left_s()):
        raise StateUnavailableError("cannot use the state: another thread uses it, beyond the deadline")
    try:
        yield
    finally:
        lock.release()


class StateBackend(Protocol):
    """Keeps records by address. Names come checked. Safe from several threads.

    Raises StateUnavailableError and StateFullError, nothing else, and within `left_s()`; what was under way
    then is undone or as if it had been made, and the next call finds the backend usable.
    """

    changes_at_once: int | None
    """How many changes one `write` may have; None: as many as you like."""

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """Return for each address the record that is live at `now_us`, or None."""
        ...

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """Write all of them at once, durably, if what each one expects is what is live; else none."""
        ...

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """Return the live keys of one namespace, in the order of their characters."""
        ...

    def namespaces(self, now_us: int) -> list[tuple[str, str, int]]:
        """Return user, session ("" for none) and number of live items of every namespace, in order."""
        ...

    def remove(self, scope: Scope, now_us: int) -> int:
        """Remove a whole namespace at once; return how many live items went."""
        ...

    def sweep(self, now_us: int) -> int:
        """Delete expired items; how many."""
        ...

    def close(self) -> None: ...
