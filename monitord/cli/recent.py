"""`recent`: what went wrong lately, one line an incident, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions.lists import follow_recent, or_refused
from monitord.actions.lists import recent as recent_incidents
from monitord.cli.context import CliContext, RecorderWatch
from monitord.cli.listing import (
    Asked,
    CauseFlag,
    Listing,
    PidFlag,
    PinnedFlag,
    ProcessFlag,
    RuleFlag,
    UnitFlag,
    UserFlag,
    View,
    listed,
)
from monitord.cli.rows import recent_table
from monitord.cli.terminal import width
from monitord.export.shapes import ROW_KEYS, row
from monitord.model import ProfileRecord, TriggerMetric
from monitord.storage.views import RecentFilter


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
    rule: RuleFlag = None,
    user: UserFlag = None,
    unit: UnitFlag = None,
    function: Annotated[
        str | None,
        typer.Option("--function", metavar="NAME", help="Part of a function hot in it, or a pattern."),
    ] = None,
    cause: CauseFlag = None,
    pinned: PinnedFlag = False,
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
        rule=rule,
        user=user,
        unit=unit,
        function=function,
        cause=cause,
        pinned=pinned or None,
        text=grep,
        baselines=baselines,
    )
    nothing = "no incident matches" if wanted != RecentFilter(limit=asked.limit) else "no incident so far"
    listing = Listing(ROW_KEYS, row, lambda rows, view, first: _table(rows, view, context, first), nothing)
    if asked.follow:
        listing.follow(
            follow_recent(context.workspace, wanted), asked.view, RecorderWatch(context.data_dir())
        )
    found = recent_incidents(context.workspace, wanted)
    listing.answer(or_refused(context.workspace, rule, found), asked.view)


def _table(rows: Sequence[ProfileRecord], view: View, context: CliContext, header: bool) -> Iterable[str]:
    return recent_table(
        rows, now=datetime.now(UTC), utc=view.utc, width=width(), style=context.style(), header=header
    )
