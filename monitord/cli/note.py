"""`note`: what a person knows about an incident, kept with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.cli.place import Place
from monitord.cli.show import IdArgument
from monitord.cli.terminal import emit
from monitord.redaction import printable
from monitord.storage.ids import short_id


def note(
    place: Place,
    incident_id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help='What to remember: "deploy at 02:58".')],
) -> None:
    """Leave a note on an incident; `show` and exports carry it."""
    record = place.reader().find(incident_id)
    with place.store() as store:
        store.add_note(record.correlation_id, text, datetime.now(UTC))
    emit(f"{short_id(record.correlation_id)} {printable(record.process_name)}: noted\n")
