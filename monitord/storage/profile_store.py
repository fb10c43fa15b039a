"""The requirement's interface, in Python's names; `SQLiteProfileStore` is its one implementation."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from monitord.model import ProfileRecord


class ProfileStore(Protocol):
    """Where captures are kept. Errors come as StorageError."""

    def migrate_if_needed(self) -> None: ...

    def save(self, record: ProfileRecord) -> ProfileRecord: ...

    def fetch_recent(self, limit: int) -> list[ProfileRecord]: ...

    def delete_older_than(self, date: datetime) -> int: ...
