"""`query`: SQL over all that was kept, and questions with a name. `deployed`: versions of programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain, islice
from textwrap import indent
from typing import Annotated, Any

import typer

from monitord.actions import querying
from monitord.actions.preferences import preferences
from monitord.actions.times import parse_duration, parse_period, parse_time
from monitord.cli.context import CliContext, JsonFlag, wants_json
from monitord.cli.listing import NoPagerFlag, SinceFlag, UntilFlag, UtcFlag
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import cut, display_width, emit, emit_bytes, page, say, width, wrap
from monitord.cli.when import full_stamp, local_stamp
from monitord.errors import UsageError
from monitord.export.encoding import csv_rows, iso, json_text
from monitord.redaction import printable

_GROUP_ROWS = 1000
_TABLE_CHARACTERS = 16 << 20
_LEAST_WIDE = 6  # of a name that still tells something
_NARROWEST = 8  # of a column that does


class QueryOutput(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def query(
    context: CliContext,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="SQL", help="A SELECT in quotes; or a template's name and its values."),
    ] = None,
    lists: Annotated[
        bool, typer.Option("--list", help="List the templates, the views and their columns.")
    ] = False,
    since: SinceFlag = None,
    until: UntilFlag = None,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, max=10_000_000, help="At most N rows.")
    ] = querying.MAX_ROWS,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help='How long it may take: "30s", "5min".')
    ] = "60s",
    memory: Annotated[
        int, typer.Option("--memory", metavar="MB", min=16, max=1_000_000, help="How much memory, in MB.")
    ] = 512,
    output: Annotated[
        QueryOutput | None,
        typer.Option("-o", "--output", help="A format, or a file whose ending names it."),
    ] = None,
    json: JsonFlag = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """Ask in SQL over incidents, events, hotspots and minutes of all that was kept."""
    form = QueryOutput.JSON if wants_json(output, json) else output or QueryOutput.TABLE
    if lists:
        _list(context, form)
        return
    if not words:
        raise UsageError("invalid call: expected SQL in quotes or a template's name; see --list")
    if form is QueryOutput.PARQUET and sys.stdout.isatty():
        raise UsageError("invalid -o parquet at a terminal, expected a file: -o answer.parquet")
    start, end = parse_period(since, until, datetime.now(UTC))
    question = querying.Question(
        words[0], words[1:], start, end, limit, memory, parse_duration(timeout).total_seconds()
    )
    with querying.asked(context.workspace, question) as answer:
        keys = [column.name for column in answer.columns]
        if form is QueryOutput.TABLE:
            _table(context, keys, answer.rows, utc=utc, no_pager=no_pager)
        elif form is QueryOutput.PARQUET:
            emit_bytes(querying.as_parquet(answer))
        else:
            _write(keys, answer.rows, form)
        for note in answer.notes:
            say(f"monitord: {note}")


def deployed(
    context: CliContext,
    process: Annotated[
        str, typer.Argument(metavar="PROCESS", help="A part of what PROCESS shows, or a pattern.")
    ],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="What it runs from then on.")],
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="Since when; default: now.")] = None,
) -> None:
    """Note which version of a program runs from now on, for questions about versions."""
    moment = parse_time(at, datetime.now(UTC)) if at is not None else None
    marked = querying.deployed(context.workspace, process, version, moment)
    emit(f"{printable(marked.process)}: version {printable(marked.version)} since {full_stamp(marked.at)}\n")


def _table(
    context: CliContext, keys: Sequence[str], rows: Iterable[Sequence[Any]], *, utc: bool, no_pager: bool
) -> None:
    preferred = preferences(context.workspace)
    in_utc = utc or bool(preferred["utc"])
    found = _bounded([_shown(value, in_utc) for value in row] for row in rows)
    if not found:
        say("no row")
        return
    if len(keys) > width() // _NARROWEST:
        lines = _records(keys, found, context)
        page(lines, allowed=bool(preferred["pager"]) and not no_pager)
        return
    is_number = [all(isinstance(row[i], _Number) or row[i] == "–" for row in found) for i in range(len(keys))]
    # On a narrow screen names of columns are cut before what stands below them.
    least = [max(_LEAST_WIDE, *(display_width(row[i]) for row in found)) for i in range(len(keys))]
    columns = [Column(printable(key), is_number[i], least[i]) for i, key in enumerate(keys)]
    cells = [[Cell(text) for text in row] for row in found]
    lines = draw(columns, cells, width=width(), style=context.style())
    page(lines, allowed=bool(preferred["pager"]) and not no_pager)


def _bounded(rows: Iterable[list[str]]) -> list[list[str]]:
    """All rows that a table, which is drawn at once, has room for; that there are more is said."""
    found: list[list[str]] = []
    left = _TABLE_CHARACTERS
    for row in rows:
        left -= sum(map(len, row))
        if left < 0 and found:
            say(f"monitord: only the first {len(found)} rows: their texts are too long; try -o jsonl")
            break
        found.append(row)
    return found


def _records(keys: Sequence[str], rows: Sequence[Sequence[str]], context: CliContext) -> Iterator[str]:
    """Each row as a paragraph, a column a line: for more columns than a line of the screen has room for."""
    columns = (Column("", whole=True), Column(""))
    names = [Cell(cut(printable(key), width() // 2), ("dim",)) for key in keys]
    for number, row in enumerate(rows):
        if number:
            yield ""
        cells = [[name, Cell(text)] for name, text in zip(names, row, strict=True)]
        yield from draw(columns, cells, width=width(), style=context.style(), header=False)


class _Number(str):
    """The text of a number: its column stands at the right."""

    __slots__ = ()


def _shown(value: object, utc: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _Number(f"{value:.6g}" if abs(value) < 1e6 else f"{value:.0f}")
    if isinstance(value, int):
        return _Number(value)
    if isinstance(value, datetime):
        return local_stamp(value, datetime.now(UTC), utc=utc)
    return value if isinstance(value, str) else json_text(value, indent=None)


def _write(keys: Sequence[str], rows: Iterator[Sequence[Any]], form: QueryOutput) -> None:
    """Rows as they come, some at a time."""
    plain = (dict(zip(keys, map(_plain, row), strict=True)) for row in rows)
    first = list(islice(plain, 1))
    if form is QueryOutput.CSV:
        emit(csv_rows(keys, first))
        while chunk := list(islice(plain, _GROUP_ROWS)):
            emit(csv_rows(keys, chunk, header=False))
        return
    is_array = form is QueryOutput.JSON
    opening = "["
    for row in chain(first, plain):
        if is_array:
            emit(f"{opening}\n{indent(json_text(row), '  ')}")
            opening = ","
        else:
            emit(json_text(row, indent=None) + "\n")
    if is_array:
        emit("[]\n" if opening == "[" else "\n]\n")


def _plain(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else value


def _list(context: CliContext, form: QueryOutput) -> None:
    rows = list(querying.catalogue(context.workspace))
    if form is QueryOutput.TABLE:
        emit("".join(f"{line}\n" for line in _catalogue_lines(rows, context)))
        return
    if form is QueryOutput.PARQUET:
        raise UsageError("invalid -o parquet with --list, expected table, json, jsonl or csv")
    _write(
        querying.CATALOGUE_KEYS, iter([[row[key] for key in querying.CATALOGUE_KEYS] for row in rows]), form
    )


def _catalogue_lines(rows: Iterable[dict[str, Any]], context: CliContext) -> Iterator[str]:
    """Each name with what it is below, whole at any width: what is cut here can be read nowhere else."""
    style = context.style()
    for row in rows:
        yield style.paint(printable(str(row["usage"])), "bold")
        for line in wrap(printable(str(row["says"])), max(width() - 4, _NARROWEST)):
            yield f"    {line}"
