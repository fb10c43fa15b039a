"""How a reader asks the database: read-only, in short statements, and past single rows that are damaged.

And in which words: a filter of incidents as conditions, and what SQLite is taught to find names by.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from monitord.errors import DamagedRowError, NotFoundError, StorageError
from monitord.model import Event, counted
from monitord.redaction.naming import fits_name
from monitord.storage.cells import MENDED_BY, SENSELESS, Row, lenient_text, text_cell, text_of, time_cell
from monitord.storage.events.filters import EventFilter, parse_id
from monitord.storage.events.identity import id_at
from monitord.storage.events.rows import COLUMNS, clipped, event_of, type_of_code
from monitord.storage.events.rows import text_cell as event_text
from monitord.storage.events.statements import EACH_NAME, QueryOptimizer, among, has_arity_index, of_names
from monitord.storage.faults import explained
from monitord.storage.folder import check_data_dir, check_database_file
from monitord.storage.readonly import open_readonly
from monitord.storage.schema import DATABASE_NAME, HEAD
from monitord.storage.soundness import check_row, readable_text
from monitord.storage.views import AlikeKeys, RecentFilter

if TYPE_CHECKING:
    from monitord.storage.events.stats import EventStats

_T = TypeVar("_T")
PAGE = 200  # rows held at once where an answer may be as long as the store
OnDamage = Callable[[str], object]
Values = Sequence[Any] | Mapping[str, Any]
CAUSE = "CASE WHEN json_valid(CAST(i.cause AS TEXT)) THEN json_extract(CAST(i.cause AS TEXT), '$.kind') END"
"""The class of an incident's cause."""

_BASELINE = "i.rule = 'baseline' AND i.trigger_metric = 'manual'"
SHOWN = f"i.state = 'active' AND NOT ({_BASELINE})"
# What `show` says that it runs in.
_UNIT = "CAST(coalesce(nullif(i.unit, ''), nullif(i.container_id, ''), i.cgroup) AS BLOB)"
_ASKED = {
    "since": "i.raised_at >= :of_since",
    "until": "i.raised_at < :of_until",
    "pid": ":of_pid IN (c.pid, i.pid)",  # the profiled descendant, or the process that was blamed
    "metric": "c.trigger_metric = :of_metric",
    "status": "c.status = :of_status",
    "rule": "i.rule = :of_rule",
    "user": "i.user = :of_user",
    "unit": f"fits(:of_unit, {_UNIT})",
    "cause": f"{CAUSE} = :of_cause",
    "pinned": "i.pinned = :of_pinned",
    "after_id": "c.id > :of_after_id",
    "process": "matches(:of_process, CAST(c.process_name AS BLOB), CAST(c.command_line AS BLOB))",
    "text": "mentions(:of_text, CAST(i.reason AS BLOB), CAST(c.process_name AS BLOB),"
    " CAST(c.command_line AS BLOB))",
    "function": "is_hot(:of_function, CAST(i.hotspots AS BLOB))",  # the dearest comes last
}
_HOT_SHARE = 0.05
# A question is slow when SQLite took so many steps besides some for each row of the answer: those of 25,000
# rows looked at for nothing, which take 10 ms or more, where an index gives the answer within two.
SLOW_STEPS = 100_000
_ROW_STEPS = 50
_LOOK_STEPS = 10_000
_RECOGNISED = f"i.correlation_id, i.raised_at, i.process_name, i.trigger_metric, i.hotspots, {CAUSE} AS cause"
_IN_TIME = "i.raised_at >= :since AND i.raised_at <= :until"
# How many there are, up to a limit, the index of times alone knows: their rows are long.
_HOW_MANY = f"(SELECT count(*) FROM (SELECT 1 FROM incident i WHERE {_IN_TIME} LIMIT :limit))"  # noqa: S608  our words
_RECOGNISABLE = (
    f"WITH stored(number) AS {_HOW_MANY}"  # noqa: S608  our words
    f" SELECT {_RECOGNISED}, (SELECT number FROM stored) AS number FROM incident i"
    f" WHERE {SHOWN} AND {_IN_TIME} ORDER BY i.raised_at DESC"
    " LIMIT (SELECT CASE WHEN number < :limit THEN -1 ELSE :latest END FROM stored)"
)
_RECOGNISABLE_NAMED = (
    f"SELECT {_RECOGNISED} FROM incident i WHERE {SHOWN} AND i.correlation_id IN {among('names')}"  # noqa: S608  our words
)
_HOT_KEYS = {"functions": "function", "statements": "ast_node_id"}
# How many events of each name there are, up to a limit, which the index alone knows; then whose they are.
_EVENTS_OF_EACH = (
    "SELECT value, (SELECT count(*) FROM (SELECT 1 FROM event WHERE {0} = value AND id >= :since"
    " LIMIT :limit)) AS number FROM json_each(:names)"
)
_INCIDENTS_OF = (
    f"SELECT DISTINCT correlation_id FROM event WHERE {{0}} IN {among('names')}"  # noqa: S608  our words
    " AND id >= :since"
)
# By the bytes of a name: one that is not text lies as bytes, which JSON can't hold.
_INCIDENTS_OF_CAUSES = (
    f"SELECT i.correlation_id FROM incident i WHERE {_IN_TIME} AND {SHOWN}"  # noqa: S608  our words
    f" AND hex(i.process_name) IN {among('processes')} AND {CAUSE} IN {among('causes')} LIMIT :limit"
)
_EVIDENCE_BEFORE = timedelta(hours=1)  # that an event of an incident is older than its alert, at most


