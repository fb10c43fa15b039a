"""`keep` and `delete`: what becomes of incidents."""

from __future__ import annotations

from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.show import IdArgument
from monitord.cli.terminal import cut, emit, width
from monitord.errors import UsageError
from monitord.model import ProfileRecord
from monitord.redaction import printable
from monitord.storage.ids import short_id


def done(record: ProfileRecord, verb: str) -> None:
    """Say in one line what became of an incident."""
    number = short_id(record.correlation_id)
    room = width() - len(number) - len(verb) - 3
    emit(f"{number} {cut(printable(record.process_name), room)}: {verb}\n")


def keep(
    context: CliContext,
    incident_id: IdArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it go with age again.")] = False,
) -> None:
    """Keep an incident past its age and out of the quotas."""
    record = context.reader().find(incident_id)
    with context.store() as store:
        store.pin(record.correlation_id, not undo)
    verb = "no longer kept" if undo else "kept"
    done(record, verb)


def delete(
    context: CliContext,
    incident_ids: Annotated[list[str], typer.Argument(metavar="ID", help="As for `show`; one or more.")],
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to delete anything.")] = False,
) -> None:
    """Delete incidents with their evidence, for good."""
    reader = context.reader()
    records = {record.correlation_id: record for record in map(reader.find, incident_ids)}
    reader.close()
    if not yes:
        again = " ".join(map(short_id, records))
        raise UsageError(
            f"nothing deleted; to delete {len(records)} for good: `monitord delete {again} --yes`"
        )
    with context.store() as store:
        for correlation_id, record in records.items():
            store.delete_incident(correlation_id)
            done(record, "deleted")
