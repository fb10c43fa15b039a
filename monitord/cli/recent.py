"""`recent`: what went wrong lately, one line an incident, newest first."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from monitord.cli.context import CliContext
from monitord.cli.listing import POLL_S, Asked, Listing, PidFlag, ProcessFlag, View, listed
from monitord.cli.recorder import RecorderWatch
from monitord.cli.rows import recent_table
from monitord.cli.terminal import width
from monitord.errors import NotFoundError
from monitord.export.shapes import ROW_KEYS, row
from monitord.model import ProfileRecord, TriggerMetric
from monitord.storage.views import RecentFilter

if TYPE_CHECKING:
    from monitord.storage.queries import StoreReader


@listed()
def recent(
    context: CliContext,
    asked: Asked,
    grep: Annotated[
        str | None,
        typer.Option("-g", "--grep", metavar="TEXT", help="Part of the reason, name or command line."),
    ] = None,
    process: ProcessFlag = None,
    pid: PidFlag = None,
    metric: Annotated[TriggerMetric | None, typer.Option("--metric", help="Only this trigger.")] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Only profiles taken while nothing was wrong.")
    ] = False,
) -> None:
    """List recent incidents, newest first."""
    wanted = RecentFilter(
        limit=asked.limit,
        since=asked.since,
        until=asked.until,
        process=process,
        pid=pid,
        metric=metric,
        text=grep,
        baselines=baselines,
    )
    reader = context.reader()
    listing = _listing(context)
    if asked.follow:
        _follow(reader, wanted, asked.view, listing, RecorderWatch(context.data_dir()))
    rows = reader.each_recent(wanted)
    try:
        first = list(islice(rows, 1))  # opens the store: before anything is written
    except NotFoundError as nothing_yet:
        listing.refuse(nothing_yet, asked.view)
    listing.write_each(chain(first, rows), asked.view)


def _listing(context: CliContext) -> Listing[ProfileRecord]:
    def table(rows: Sequence[ProfileRecord], view: View, first: bool) -> Iterable[str]:
        return recent_table(
            rows,
            now=datetime.now(UTC),
            utc=view.utc,
            width=width(),
            style=context.style(),
            header=first,
        )

    return Listing(ROW_KEYS, row, table, "no incident matches")


def _follow(
    reader: StoreReader,
    wanted: RecentFilter,
    view: View,
    listing: Listing[ProfileRecord],
    watch: RecorderWatch,
) -> NoReturn:
    """Print what there is, then what is stored from now on. Ends with Ctrl-C, or when the reader leaves."""
    last = reader.newest_id()  # asked first: what comes in between is not lost
    rows = reader.recent(wanted)
    seen = {record.id for record in rows}
    listing.write(rows, view)
    while True:
        sys.stdout.flush()
        watch.tell()
        time.sleep(POLL_S)
        fresh = reader.recent(replace(wanted, limit=None, after_id=last))
        last = max([last, *(record.id or 0 for record in fresh)])
        listing.write([record for record in fresh if record.id not in seen], view, first=False)
