"""`show`: one incident on one page: what, when, why, what before, where the time went, what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.cli.place import JsonFlag, OutputFlag, Place, wants_json
from monitord.cli.story import tell
from monitord.cli.terminal import emit, page, width
from monitord.export.shapes import detail
from monitord.export.text import json_text

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `recent` shows it, or its beginning.")]


def show(
    place: Place,
    incident_id: IdArgument,
    output: OutputFlag = None,
    json: JsonFlag = False,
    utc: Annotated[bool, typer.Option("--utc", help="Times in UTC instead of local.")] = False,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Never page.")] = False,
) -> None:
    """Show one incident: why it fired, what came before, the guilty functions, what is missing and why."""
    as_json = wants_json(output, json)
    reader = place.reader()
    view = reader.incident(reader.find(incident_id).correlation_id)
    if as_json:
        emit(json_text(detail(view)) + "\n")
        return
    page(tell(view, now=datetime.now(UTC), utc=utc, width=width(), style=place.style()), allowed=not no_pager)
