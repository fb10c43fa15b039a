"""`note`: what a person knows about an incident, kept with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.cli.incidents import done
from monitord.cli.place import Place
from monitord.cli.show import IdArgument


def note(
    place: Place,
    incident_id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help='What to remember: "deploy at 02:58".')],
) -> None:
    """Leave a note on an incident; `show` and exports carry it."""
    record = place.reader().find(incident_id)
    with place.store() as store:
        store.add_note(record.correlation_id, text, datetime.now(UTC))
    done(record, "noted")
