"""`note`: what a person knows about an incident, kept with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.incidents import done
from monitord.cli.show import IdArgument


def note(
    context: CliContext,
    incident_id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help='What to remember: "deploy at 02:58".')],
) -> None:
    """Leave a note on an incident; `show` and exports carry it."""
    record = context.reader().find(incident_id)
    with context.store() as store:
        store.add_note(record.correlation_id, text, datetime.now(UTC))
    done(record, "noted")
