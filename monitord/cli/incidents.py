"""`keep`, `note`, `delete` and `reveal`: what becomes of incidents, and where their evidence lies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions import incidents
from monitord.cli.context import CliContext
from monitord.cli.show import IdArgument
from monitord.cli.terminal import cut, emit, width
from monitord.model import ProfileRecord
from monitord.ownership import is_privileged
from monitord.redaction import printable
from monitord.storage.ids import short_id


def keep(
    context: CliContext,
    incident_id: IdArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it go with age again.")] = False,
) -> None:
    """Keep an incident past its age and out of the quotas."""
    record = incidents.pin(context.workspace, incident_id, undo=undo)
    _report(record, "no longer kept" if undo else "kept")


def note(
    context: CliContext,
    incident_id: IdArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help='What to remember: "deploy at 02:58".')],
) -> None:
    """Leave a note on an incident; `show` and exports carry it."""
    _report(incidents.add_note(context.workspace, incident_id, text), "noted")


def delete(
    context: CliContext,
    incident_ids: Annotated[list[str], typer.Argument(metavar="ID", help="As for `show`; one or more.")],
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to delete anything.")] = False,
) -> None:
    """Delete incidents with their evidence, for good."""
    for record in incidents.delete(context.workspace, incident_ids, confirmed=yes):
        _report(record, "deleted")


def reveal(context: CliContext, incident_id: IdArgument) -> None:
    """Print where an incident's best evidence lies: a path, or a URL; on macOS, show it in its folder."""
    where = incidents.place_of_evidence(context.workspace, incident_id)
    emit(f"{printable(where)}\n")
    if sys.platform == "darwin" and sys.stdout.isatty() and not is_privileged() and Path(where).exists():
        subprocess.run(["/usr/bin/open", "-R", where], check=False, cwd="/")


def _report(record: ProfileRecord, verb: str) -> None:
    """Say in one line what became of an incident."""
    number = short_id(record.correlation_id)
    room = width() - len(number) - len(verb) - 3
    emit(f"{number} {cut(printable(record.process_name), room)}: {verb}\n")
