"""Incidents as plain rows, for tests: read from a store, or made up; and as the items that retention judges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitord.storage import SQLiteProfileStore
from monitord.storage.artefacts.lifecycle import KIND, PROCESS, Item, Stock
from monitord.storage.cells import text_of, time_of

_SLACK = timedelta(seconds=120)
_SQL = """
SELECT correlation_id, process_name, raised_at, severity, pinned, is_summary, boot_id, stored_bytes
 + (SELECT coalesce(sum(stored_bytes), 0) FROM profile_capture c WHERE c.correlation_id = i.correlation_id)
FROM incident i WHERE state = 'active' ORDER BY raised_at
"""


@dataclass(frozen=True)
class IncidentRow:
    correlation_id: str
    raised_at: datetime
    severity: float = 1.0
    pinned: bool = False
    artefact_bytes: int = 1000
    is_summary: bool = False
    process_name: str = "p"
    boot_id: str | None = None


def stored_incidents(store: SQLiteProfileStore) -> list[IncidentRow]:
    """One row per incident, oldest first."""
    with store._transaction(writes=False) as connection:
        rows = connection.exec_driver_sql(_SQL).all()
    return [
        IncidentRow(key, time_of(at), severity, bool(pinned), size, bool(summary), text_of(name), boot)
        for key, name, at, severity, pinned, summary, boot, size in rows
    ]


def listed_stock(
    rows: Iterable[IncidentRow],
    total_bytes: int,
    free_disk_bytes: int | None,
    stuck: Collection[str] = (),
) -> Stock:
    """Everything at once: what retention judges page by page."""
    return Stock.of([item for row in rows for item in _items(row, stuck)], total_bytes, free_disk_bytes)


def _items(row: IncidentRow, stuck: Collection[str]) -> Iterator[Item]:
    kinds = [("evidence", 0 if row.is_summary else row.artefact_bytes)] if not row.is_summary else []
    kinds.append(("summary", row.artefact_bytes if row.is_summary else 0))
    for kind, freed in kinds:
        key = f"{kind}/{row.correlation_id}"
        tags = {KIND: kind, PROCESS: row.process_name}
        if row.is_summary:
            tags["bare"] = "yes"
        yield Item(key, freed, row.raised_at, row.severity, row.pinned or key in stuck, tags)


def happened_at(row: IncidentRow, boots: Mapping[str, tuple[datetime, datetime]], now: datetime) -> datetime:
    """No incident is older than its boot; one from the future counts from when its boot was seen last."""
    began, seen_last = boots.get(row.boot_id or "", (row.raised_at, row.raised_at))
    if row.raised_at < began - _SLACK:
        return began
    return min(row.raised_at, seen_last) if row.raised_at > now + _SLACK else row.raised_at