def ignore_damage(_words: str) -> None:
    """For who is not to be told of rows that were left out."""


class Asking:
    """One connection, opened at the first question. `on_damage` is told of rows that were left out."""

    def __init__(self, data_dir: Path, on_damage: OnDamage = ignore_damage) -> None:
        self.data_dir = data_dir
        self.database = data_dir / DATABASE_NAME
        self._on_damage = on_damage
        self._connection: sqlite3.Connection | None = None
        self._slow: set[tuple[str, ...]] = set()  # questions to be counted, by their shape

    def _all(self, sql: str, values: Values) -> list[Row]:
        return [dict(row) for row in self._fetched(sql, values)]

    def _fetched(self, sql: str, values: Values) -> list[sqlite3.Row]:
        with explained(self.database):
            connection = self._opened()
            try:
                return connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if "decode to UTF-8" not in str(error):
                    raise
            connection.text_factory = lenient_text
            return connection.execute(sql, values).fetchall()

    def _in_pages(self, ids_sql: str, values: Values, rows_sql: str) -> Iterator[Row]:
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
            check_data_dir(self.data_dir, reads=True)
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
            _add_functions(connection)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Let go of the database; the next question opens it again."""
        if self._connection is None:
            return
        if self._slow:
            from monitord.storage.events.slow_questions import count_slow

            count_slow(self.database, self._slow)  # before this closes: the last to close folds the WAL back
            self._slow = set()
        self._connection.close()
        self._connection = None


class EventQuestions(Asking):
    """What a reader of a store is asked about its events."""

    is_sqlite = True

    def events(
        self, wanted: EventFilter, also: Sequence[str] = (), values: Mapping[str, Any] | None = None
    ) -> list[Event]:
        """Return the events under a filter, in its order; `also` are further conditions with their values."""
        optimizer = QueryOptimizer(has_arity_index=has_arity_index(self._fetched, wanted))
        sql, filtered = optimizer.select(wanted, also)
        rows, steps = self._fetched_with_steps(sql, {**filtered, **(values or {})})
        if steps > SLOW_STEPS + _ROW_STEPS * len(rows):
            from monitord.storage.events.slow_questions import shape_of

            self._slow.add(shape_of(wanted, values or {}))
        return list(self._sound(rows, sound_event, "events"))

    def _fetched_with_steps(self, sql: str, values: Values) -> tuple[list[sqlite3.Row], int]:
        """The rows, and how many steps SQLite took for them, in ten thousands."""
        looks = 0

        def look() -> int:
            nonlocal looks
            looks += 1
            return 0

        with explained(self.database):
            connection = self._opened()
        connection.set_progress_handler(look, _LOOK_STEPS)
        try:
            return self._fetched(sql, values), looks * _LOOK_STEPS
        finally:
            connection.set_progress_handler(None, 0)

    def event(self, event_id: int | str) -> Event:
        """Return one event; raises NotFoundError, UsageError for an invalid id, DamagedRowError."""
        number = parse_id(event_id)
        rows = self._fetched(f"SELECT {', '.join(COLUMNS)} FROM event WHERE id = :id", {"id": number})  # noqa: S608
        if not rows:
            raise NotFoundError(f"cannot find event {number}; `monitord events -o json` lists their ids")
        with self._understood():
            return sound_event(rows[0])

    def event_counts(self, since: datetime, until: datetime) -> dict[str, int]:
        """How many events of each type there are in [since, until); types without any are left out."""
        sql = "SELECT event_type, count(*) FROM event WHERE id >= ? AND id < ? GROUP BY event_type"
        rows = self._fetched(sql, [id_at(since), id_at(until)])
        return dict(self._sound(rows, lambda row: (str(type_of_code(row[0])), row[1]), "types of events"))

    def event_names(self) -> list[str]:
        """The cells of all names of processes that events other than samples have, each once."""
        return [str(row[0]) for row in self._fetched(EACH_NAME, [])]

    def incidents_of_names(self, cells: Sequence[str]) -> frozenset[str]:
        """The incidents that have an event of one of these names."""
        rows = self._fetched(of_names(), {"cells": json.dumps(list(cells))}) if cells else []
        return frozenset(str(row[0]) for row in rows)

    def event_stats(self) -> EventStats:
        """How many events there are, of which types and times, and what table and indexes take."""
        from monitord.storage.events.stats import stats_of

        return stats_of(self._fetched)

    def event_indexes(self) -> dict[str, int | None]:
        """Return the indexes of events that are there, each with its bytes; None where SQLite can't tell."""
        from monitord.storage.events.stats import indexes_of

        return indexes_of(self._fetched)


