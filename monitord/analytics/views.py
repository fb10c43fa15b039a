"""The views of one machine's questions: what its store has now, and what left it before."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.analytics.engine import View
from monitord.analytics.rows import VersionOf
from monitord.analytics.tables import TABLES, Table
from monitord.analytics.tiers import files_of, first_day
from monitord.storage.asking import OnDamage, ignore_damage

if TYPE_CHECKING:
    from monitord.storage.past import PastReader


@dataclass(frozen=True, slots=True)
class Period:
    """Which rows: their time is in [since, until); None sets no end."""

    since: datetime | None = None
    until: datetime | None = None


@contextmanager
def stored_views(
    reader: PastReader,
    sql: str,
    period: Period,
    version_of: VersionOf,
    *,
    cold_url: str = "",
    on_damage: OnDamage = ignore_damage,
    on_too_much: Callable[[str], object] | None = None,
) -> Iterator[tuple[View, ...]]:
    """Yield a view of each table over all tiers, each row once; only those that the SQL names are read.

    What no tier has as it is lies, for the block, in a folder of this user alone. Where the bucket has more
    than one question may bring the oldest days are left out, as `on_too_much` hears; without it that is an
    error.
    """
    if on_too_much is not None and cold_url:
        asked = [table for table in TABLES if is_named(table, sql)]
        first = first_day(reader.data_dir, asked, cold_url, period.since, period.until)
        if first is not None:
            on_too_much(f"left out days before {first}: the bucket has more than one question may bring")
            period = replace(period, since=datetime.combine(first, time(), UTC))
    with tempfile.TemporaryDirectory(prefix="monitord-query-") as folder:
        files = partial(
            files_of, reader, Path(folder),
            since=period.since, until=period.until, cold_url=cold_url, on_damage=on_damage,
            version_of=version_of,
        )  # fmt: skip
        yield tuple(
            View.of(
                table,
                [str(path) for path in files(table)] if is_named(table, sql) else (),
                period.since,
                period.until,
            )
            for table in TABLES
        )


def is_named(table: Table, sql: str) -> bool:
    """Whether SQL may ask for a table: it has its name somewhere, or asks in a way that hides names."""
    return table.name in sql.lower() or re.search(r"\bquery(_table)?\b", sql.lower()) is not None
