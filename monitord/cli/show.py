"""`show`: one incident on one page: what, when, why, what before, where the time went, what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.listing import NoPagerFlag, UtcFlag
from monitord.cli.story import tell
from monitord.cli.terminal import emit, page, width
from monitord.export.encoding import json_text
from monitord.export.shapes import detail
from monitord.recorder.status import read_status
from monitord.storage.views import IncidentView

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `recent` shows it, or its beginning.")]


def show(
    context: CliContext,
    incident_id: IdArgument,
    output: OutputFlag = None,
    json: JsonFlag = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """Show one incident: why it fired, what came before, the guilty functions, what is missing and why."""
    as_json = wants_json(output, json)
    reader = context.reader()
    view = reader.incident(reader.find(incident_id).correlation_id)
    pending = pending_profile(view, read_status(context.data_dir()))
    if as_json:
        emit(json_text({**detail(view), "pending": pending}) + "\n")
        return
    lines = tell(view, now=datetime.now(UTC), utc=utc, width=width(), style=context.style(), pending=pending)
    page(lines, allowed=not no_pager)


def pending_profile(view: IncidentView, status: Mapping[str, Any] | None) -> str | None:
    """Whether its profile is being taken ("running") or waits for its turn ("waiting"); None: neither."""
    is_told = any(record.role == "profile" for record in view.captures)  # taken or refused
    if is_told or status is None or not status["is_running"]:
        return None
    capture, pending = status.get("capture"), status.get("pending")
    if isinstance(capture, Mapping) and capture.get("correlation_id") == view.correlation_id:
        return "running"
    return "waiting" if isinstance(pending, list) and view.correlation_id in pending else None
