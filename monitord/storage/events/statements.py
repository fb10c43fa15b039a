"""QueryOptimizer: a question as one statement that the database's planner can serve from an index.

The planner chooses the index by its statistics. Rewritten is only what it can't know: that a type other
than `sample` is above 0, that what has an arity has a function (both indexes are partial), that a module
tells more than a type, and an arity less than all else but a type. An arity alone has an index on request
only, and samples by a process name have none that fits (40 ms at a million).
`tests/storage/events/test_plans.py` pins the choice for every combination.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.model import EventType
from monitord.storage.events.filters import EventFilter, id_of_cursor, type_of
from monitord.storage.events.identity import id_at
from monitord.storage.events.rows import CODES, COLUMNS, text_cell

_EQUAL = ("pid", "arity")
_TEXTS = ("correlation_id", "ast_node_id", "module", "function", "process_name")
_TELLING = ("pid", "correlation_id", "ast_node_id", "module", "function")


@dataclass(frozen=True, slots=True)
class EventIndex:
    """An index of the table `event`: its columns, and which rows it holds (a condition in SQL)."""

    name: str
    columns: tuple[str, ...]
    where: str

    @property
    def short_name(self) -> str:
        """What people call it."""
        return self.name.removeprefix("idx_event_")


# An event's id is its time (see `identity`), so every index has the rows of one value in the order of time
# without holding the time: SQLite puts the row's id at the end of each entry.
BUILT_IN = (
    EventIndex("idx_event_process", ("pid",), "pid IS NOT NULL"),
    EventIndex("idx_event_type", ("event_type",), "event_type > 0"),  # not the samples: most of all events
    EventIndex("idx_event_pid_type", ("pid", "event_type"), "event_type > 0"),  # few beside its samples
    # Samples would cost 22 bytes each.
    EventIndex("idx_event_name", ("process_name",), "event_type > 0 AND process_name IS NOT NULL"),
    EventIndex("idx_event_function", ("function",), "function IS NOT NULL"),
    EventIndex("idx_event_module", ("module", "function", "arity"), "module IS NOT NULL"),
    EventIndex("idx_event_correlation", ("correlation_id",), "correlation_id IS NOT NULL"),
    EventIndex("idx_event_node", ("ast_node_id",), "ast_node_id IS NOT NULL"),
)
ARITY = EventIndex("idx_event_arity", ("arity",), "arity IS NOT NULL")
ON_REQUEST = (ARITY,)
"""Those that a person makes and drops (`monitord events index`); no others are made by name."""

Ask = Callable[[str, Mapping[str, Any]], Sequence[Any]]


def creation_of(index: EventIndex, table: str = "event", how: str = "INDEX") -> str:
    """Return the statement that makes an index."""
    return f"CREATE {how} {index.name} ON {table}({', '.join(index.columns)}) WHERE {index.where}"


def has_arity_index(ask: Ask, wanted: EventFilter) -> bool:
    """Whether SQLite has it, where a question may go by it."""
    if wanted.arity is None or wanted.event_type is None:
        return False
    return bool(ask("SELECT 1 FROM sqlite_master WHERE name = :name", {"name": ARITY.name}))


# From one name to the next in the index: as many steps as there are names, however many events.
_NAMED = "FROM event WHERE event_type > 0 AND process_name"
EACH_NAME = (
    f"WITH RECURSIVE each_name(cell) AS (SELECT min(process_name) {_NAMED} IS NOT NULL UNION ALL "  # noqa: S608  our words
    f"SELECT (SELECT min(process_name) {_NAMED} > cell) FROM each_name WHERE cell IS NOT NULL) "
    "SELECT cell FROM each_name WHERE cell IS NOT NULL"
)
BEGINNING = (
    "SELECT DISTINCT correlation_id FROM event WHERE correlation_id IS NOT NULL"
    " AND substr(correlation_id, 1, :length) = :beginning LIMIT :limit"
)


def among(name: str, *, is_sqlite: bool = True) -> str:
    """Return the values of a list that is one parameter, as JSON: what stands behind IN."""
    if is_sqlite:
        return f"(SELECT value FROM json_each(:{name}))"  # noqa: S608  our words
    return f"(SELECT json_array_elements_text(CAST(:{name} AS json)))"


def of_names(*, is_sqlite: bool = True) -> str:
    """Return the question which incidents have an event of one of the names `:cells`, samples left out."""
    names = among("cells", is_sqlite=is_sqlite)
    return f"SELECT DISTINCT correlation_id {_NAMED} IN {names} AND correlation_id IS NOT NULL"


class QueryOptimizer:
    """Statements with named parameters (`:name`), the same for SQLite and PostgreSQL.

    `has_arity_index` says whether the index on request is there, which the statement can't see.
    """

    def __init__(self, *, has_arity_index: bool = False) -> None:
        self._has_arity_index = has_arity_index

    def select(self, wanted: EventFilter, also: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
        """Return the SELECT of the events under a filter, in its order, and its values.

        `also` are further conditions, whose values the caller knows.
        """
        conditions, values = self._conditions(wanted)
        conditions += also
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {', '.join(COLUMNS)} FROM event{where} ORDER BY id {wanted.order.upper()}"  # noqa: S608  fixed words only
        if wanted.limit is not None:
            sql, values["limit"] = f"{sql} LIMIT :limit", wanted.limit
        return sql, values

    def _conditions(self, wanted: EventFilter) -> tuple[list[str], dict[str, Any]]:
        values: dict[str, Any] = {name: getattr(wanted, name) for name in _EQUAL}
        values |= {name: text_cell(name, getattr(wanted, name)) for name in _TEXTS}
        values = {name: value for name, value in values.items() if value is not None}
        tells_more = any(getattr(wanted, name) is not None for name in _TELLING)
        is_whole = wanted.module is not None and wanted.function is not None  # the index ends with arity
        unindexed = "arity" if tells_more and not is_whole else None
        conditions = [f"{'+' if name == unindexed else ''}{name} = :{name}" for name in values]
        if wanted.event_type is not None:
            event_type = type_of(wanted.event_type)
            values["event_type"] = CODES[event_type]
            goes_by_arity = wanted.arity is not None and self._has_arity_index and not tells_more
            if wanted.module is not None or goes_by_arity:
                conditions.append("+event_type = :event_type")  # not by its index: 5 ms instead of 1
            elif event_type is not EventType.SAMPLE:
                conditions += ["event_type = :event_type", "event_type > 0"]
            else:
                conditions.append("event_type = :event_type")
        if wanted.arity is not None:
            conditions.append("function IS NOT NULL")
        for name, operator in (("since", ">="), ("until", "<")):
            moment = getattr(wanted, name)
            if moment is not None:
                conditions.append(f"id {operator} :{name}")
                values[name] = id_at(moment, name)
        if wanted.after is not None:
            conditions.append("id > :after" if wanted.order == "asc" else "id < :after")
            values["after"] = id_of_cursor(wanted.after, wanted.order)
        return conditions, values
