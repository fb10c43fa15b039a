"""`recent`: what went wrong lately, one line an incident, newest first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from monitord.cli.place import JsonFlag, Place
from monitord.cli.rows import recent_table
from monitord.cli.terminal import emit, page, say, width
from monitord.cli.times import parse_period
from monitord.errors import NotFoundError, UsageError
from monitord.export.shapes import ROW_KEYS, row
from monitord.export.text import csv_rows, json_text
from monitord.model import ProfileRecord, TriggerMetric
from monitord.storage.views import RecentFilter

if TYPE_CHECKING:
    from monitord.storage.queries import StoreReader

_POLL_S = 1.0
_TOP_FUNCTION_ROWS = 200  # looking up each row's hottest function costs a query a row


class ListOutput(StrEnum):
    """How a list is written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class _View:
    """How the answer is shown."""

    output: ListOutput
    oldest_first: bool
    utc: bool
    use_pager: bool
    is_quiet: bool = False


def recent(
    place: Place,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1_000_000, help="At most so many.")] = 20,
    since: Annotated[
        str | None, typer.Option("-S", "--since", metavar="TIME", help='"2h", "yesterday", "03:00", …')
    ] = None,
    until: Annotated[str | None, typer.Option("-U", "--until", metavar="TIME", help="The other end.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new ones until Ctrl-C.")] = False,
    reverse: Annotated[bool, typer.Option("-r", "--reverse", help="Oldest first.")] = False,
    grep: Annotated[
        str | None,
        typer.Option("-g", "--grep", metavar="TEXT", help="Part of the reason, name or command line."),
    ] = None,
    process: Annotated[
        str | None, typer.Option("--process", metavar="NAME", help="Part of the name, or a pattern: 'py*'.")
    ] = None,
    pid: Annotated[int | None, typer.Option("--pid", min=1, help="Only this process number.")] = None,
    metric: Annotated[TriggerMetric | None, typer.Option("--metric", help="Only this trigger.")] = None,
    output: Annotated[
        ListOutput | None, typer.Option("-o", "--output", help="table, for people, or a format for programs.")
    ] = None,
    json: JsonFlag = False,
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC instead of local.")] = False,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Never page.")] = False,
) -> None:
    """List recent incidents, newest first."""
    start, end = parse_period(since, until, datetime.now(UTC))
    wanted = RecentFilter(
        limit=limit, since=start, until=end, process=process, pid=pid, metric=metric, text=grep
    )
    view = _View(_output(output, json), reverse or follow, utc, not no_pager and not follow)
    if follow and view.output is ListOutput.JSON:
        raise UsageError("-f never ends and a JSON array must; use -o jsonl")
    reader = place.reader()
    if follow:
        _follow(reader, wanted, view, place)
    try:
        rows = reader.recent(wanted)
    except NotFoundError as nothing_yet:
        say(f"monitord: {nothing_yet}")
        _write([], replace(view, is_quiet=True), place, reader)
        return
    _write(rows, view, place, reader)


def _output(output: ListOutput | None, json: bool) -> ListOutput:
    if json and output not in (None, ListOutput.JSON):
        raise UsageError(f"--json and -o {output} contradict each other; say one of them")
    return ListOutput.JSON if json else output or ListOutput.TABLE


def _write(
    rows: Sequence[ProfileRecord], view: _View, place: Place, reader: StoreReader, *, first: bool = True
) -> None:
    ordered = list(reversed(rows)) if view.oldest_first else list(rows)
    if view.output is ListOutput.JSON:
        emit(json_text([row(record) for record in ordered]) + "\n")
    elif view.output is ListOutput.JSONL:
        emit("".join(json_text(row(record), indent=None) + "\n" for record in ordered))
    elif view.output is ListOutput.CSV:
        emit(csv_rows(ROW_KEYS, map(row, ordered), header=first))
    elif ordered:
        table = recent_table(
            ordered,
            _guilty(reader, ordered),
            now=datetime.now(UTC),
            utc=view.utc,
            width=width(),
            style=place.style(),
            header=first,
        )
        page(table, allowed=view.use_pager)
    elif first and not view.is_quiet:
        say("no incident fits; `monitord status` says whether anybody is recording")


def _guilty(reader: StoreReader, rows: Iterable[ProfileRecord]) -> Callable[[ProfileRecord], str]:
    """How to find a row's hottest function; nothing for long lists, where it would cost too much."""
    few = list(rows)
    if len(few) > _TOP_FUNCTION_ROWS:
        return lambda _record: ""

    def function(record: ProfileRecord) -> str:
        try:
            hotspots = reader.incident(record.correlation_id).hotspots
        except NotFoundError:
            return ""  # deleted between the two reads
        return hotspots[0].function if hotspots else ""

    return function


def _follow(reader: StoreReader, wanted: RecentFilter, view: _View, place: Place) -> NoReturn:
    """Print what there is, then what is stored from now on. Ends with Ctrl-C, or when the reader leaves."""
    newest = reader.recent(RecentFilter(limit=1))  # asked first: what comes in between is not lost
    last = max((record.id or 0 for record in newest), default=0)
    rows = reader.recent(wanted)
    seen = {record.id for record in rows}
    _write(rows, view, place, reader)
    while True:
        sys.stdout.flush()
        time.sleep(_POLL_S)
        fresh = reader.recent(replace(wanted, limit=None, after_id=last))
        last = max([last, *(record.id or 0 for record in fresh)])
        _write([record for record in fresh if record.id not in seen], view, place, reader, first=False)
