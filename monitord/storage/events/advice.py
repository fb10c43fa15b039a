"""Which index would serve the questions that are slow: tried out on an empty table with the same statistics.

Nothing is said of a question that no index can help.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitord.errors import MonitordError
from monitord.storage.events.slow_questions import STATE_KEY, Counted, Shape, counts_in, filter_of
from monitord.storage.events.statements import ON_REQUEST, EventIndex, QueryOptimizer, creation_of
from monitord.storage.faults import explained
from monitord.storage.readonly import open_readonly

if TYPE_CHECKING:
    from monitord.storage.queries import StoreReader

OFTEN = 10
"""An index costs room and a little of every insert: ten slow questions in a month are a habit."""
_SCHEMA = (
    "SELECT sql FROM sqlite_master WHERE tbl_name = 'event' AND type IN ('table', 'index')"
    " AND (sql LIKE 'CREATE TABLE %' OR sql LIKE 'CREATE INDEX %') ORDER BY type = 'index'"
)
_HAS_STATISTICS = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'"
_STATISTICS = "SELECT tbl, idx, stat FROM sqlite_stat1 WHERE tbl = 'event' LIMIT 100"  # one an index


@dataclass(frozen=True, slots=True)
class SlowQuestion:
    """Questions that were slow, and the index on request that serves them, or would; None: none would."""

    counted: Counted
    index: EventIndex | None
    is_there: bool = False


def slow_questions(reader: StoreReader, now: datetime) -> list[SlowQuestion]:
    """Return the questions that were slow in the last 30 days, the most frequent first."""
    counted = counts_in(_stored(reader), now)
    if not counted:
        return []
    with closing(_empty_copy(reader.database)) as planner:
        known = {row[0] for row in planner.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        for index in ON_REQUEST:
            if index.name not in known:
                planner.execute(creation_of(index))
        served = [(each, _index_for(planner, each.shape)) for each in counted]
        return [
            SlowQuestion(each, index, index is not None and index.name in known) for each, index in served
        ]


def advised(questions: Sequence[SlowQuestion]) -> dict[EventIndex, int]:
    """Return the indexes that questions which are slow often lack, each with how many it would serve."""
    times: dict[EventIndex, int] = {}
    for each in questions:
        if each.index is not None and not each.is_there:
            times[each.index] = times.get(each.index, 0) + each.counted.times
    return {index: number for index, number in times.items() if number >= OFTEN}


def _stored(reader: StoreReader) -> object:
    try:
        return reader.state(STATE_KEY)
    except (MonitordError, ValueError, RecursionError):
        return None  # damaged: `db check` says so


def _empty_copy(database: Path) -> sqlite3.Connection:
    """The table of events with its indexes and statistics, without its rows, in memory."""
    source, _revision = open_readonly(database)
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with closing(source), explained(database):
        for (sql,) in source.execute(_SCHEMA):
            copy.execute(sql)
        if source.execute(_HAS_STATISTICS).fetchone():
            copy.execute("ANALYZE")
            copy.executemany("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", source.execute(_STATISTICS))
            copy.execute("ANALYZE sqlite_schema")  # reads them
    return copy


def _index_for(planner: sqlite3.Connection, shape: Shape) -> EventIndex | None:
    """The index on request that the planner takes, where all of them are."""
    wanted = filter_of(shape)
    if wanted is None:
        return None
    sql, values = QueryOptimizer(has_arity_index=True).select(wanted)
    plan = [str(row[-1]) for row in planner.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    return next((index for index in ON_REQUEST if any(f" {index.name} " in line for line in plan)), None)
