"""Rows of one table and day as they leave: redacted, and in one order."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from monitord.analytics.tables import Table
from monitord.export.cleaning import Cleaner

Row = tuple[object, ...]

# Our own words and ids: they say nothing about anybody, and must be the same on all hosts. The names of rules
# are a person's words.
_OWN = frozenset(
    {"host_id", "correlation_id", "metric", "threshold_unit", "status", "profiler", "event_type"}
    | {"func_id", "code", "taken_from"}
)
_JSON = "payload"
_USER = "user"


class RowCleaner:
    """Redacts the texts of rows; each different text once."""

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._known: dict[tuple[str, str], object] = {}

    def learn(self, table: Table, rows: Iterable[Row]) -> None:
        """Look through rows for secrets and users first: what one gives away is hidden in every other."""
        told = [_texts(table, row) for row in rows]
        self._cleaner.learn_names(users={user for text in told if (user := text.get(_USER))})
        self._cleaner.learn(told)

    def clean(self, table: Table, rows: Iterable[Row]) -> list[Row]:
        """Return the rows, fit to leave."""
        places = [
            (at, name) for at, (name, kind) in enumerate(table.columns) if kind == "text" and name not in _OWN
        ]
        return [self._cleaned(places, row) for row in rows]

    def _cleaned(self, places: Sequence[tuple[int, str]], row: Row) -> Row:
        cells = list(row)
        for at, name in places:
            text = cells[at]
            if isinstance(text, str):
                if (name, text) not in self._known:
                    self._known[name, text] = self._cleaned_text(name, text)
                cells[at] = self._known[name, text]
        return tuple(cells)

    def _cleaned_text(self, name: str, text: str) -> object:
        """A text fit to leave; in JSON a name may stand in other letters than its own (`\\u00eb`)."""
        if name == _JSON:
            with contextlib.suppress(ValueError, RecursionError):
                safe = self._cleaner.clean(json.loads(text))
                text = json.dumps(safe, ensure_ascii=False, separators=(",", ":"))
        return self._cleaner.clean({name: text})[name]


def _texts(table: Table, row: Row) -> Mapping[str, Any]:
    return {
        name: cell
        for (name, kind), cell in zip(table.columns, row, strict=True)
        if kind == "text" and name not in _OWN and cell is not None
    }


def days_of(table: Table, rows: Iterable[Row]) -> set[date]:
    """Return the days (UTC) that rows are of."""
    at = [name for name, _kind in table.columns].index(table.at)
    return {moment.date() for row in rows if isinstance(moment := row[at], datetime)}


def fingerprint(cells: Mapping[str, object]) -> str:
    """Return a text that is another one once a row's cells are."""
    return hashlib.sha256(repr(sorted(cells.items(), key=lambda one: one[0])).encode()).hexdigest()[:16]


def in_order(table: Table, rows: Iterable[Row]) -> list[Row]:
    """Return the rows by time and key, so that the same rows are the same file."""
    names = [name for name, _kind in table.columns]
    at, key = names.index(table.at), [names.index(name) for name in table.key]
    return sorted(rows, key=lambda row: (row[at], [str(row[place]) for place in key]))
