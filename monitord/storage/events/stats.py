"""How many events are stored and what they take: the same questions of whatever asks the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitord.model import EventType
from monitord.storage.events.identity import time_of_id
from monitord.storage.events.rows import CODES
from monitord.storage.events.statements import BUILT_IN, ON_REQUEST

Rows = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]

INDEXES = tuple(index.name for index in (*BUILT_IN, *ON_REQUEST))


@dataclass(frozen=True, slots=True)
class EventStats:
    """How much is stored. Sizes in bytes; empty where the database can't tell. Times None when empty."""

    total: int
    per_type: Mapping[EventType, int]
    oldest: datetime | None
    newest: datetime | None
    table_bytes: int | None = None
    index_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int | None:
        """What table and indexes take together."""
        return None if self.table_bytes is None else self.table_bytes + sum(self.index_bytes.values())


def stats_of(rows: Rows, *, is_sqlite: bool = True) -> EventStats:
    """See EventStats; samples, which no index has, are what is left when the other types are counted."""
    total = int(rows("SELECT count(*) FROM event", {})[0][0])
    counted = rows("SELECT event_type, count(*) FROM event WHERE event_type > 0 GROUP BY event_type", {})
    by_code = {code: int(number) for code, number in counted}
    by_code[0] = total - sum(by_code.values())
    per_type = {kind: by_code[code] for kind, code in CODES.items() if by_code.get(code)}
    oldest, newest = rows("SELECT min(id), max(id) FROM event", {})[0]
    sizes = _sizes(rows, is_sqlite)
    return EventStats(
        total=total,
        per_type=per_type,
        oldest=None if oldest is None else time_of_id(oldest),
        newest=None if newest is None else time_of_id(newest),
        table_bytes=sizes.pop("event", None),
        index_bytes=sizes,
    )


def _sizes(rows: Rows, is_sqlite: bool) -> dict[str, int]:
    """Bytes by table and index; {} for a SQLite that was built without dbstat."""
    if not is_sqlite:
        sql = "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname = ANY(:names)"
        sql += " AND pg_table_is_visible(oid)"  # another schema has tables of these names, too
        return {name: int(size) for name, size in rows(sql, {"names": ["event", *INDEXES]})}
    has = "SELECT 1 FROM pragma_compile_options WHERE compile_options = 'ENABLE_DBSTAT_VTAB'"
    if not rows(has, {}):
        return {}
    sql = (
        "SELECT d.name, d.pgsize FROM sqlite_master m JOIN dbstat d ON d.name = m.name AND d.aggregate = 1"
        " WHERE m.tbl_name = 'event'"
    )
    return {name: int(size) for name, size in rows(sql, {})}


def indexes_of(rows: Rows, *, is_sqlite: bool = True) -> dict[str, int | None]:
    """Which indexes of events are there and can be used, each with its bytes; None where nobody can tell."""
    if is_sqlite:
        found = rows("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'event'", {})
    else:
        sql = (
            "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
            " WHERE i.indrelid = to_regclass('event') AND i.indisvalid"
        )
        found = rows(sql, {})
    sizes = _sizes(rows, is_sqlite)
    return {str(name): sizes.get(str(name)) for (name,) in found}
