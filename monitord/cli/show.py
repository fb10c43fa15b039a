"""`show`: one incident on one page: what, when, why, what before, where the time went, what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions.incidents import incident, pending_profile, timeline
from monitord.cli.context import CliContext
from monitord.cli.listing import NoPagerFlag, UtcFlag
from monitord.cli.story import tell
from monitord.cli.terminal import emit_json, page, say, width
from monitord.export.shapes import detail

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `recent` shows it, or its beginning.")]


def show(
    context: CliContext,
    incident_id: IdArgument,
    as_json: bool = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """Show one incident: why it fired, what came before, the guilty functions, what is missing and why."""
    view = incident(context.workspace, incident_id)
    pending, before = pending_profile(context.workspace, view), timeline(context.workspace, view)
    if before.trouble:
        say(before.trouble)
    if as_json:
        emit_json({**detail(view, pending), "pending": pending, **before.as_json()})
        return
    lines = tell(
        view,
        now=datetime.now(UTC),
        utc=utc,
        width=width(),
        style=context.style(),
        pending=pending,
        before=before,
    )
    page(lines, allowed=not no_pager)
