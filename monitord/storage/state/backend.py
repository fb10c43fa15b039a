"""What a backend must do; `tests/contracts/test_state.py` holds each of them to it. Names come checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitord.storage.state.items import Record, Write
from monitord.storage.state.names import Address, Scope


class StateBackend(Protocol):
    """Keeps records by address. Raises StateUnavailableError and StateFullError, nothing else."""

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """Return for each address the record that is live at `now_us`, or None."""
        ...

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """Write all of them at once, durably, if what each one expects is what is live; else none."""
        ...

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """Return the live keys of one namespace, in the order of their characters."""
        ...

    def remove(self, scope: Scope, now_us: int) -> int:
        """Remove a whole namespace at once; return how many live items went."""
        ...

    def sweep(self, now_us: int) -> int:
        """Delete expired items; how many."""
        ...

    def close(self) -> None: ...
