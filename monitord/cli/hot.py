"""`hot`: which functions took the time, across captures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions.lists import hot as hot_functions
from monitord.actions.lists import incidents_asked_for, or_refused
from monitord.cli.context import CliContext
from monitord.cli.listing import (
    Asked,
    CauseFlag,
    Listing,
    PinnedFlag,
    ProcessFlag,
    RuleFlag,
    UnitFlag,
    UserFlag,
    View,
    listed,
)
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import width
from monitord.cli.when import local_stamp
from monitord.export.shapes import HOT_KEYS, hot_row
from monitord.redaction import printable
from monitord.storage.views import HotFilter, HotFunction

_COLUMNS = (
    Column("SELF", right=True),
    Column("AT MOST", right=True, gives_way=3),
    Column("INCIDENTS", right=True, gives_way=1),
    Column("LAST", gives_way=2),
    Column("FUNCTION", least=12, good=16),
    Column("WHERE", least=12, good=16, keeps_end=True),
)


@listed(since="7d", follows=False)
def hot(
    context: CliContext,
    asked: Asked,
    function: Annotated[str | None, typer.Option("--function", help="Only this function.")] = None,
    module: Annotated[str | None, typer.Option("--module", help="Only functions of this module.")] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="ID", help="The shares of this statement (stmt_id).")
    ] = None,
    process: ProcessFlag = None,
    rule: RuleFlag = None,
    user: UserFlag = None,
    unit: UnitFlag = None,
    cause: CauseFlag = None,
    pinned: PinnedFlag = False,
) -> None:
    """List the functions that took most time, across captures."""
    wanted = HotFilter(
        function=function,
        module=module,
        node=node,
        process=process,
        since=asked.since,
        until=asked.until,
        limit=asked.limit,
        incidents=incidents_asked_for(rule, user, unit, cause, pinned=pinned or None),
    )
    listing = Listing(
        HOT_KEYS,
        hot_row,
        lambda found, shown, first: _table(found, shown, context, first),
        "no function was hot in that time; --since 30d looks further back",
    )
    found = hot_functions(context.workspace, wanted)
    listing.answer(or_refused(context.workspace, rule, found), asked.view)


def _table(found: Sequence[HotFunction], view: View, context: CliContext, header: bool) -> Iterable[str]:
    now = datetime.now(UTC)
    rows = [
        [
            Cell(f"{spot.self_share_mean * 100:.0f} %", ("red",)),
            Cell(f"{spot.self_share_max * 100:.0f} %"),
            Cell(str(spot.incidents)),
            Cell(local_stamp(spot.last_at, now, utc=view.utc)),
            Cell(printable(spot.function), ("bold",)),
            Cell(printable(f"{spot.file or spot.module or '–'}{f':{spot.line}' if spot.line else ''}")),
        ]
        for spot in found
    ]
    yield from draw(_COLUMNS, rows, width=width(), style=context.style(), header=header)
