"""A DuckDB file of all views, for other tools: tables of the frozen columns, without what must not leave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from monitord.analytics.engine import View
from monitord.analytics.parquet import read, write_table
from monitord.analytics.sandbox import literal
from monitord.analytics.tables import TABLES, Table
from monitord.errors import StorageError
from monitord.export.bundle import ASKED_BY
from monitord.export.cleaning import Cleaner, Found

_AT_ONCE = 1 << 20
_TEXTS = 200_000  # that are known to be clean at once; the minutes of a month have some thousand
_STRUCTURED = "payload"


def companion(views: Sequence[View], scratch: Path, cleaner: Cleaner | None, memory_mb: int) -> Path:
    """Write the file into `scratch`, a folder of the caller's own; `cleaner` None hides nothing.

    Raises StorageError.
    """
    import duckdb

    if cleaner is not None:
        for table, view in zip(TABLES, views, strict=True):
            _learn(table, _rows(view, table), cleaner)
    target = scratch / "companion.duckdb"
    try:
        with duckdb.connect(
            str(target), config={"memory_limit": f"{memory_mb}MB", "threads": 2}
        ) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for table, view in zip(TABLES, views, strict=True):
                path = scratch / f"{table.name}.companion.parquet"
                rows = _rows(view, table)
                write_table(table, rows if cleaner is None else _Cleaned(table, cleaner).rows(rows), path)
                source = f"read_parquet({literal(str(path))})"
                connection.execute(f"CREATE TABLE {table.name} AS SELECT * FROM {source}")
                path.unlink()
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise StorageError(f"cannot write {target}: {str(error).splitlines()[0]}") from error
    return target


def pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes, some at a time."""
    with path.open("rb") as file:
        while piece := file.read(_AT_ONCE):
            yield piece


def _rows(view: View, table: Table) -> Iterator[tuple[Any, ...]]:
    at = [name for name, _kind in table.columns].index(table.at)
    for file in view.files:
        rows: Iterator[tuple[Any, ...]] = read(Path(file), table)
        for row in rows:
            if (view.since is None or row[at] >= view.since) and (view.until is None or row[at] < view.until):
                yield row


def _learn(table: Table, rows: Iterable[tuple[Any, ...]], cleaner: Cleaner) -> None:
    """Let the cleaner see each text once; a secret that is found in one place is hidden in every other."""
    names = [name for name, kind in table.columns if kind == "text"]
    places = [index for index, (_name, kind) in enumerate(table.columns) if kind == "text"]
    seen: set[tuple[str, str]] = set()
    for row in rows:
        texts = [row[index] for index in places]
        told = zip(names, texts, strict=True)
        people = [_person(name, text) for name, text in told if text and name in ("user", "reason")]
        cleaner.learn_names(users=filter(None, people))
        fresh = {(name, text) for name, text in zip(names, texts, strict=True) if text} - seen
        hosts = tuple(text for name, text in fresh if name == "host_id" and text != "localhost")
        cleaner.learn_found(Found(hosts=hosts))
        for name, text in fresh:
            cleaner.learn({name: _opened(name, text)})
        if len(seen) > _TEXTS:
            seen.clear()
        seen |= fresh


def _person(name: str, text: str) -> str | None:
    if name == "user":
        return text
    asked = ASKED_BY.search(text)
    return asked[1] if asked else None


class _Cleaned:
    """Cleans each text of a column once."""

    def __init__(self, table: Table, cleaner: Cleaner) -> None:
        self._columns = [(i, name) for i, (name, kind) in enumerate(table.columns) if kind == "text"]
        self._cleaner = cleaner
        self._known: dict[tuple[str, str], str] = {}

    def rows(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for row in rows:
            cells = list(row)
            for index, name in self._columns:
                if cells[index]:
                    cells[index] = self._clean(name, cells[index])
            yield tuple(cells)

    def _clean(self, name: str, text: str) -> str:
        found = self._known.get((name, text))
        if found is None:
            clean = self._cleaner.clean({name: _opened(name, text)})[name]
            found = clean if isinstance(clean, str) else json.dumps(clean, separators=(",", ":"))
            if len(self._known) >= _TEXTS:
                self._known.clear()
            self._known[name, text] = found
        return found


def _opened(name: str, text: str) -> Any:
    """A payload as its values: a secret in it is known by its name."""
    if name != _STRUCTURED:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