class AlikeQuestions(EventQuestions):
    """What a reader of a store is asked about incidents that may be alike."""

    def recognisable(
        self, since: datetime, until: datetime, limit: int, latest: int
    ) -> tuple[list[Row], bool]:
        """Return the cells that tell incidents raised in [since, until], and whether these are all of them.

        Where so many as the limit are stored only the latest are returned.
        """
        found = self._all(_RECOGNISABLE, {**_span(since, until, limit), "latest": latest})
        return found, not found or found[0]["number"] < limit

    def recognisable_named(self, correlation_ids: Sequence[str]) -> list[Row]:
        """Return the same cells of these incidents."""
        if not correlation_ids:
            return []
        return self._all(_RECOGNISABLE_NAMED, {"names": json.dumps(list(correlation_ids))})

    def recognisable_alike(
        self, keys: AlikeKeys, since: datetime, until: datetime, limit: int
    ) -> tuple[list[Row], AlikeKeys]:
        """Return the same cells of the incidents that may be alike by these keys; and those keys that were
        left out, the most frequent, because more events than the limit have them.
        """
        left = limit
        ids: set[str] = set()
        common: dict[str, Collection[str]] = {"functions": set(), "statements": set()}
        begin = {"since": id_at(since - _EVIDENCE_BEFORE)}
        for kind, column in _HOT_KEYS.items():
            names = {event_text(kind, clipped(each)): each for each in getattr(keys, kind)}
            asked = {**begin, "names": json.dumps(list(names)), "limit": limit + 1}
            rare = []
            counts = self._all(_EVENTS_OF_EACH.format(column), asked)
            for row in sorted(counts, key=lambda row: int(row["number"])):
                if row["number"] <= left:
                    left -= row["number"]
                    rare.append(row["value"])
            common[kind] = {name for cell, name in names.items() if cell not in rare}
            found = self._all(_INCIDENTS_OF.format(column), {**begin, "names": json.dumps(rare)})
            ids |= {str(row["correlation_id"]) for row in found}
        of_causes = self._of_causes(keys, since, until, limit + 1)
        ids |= of_causes if len(of_causes) <= limit else set()
        causes = keys.causes if len(of_causes) > limit else ()
        left_out = AlikeKeys(**common, causes=causes, processes=keys.processes)
        return self.recognisable_named(sorted(ids)), left_out

    def _of_causes(self, keys: AlikeKeys, since: datetime, until: datetime, limit: int) -> set[str]:
        if not keys.causes:
            return set()
        processes = [_hex(text_cell(name) or "") for name in keys.processes]
        lists = {"processes": processes, "causes": list(keys.causes)}
        values = {name: json.dumps(each) for name, each in lists.items()}
        found = self._all(_INCIDENTS_OF_CAUSES, {**_span(since, until, limit), **values})
        return {str(row["correlation_id"]) for row in found}


