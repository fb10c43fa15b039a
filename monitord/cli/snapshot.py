"""`snapshot`: the last minute of the whole machine as an incident, when it stuttered and no rule fired."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions.incidents import timeline
from monitord.actions.snapshots import SnapshotWish, take_snapshot
from monitord.actions.times import parse_duration
from monitord.cli.context import CliContext
from monitord.cli.listing import UtcFlag
from monitord.cli.story import tell
from monitord.cli.terminal import emit, emit_json, say, width
from monitord.export.shapes import detail
from monitord.storage.ids import short_id


def snapshot(
    context: CliContext,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help='How far back: "30s", at most "100s".')
    ] = "60s",
    process: Annotated[
        str | None, typer.Option("--process", metavar="NAME", help='Only of these: "gcc*".')
    ] = None,
    pid: Annotated[
        int | None, typer.Option("--pid", metavar="PID", min=1, help="Only of this one and what it started.")
    ] = None,
    as_json: bool = False,
    utc: UtcFlag = False,
) -> None:
    """Keep what the machine ran in the last minute: whose functions, ended processes included."""
    wish = SnapshotWish(parse_duration(since.removeprefix("-")).total_seconds(), pid, process)
    view = take_snapshot(context.workspace, wish)
    before = timeline(context.workspace, view)
    if as_json:
        emit_json({**detail(view), **before.as_json()})
        return
    lines = tell(view, now=datetime.now(UTC), utc=utc, width=width(), style=context.style(), before=before)
    for line in lines:
        emit(f"{line}\n")
    say(f"see it again with: monitord show {short_id(view.correlation_id)}")
