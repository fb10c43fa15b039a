"""The views of one machine's questions: what its store has now, and what left it before."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.analytics.engine import View
from monitord.analytics.parquet import write_table
from monitord.analytics.rows import VersionOf, rows_of
from monitord.analytics.tables import TABLES, Table

if TYPE_CHECKING:
    from monitord.storage.past import PastReader


@dataclass(frozen=True, slots=True)
class Period:
    """Which rows: their time is in [since, until); None sets no end."""

    since: datetime | None = None
    until: datetime | None = None


@contextmanager
def stored_views(
    reader: PastReader, sql: str, period: Period, host_id: str, version_of: VersionOf
) -> Iterator[tuple[View, ...]]:
    """Yield a view of each table; only those that the SQL names have been read from the store.

    For the block they lie, as Parquet, in a folder of this user alone.
    """
    with tempfile.TemporaryDirectory(prefix="monitord-query-") as folder:
        yield tuple(
            View.of(
                table,
                _hot(reader, table, period, host_id, version_of, Path(folder))
                if is_named(table, sql)
                else (),
                period.since,
                period.until,
            )
            for table in TABLES
        )


def is_named(table: Table, sql: str) -> bool:
    """Whether SQL may ask for a table: it has its name somewhere, or asks in a way that hides names."""
    return table.name in sql.lower() or re.search(r"\bquery(_table)?\b", sql.lower()) is not None


def _hot(
    reader: PastReader, table: Table, period: Period, host_id: str, version_of: VersionOf, folder: Path
) -> list[str]:
    path = folder / f"{table.name}.parquet"
    count = write_table(table, rows_of(reader, table, period.since, period.until, host_id, version_of), path)
    return [str(path)] if count else []
