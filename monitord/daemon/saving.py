"""Where incidents go: room is made within the budget, then they are saved, on the writer's thread."""

from __future__ import annotations

from pathlib import Path

from monitord.jobs import Job, RetentionLimits, RetentionManager, jobs_of
from monitord.model import Incident
from monitord.storage import SQLiteProfileStore

_ROOM_FOR_ROWS_BYTES = 64 * 1024  # what an incident's rows and history may add to the database


class Saving:
    """The store together with the limits it is kept in."""

    def __init__(self, store: SQLiteProfileStore, limits: RetentionLimits) -> None:
        self._store = store
        self.use(limits)

    def use(self, limits: RetentionLimits) -> None:
        """Keep the store within these limits from now on."""
        self._retention = RetentionManager(self._store, limits)
        self.jobs: tuple[Job, ...] = jobs_of(self._store, self._retention, limits.max_total_bytes)

    def save(self, incident: Incident) -> object:
        """Save an incident; durable when this returns. Raises StorageError when it can't be, now."""
        self._retention.make_room(_size_of(incident), incident.alert.raised_at)
        return self._store.save_incident(incident)


def _size_of(incident: Incident) -> int:
    """Bytes the incident may need; artefacts are compressed on the way in, so this is an upper bound."""
    evidence = sum(
        len(capture.payload) if capture.payload is not None else _file_size(capture.path)
        for capture in incident.captures
    )
    return evidence + _ROOM_FOR_ROWS_BYTES


def _file_size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0