def _hex(cell: str | bytes) -> str:
    """What SQLite's hex() makes of a cell."""
    return (cell.encode() if isinstance(cell, str) else cell).hex().upper()


def _span(since: datetime, until: datetime, limit: int) -> dict[str, object]:
    return {"since": time_cell(since), "until": time_cell(until), "limit": limit}


def sound_event(row: Sequence[Any]) -> Event:
    """Read the event in a row of COLUMNS, checked; raises for what nobody can have stored."""
    check_row("event", dict(zip(COLUMNS, row, strict=True)))
    return event_of(row)


def incident_conditions(wanted: RecentFilter) -> tuple[str, dict[str, object]]:
    """Return what `incident i` and its leading `profile_capture c` must fulfil; values are named `of_…`."""
    asked = {
        **{name: getattr(wanted, name) for name in ("pid", "after_id")},
        **{name: text_cell(getattr(wanted, name)) for name in ("status", "rule", "user", "unit", "cause")},
        **{name: text_cell(getattr(wanted, name)) for name in ("process", "text", "function")},
        "since": time_cell(wanted.since) if wanted.since else None,
        "until": time_cell(wanted.until) if wanted.until else None,
        "metric": wanted.metric.value if wanted.metric else None,
        "pinned": None if wanted.pinned is None else int(wanted.pinned),
    }
    values = {f"of_{name}": value for name, value in asked.items() if value is not None}
    kind = _BASELINE if wanted.baselines else f"NOT ({_BASELINE})"
    chosen = [sql for name, sql in _ASKED.items() if f"of_{name}" in values]
    return " AND ".join(["c.is_leading = 1", "i.state = 'active'", kind, *chosen]), values


def _add_functions(connection: sqlite3.Connection) -> None:
    """Names as people ask for them. Cells come as bytes: one that is not UTF-8 would end the question."""
    connection.create_function("matches", 3, _matches, deterministic=True)
    connection.create_function("mentions", 4, _mentions, deterministic=True)
    connection.create_function("fits", 2, _fits, deterministic=True)
    connection.create_function("is_hot", 2, _is_hot, deterministic=True)


def _words(command_line: Any) -> list[str]:
    """The arguments in a cell, which may be damaged."""
    try:
        words = json.loads(command_line or "[]")
    except SENSELESS:
        return []
    return [str(word) for word in words] if isinstance(words, list) else []


def _matches(pattern: str | bytes, name: Any, command_line: Any) -> bool:
    """Whether a process is called so: `fits_name`."""
    return fits_name(text_of(pattern), readable_text(name), _words(command_line))


def _mentions(wanted: str | bytes, reason: Any, name: Any, command_line: Any) -> bool:
    """Whether one of the texts holds the words; letter case does not matter."""
    text = "\n".join((readable_text(reason), readable_text(name), " ".join(_words(command_line))))
    return text_of(wanted).casefold() in text.casefold()


def _fits(pattern: str | bytes, name: Any) -> bool:
    """Whether it is a part of the name, or a shell pattern for all of it."""
    return name is not None and fits_name(text_of(pattern), readable_text(name))


def _is_hot(pattern: str | bytes, hotspots: Any) -> bool:
    """Whether a function of this name is the first of them, or has at least 5 % of the time."""
    try:
        spots = json.loads(hotspots or "[]")
        names = [
            spot["function"] for at, spot in enumerate(spots) if at == 0 or spot["self_share"] >= _HOT_SHARE
        ]
    except SENSELESS:
        return False
    return any(isinstance(name, str) and fits_name(text_of(pattern), name) for name in names)
