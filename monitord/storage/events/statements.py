"""QueryOptimizer: a question as one statement that the database's planner can serve from an index.

The planner chooses the index by its statistics. Rewritten is only what it can't know: that a type other
than `sample` is above 0, that what has an arity has a function (both indexes are partial), and that a module
tells more than a type. An arity alone, and samples by a process name, have no
index that fits (6 and 40 ms at a million).
`tests/storage/events/test_plans.py` pins the choice for every combination.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitord.model import EventType
from monitord.storage.events.filters import EventFilter, id_of_cursor, type_of
from monitord.storage.events.identity import id_at
from monitord.storage.events.rows import CODES, COLUMNS, text_cell

_EQUAL = ("pid", "arity")
_TEXTS = ("correlation_id", "ast_node_id", "module", "function", "process_name")


class QueryOptimizer:
    """Statements with named parameters (`:name`), the same for SQLite and PostgreSQL."""

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
        conditions = [f"{name} = :{name}" for name in values]
        if wanted.event_type is not None:
            event_type = type_of(wanted.event_type)
            values["event_type"] = CODES[event_type]
            if wanted.module is not None:
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
