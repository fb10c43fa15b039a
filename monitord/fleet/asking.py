"""Questions to a fleet: SQL over the files that its hosts shipped, answered by DuckDB in a child."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from monitord.analytics.engine import Answer, Engine, Started, View, need_extra, open_engine
from monitord.analytics.tables import TABLES
from monitord.errors import MonitordError, UsageError
from monitord.fleet.bucket import Bucket, Scope
from monitord.fleet.questions import RULES, Question

MEMORY_MB = 192
DEADLINE_S = 60.0
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_NAMED = 3
_RULES_AT_MOST = 1000
_NARROWER = "a later --since, or fewer hosts with --host"


@dataclass(frozen=True, slots=True)
class Found:
    """An answer's rows by column, and what has to be said of it: files that were passed over.

    `rules`: those that raised something then, on those hosts, where nothing was found of the rule asked for.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    notes: tuple[str, ...]
    rules: tuple[str, ...] = ()


def ask(bucket: Bucket, question: Question, scope: Scope, **values: Any) -> Found:
    """Answer one of our questions; `values` are the parameters that scope does not give.

    A file that is damaged inside makes DuckDB stop: then all are read to their ends, and it is asked again.
    """
    bounded = bound(scope)
    given = {**_bounds(bounded), **values}
    unknown = given.keys() ^ question.parameters
    if unknown - {"since", "until", "host"}:
        raise ValueError(f"invalid parameters of {question.name}: {', '.join(sorted(unknown))}")
    with _engines(bucket, question.tables, bounded, is_ours=True) as engine_of:
        try:
            found = _answered(engine_of(is_thorough=False), question, given)
        except MonitordError:
            found = _answered(engine_of(is_thorough=True), question, given)
    if scope.until:
        return found
    return replace(found, notes=(*found.notes, *_ahead(bucket, question.tables, bounded)))


def _answered(engine: Engine, question: Question, given: Mapping[str, Any]) -> Found:
    found = _read(engine.ask(question.sql, {name: given[name] for name in question.parameters}))
    if found.rows or not given.get("rule"):
        return found
    of_rules = {**given, "limit": _RULES_AT_MOST}
    others = _read(engine.ask(RULES.sql, {name: of_rules[name] for name in RULES.parameters}))
    return replace(found, rules=tuple(row["rule"] for row in others.rows))


@contextmanager
def asking(bucket: Bucket, sql: str, scope: Scope, **limits: Any) -> Iterator[Answer]:
    """Answer somebody's SELECT over the tables that it names; `limits` are those of `open_engine`."""
    lowered = sql.lower()
    named = tuple(table.name for table in TABLES if table.name in lowered)
    if not named:
        known = ", ".join(table.name for table in TABLES)
        raise UsageError(f"invalid SQL: it names no table, expected one of {known}")
    bounded = bound(scope)
    with _engines(bucket, named, bounded, **limits) as engine_of:
        answer = engine_of(is_thorough=False).ask(sql)
        answer.notes += () if scope.until else _ahead(bucket, named, bounded)
        yield answer


@contextmanager
def _engines(
    bucket: Bucket, tables: Sequence[str], scope: Scope, *, is_ours: bool = False, **limits: Any
) -> Iterator[Any]:
    """Yield what opens an engine over the files of these tables; a question of ours takes sums of days."""
    need_extra("ask a fleet")
    limits = {"memory_mb": MEMORY_MB, "deadline_s": DEADLINE_S, "narrower": _NARROWER, **limits}
    with ExitStack() as stack:
        started = stack.enter_context(Started())
        shipped = {table: bucket.shipped(table, scope) for table in TABLES if table.name in tables}
        days = {one.day for found in shipped.values() for one in found}
        whole_days = sorted(str(day) for day in days if _is_whole(day, scope)) if is_ours else None
        files = {table: stack.enter_context(bucket.brought(found)) for table, found in shipped.items()}

        def engine_of(*, is_thorough: bool) -> Engine:
            views = [
                View.of_hosts(table, files.get(table, ()), is_thorough=is_thorough, whole_days=whole_days)
                for table in TABLES
            ]
            return stack.enter_context(open_engine(views, started=started, **limits))

        yield engine_of


def _is_whole(day: date, scope: Scope) -> bool:
    """Whether all hours of a day are asked for."""
    begins = datetime.combine(day, time(), UTC)
    ends = begins + timedelta(hours=23)  # when its last hour begins
    return (scope.since is None or scope.since <= begins) and (scope.until is None or ends < scope.until)


def _read(answer: Answer) -> Found:
    names = tuple(column.name for column in answer.columns)
    rows = [dict(zip(names, row, strict=True)) for row in answer.rows]
    return Found(names, rows, tuple(answer.notes))


def bound(scope: Scope) -> Scope:
    """Return the scope with both ends: what is asked without `until` ends with tomorrow.

    What lies beyond is of a clock that was ahead: it would stand before all that is true.
    """
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return replace(
        scope,
        since=scope.since or _ALWAYS,
        until=scope.until or datetime.combine(tomorrow, time.max, UTC),
    )


def _ahead(bucket: Bucket, tables: Sequence[str], scope: Scope) -> Iterator[str]:
    """Say which hosts shipped days beyond the scope's end, and what shows them."""
    hosts: set[str] = set()
    latest = scope.until
    for table in TABLES:
        if table.name in tables:
            last, found = bucket.beyond(table, scope)
            hosts |= found
            latest = max(filter(None, (latest, last)), default=None)
    if hosts and latest is not None:
        more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
        named = f"{', '.join(sorted(hosts)[:_NAMED])}{more}"
        until = latest.date() + timedelta(days=1)
        yield f"left out days beyond tomorrow of {named}: a clock was ahead; --until {until} shows them"


def _bounds(scope: Scope) -> Mapping[str, Any]:
    return {
        "since": scope.since.isoformat() if scope.since else "",
        "until": scope.until.isoformat() if scope.until else "",
        "host": pattern(scope.host, is_whole=True),
    }


def pattern(text: str | None, *, is_whole: bool = False) -> str:
    """Return a part of a name, or a shell pattern of `*` and `?`, as LIKE has it (escape `!`); "" for any."""
    if not text:
        return ""
    plain = _escaped(text)
    shaped = plain.replace("*", "%").replace("?", "_")
    return shaped if is_whole or shaped != plain else f"%{shaped}%"


def part(text: str | None) -> str:
    """Return a part of a text as LIKE has it; "" for any."""
    return f"%{_escaped(text)}%" if text else ""


def _escaped(text: str) -> str:
    for letter in "!%_":
        text = text.replace(letter, f"!{letter}")
    return text.lower()
