"""How a reader asks the database: read-only, in short statements, and past single rows that are damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from monitord.errors import DamagedRowError, NotFoundError, StorageError
from monitord.model import counted
from monitord.redaction.naming import fits_name
from monitord.storage.cells import MENDED_BY, SENSELESS, Row, lenient_text, text_of
from monitord.storage.faults import explained
from monitord.storage.folder import check_data_dir, check_database_file
from monitord.storage.readonly import open_readonly
from monitord.storage.schema import DATABASE_NAME, HEAD
from monitord.storage.soundness import readable_text

_T = TypeVar("_T")
PAGE = 200  # rows held at once where an answer may be as long as the store
OnDamage = Callable[[str], object]


def ignore_damage(_words: str) -> None:
    """For who is not to be told of rows that were left out."""


class Asking:
    """One connection, opened at the first question. `on_damage` is told of rows that were left out."""

    def __init__(self, data_dir: Path, on_damage: OnDamage = ignore_damage) -> None:
        self.data_dir = data_dir
        self.database = data_dir / DATABASE_NAME
        self._on_damage = on_damage
        self._connection: sqlite3.Connection | None = None

    def _all(self, sql: str, values: Sequence[Any]) -> list[Row]:
        return [dict(row) for row in self._fetched(sql, values)]

    def _fetched(self, sql: str, values: Any) -> list[sqlite3.Row]:
        with explained(self.database):
            connection = self._opened()
            try:
                return connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode to UTF-8" not in str(error):
                    raise
            connection.text_factory = lenient_text
            return connection.execute(sql, values).fetchall()

    def _in_pages(self, ids_sql: str, values: Sequence[Any], rows_sql: str) -> Iterator[Row]:
        """Rows in the order of their ids, a page at a time: none waits in memory, no transaction stays open.

        `rows_sql` has `{ids}` where the ids go, and gives each row's `id`.
        """
        ids = [row[0] for row in self._fetched(ids_sql, values)]
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            found = self._all(rows_sql.format(ids=", ".join("?" * len(page))), page)
            by_id = {row["id"]: row for row in found}
            yield from (by_id[each] for each in page if each in by_id)

    def _sound(self, rows: Iterable[_T], parse: Callable[[_T], Any], what: str) -> Iterator[Any]:
        """What can be understood of the rows; what is left out is counted and told at the end."""
        left_out: list[str] = []
        for row in rows:
            try:
                parsed = parse(row)
            except (DamagedRowError, *SENSELESS) as error:
                left_out.append(str(error).removesuffix(f"; {MENDED_BY}"))
                continue
            yield parsed
        if left_out:
            count = f"{counted(len(left_out), 'damaged row')} of {what}"
            self._on_damage(f"{count} left out (the first: {left_out[0]}); {MENDED_BY}")

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """A value that nobody can have written is damage that SQLite could not see."""
        try:
            yield
        except SENSELESS as error:
            raise DamagedRowError(
                f"cannot read {self.database}: invalid value ({error}); {MENDED_BY}"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            check_data_dir(self.data_dir)
            if not check_database_file(self.database):
                raise NotFoundError(
                    f"cannot find a database in {self.data_dir}; `monitord run` makes it, "
                    "and `monitord db check` rebuilds one from artefacts"
                )
            connection, revision = open_readonly(self.database)
            if revision != HEAD:
                connection.close()
                raise StorageError(
                    f"cannot read {self.database}: it has an older schema; try `monitord db upgrade`"
                )
            connection.row_factory = sqlite3.Row
            connection.create_function("matches", 3, _matches, deterministic=True)
            connection.create_function("mentions", 4, _mentions, deterministic=True)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Let go of the database; the next question opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _words(command_line: Any) -> list[str]:
    """The arguments in a cell, which may be damaged."""
    try:
        words = json.loads(command_line or "[]")
    except SENSELESS:
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def _matches(pattern: str | bytes, name: Any, command_line: Any) -> bool:
    """`fits_name` for SQL. Cells come as their bytes: one that is not UTF-8 would end the whole question."""
    return fits_name(text_of(pattern), readable_text(name), _words(command_line))


def _mentions(wanted: str | bytes, reason: Any, name: Any, command_line: Any) -> bool:
    """Whether one of the texts holds the words; letter case does not matter."""
    text = "\n".join((readable_text(reason), readable_text(name), " ".join(_words(command_line))))
    return text_of(wanted).casefold() in text.casefold()
