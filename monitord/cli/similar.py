"""`similar`: incidents like one, and what of them agrees."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions.similar import similar as incidents_like
from monitord.actions.similar import similar_row
from monitord.cli.context import CliContext
from monitord.cli.listing import NoPagerFlag, UtcFlag
from monitord.cli.show import IdArgument
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import emit_json, page, say, width
from monitord.cli.when import local_stamp
from monitord.redaction import printable
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id

_COLUMNS = (
    Column("ID"),
    Column("WHEN", gives_way=1),
    Column("PROCESS", least=8, good=12),
    Column("WHAT", least=8, good=22, gives_way=2),
    Column("AGREES", least=8, good=24),
)


def similar(
    context: CliContext,
    incident_id: IdArgument,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=500, help="Show at most N.")] = 20,
    as_json: bool = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """List incidents like one, the most alike first: by function, statement and cause."""
    likeness = incidents_like(context.workspace, incident_id)
    rows = [similar_row(each) for each in likeness.found[:limit]]
    if as_json:
        emit_json(rows)
        return
    if not rows:
        say("no other incident is like it")
        return
    now = datetime.now(UTC)
    cells = [
        [
            Cell(short_id(each.span.correlation_id), ("cyan",)),
            Cell(local_stamp(each.span.raised_at, now, utc=utc)),
            Cell(display_name(each.span.process_name, each.span.command_line), ("bold",)),
            Cell(printable(", ".join(str(row[key]) for key in ("hottest_function", "cause") if row[key]))),
            Cell(", ".join(each.agreed)),
        ]
        for each, row in zip(likeness.found, rows, strict=False)
    ]
    page(draw(_COLUMNS, cells, width=width(), style=context.style(), header=True), allowed=not no_pager)
    if again := likeness.in_words(short_id(likeness.view.correlation_id)):
        say(again)
