"""State as a reader sees it: the daemon's own table through sqlite3; no SQLAlchemy, no writing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from monitord.storage.state.errors import StateUnavailableError
from monitord.storage.state.items import Record, Write
from monitord.storage.state.names import Address, Scope

Ask = Callable[[str, Sequence[Any]], Sequence[Mapping[str, Any]]]
_RECORD = (
    "SELECT data, created_us, expires_us, version FROM state "
    "WHERE user_id = ? AND session_id = ? AND (expires_us IS NULL OR expires_us > ?) AND key = ?"
)
_KEYS = (
    "SELECT key FROM state "
    "WHERE user_id = ? AND session_id = ? AND (expires_us IS NULL OR expires_us > ?) ORDER BY key"
)

_NAMESPACES = (
    "SELECT user_id, session_id, count(*) AS count FROM state "
    "WHERE expires_us IS NULL OR expires_us > ? GROUP BY user_id, session_id ORDER BY user_id, session_id"
)


class ReadOnlyBackend:
    """Answers what is there; `ask` runs a query and gives its rows. A change is refused."""

    changes_at_once: int | None = None

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def read(self, addresses: Sequence[Address], now_us: int) -> list[Record | None]:
        """See StateBackend.read."""
        found: list[Record | None] = []
        for user_id, session_id, key in addresses:
            rows = self._ask(_RECORD, [user_id, session_id, now_us, key])
            found.append(Record(**rows[0]) if rows else None)
        return found

    def keys(self, user_id: str, session_id: str, now_us: int) -> list[str]:
        """See StateBackend.keys."""
        rows = self._ask(_KEYS, [user_id, session_id, now_us])
        return [row["key"] for row in rows if isinstance(row["key"], str)]  # anything else is damage

    def namespaces(self, now_us: int) -> list[tuple[str, str, int]]:
        """See StateBackend.namespaces."""
        rows = self._ask(_NAMESPACES, [now_us])
        found = [(row["user_id"], row["session_id"], row["count"]) for row in rows]
        return [each for each in found if isinstance(each[0], str) and isinstance(each[1], str)]

    def write(self, writes: Sequence[Write], now_us: int) -> bool:
        """Refuse: a reader changes nothing."""
        _refuse()

    def remove(self, scope: Scope, now_us: int) -> int:
        """Refuse: a reader changes nothing."""
        _refuse()

    def sweep(self, now_us: int) -> int:
        """Refuse: a reader changes nothing."""
        _refuse()

    def close(self) -> None:
        """The reader closes what it opened."""


def _refuse() -> NoReturn:
    raise StateUnavailableError("cannot write: the state was opened for reading only")
