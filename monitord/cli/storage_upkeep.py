"""`storage gc|verify|rebuild|rotate-key`: what is left over, damaged, lost, or encrypted with an old key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.actions import upkeep
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json
from monitord.export.units import quantity
from monitord.model import counted, short_id
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.storage.leftovers import Leftovers

_NO_ROOM = "is removed: with it the store would be over its budget (retention.max_total_mb)"


def gc(
    context: CliContext,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, change nothing.")] = False,
    as_json: bool = False,
) -> None:
    """Tidy up: what killed captures left, old quarantine, broken-off deletions, rows out of step."""
    found = upkeep.collect_garbage(context.workspace, dry_run=dry_run)
    if as_json:
        answer = {
            "dry_run": dry_run,
            "temporary_files": list(found.parts),
            "abandoned": [printable(name) for name in found.abandoned],
            "abandoned_bytes": found.abandoned_bytes,
            "quarantined": [printable(name) for name in found.quarantined],
            "quarantined_bytes": found.quarantined_bytes,
            "deletions": list(found.deletions),
            "without_row": list(found.orphans),
            "without_file": list(found.missing),
        }
        emit_json(answer)
        return
    for line in _leftover_lines(found, dry_run=dry_run):
        emit(f"{printable(line)}\n")
    if found.is_nothing:
        emit("nothing to tidy\n")


def adopt(
    context: CliContext,
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="A folder of the bucket; without it: list them.")
    ] = None,
    as_json: bool = False,
) -> None:
    """Read the days that a lost data directory moved to analytics.cold_url, until this one's begin."""
    if folder is not None:
        found = [upkeep.adopt_days(context.workspace, folder)]
    else:
        found = upkeep.cold_folders(context.workspace)
    if as_json:
        emit_json([asdict(one) for one in found])
        return
    for one in found:
        days = f"{counted(one.days, 'day')} from {one.first_day} to {one.last_day}"
        emit(f"{printable(one.folder)}: {days}{', read here' if one.is_read else ''}\n")
    if not found:
        emit("no folder with days\n")


def _leftover_lines(found: Leftovers, *, dry_run: bool) -> Iterator[str]:
    will = "would be " if dry_run else ""
    yield from (f"temporary file {name}: {will}removed" for name in found.parts)
    yield from (f"{name} of a capture that was killed: {will}removed" for name in found.abandoned)
    yield from (f"quarantined {name}: {will}removed" for name in found.quarantined)
    yield from (f"incident {short_id(name)}: its deletion {will}finished" for name in found.deletions)
    yield from (f"{key}, without a row: {will}taken in, or quarantined if damaged" for key in found.orphans)
    yield from (f"{key}, gone: its row {will}marked missing" for key in found.missing)
    if found.quarantined_bytes:
        yield f"{quantity(found.quarantined_bytes, 'disk_bytes')} of quarantine"
    if found.abandoned_bytes:
        yield f"{quantity(found.abandoned_bytes, 'disk_bytes')} of captures that were killed"


def verify(
    context: CliContext,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Set damaged ones aside, adopt strays, mark lost ones."),
    ] = False,
    as_json: bool = False,
) -> None:
    """Read every artefact and check it, and whether rows and files agree. Exit 1 when problems are left."""
    found = upkeep.verify(context.workspace, repair=repair)
    if as_json:
        answer = {
            "ok": not found.problems,
            "problems": [printable(problem) for problem in found.problems],
            "repaired": [printable(step) for step in found.repaired],
        }
        emit_json(answer)
    else:
        for line in (*found.repaired, *found.problems):
            emit(f"{printable(line)}\n")
        if not found.problems:
            emit("every artefact is what was stored\n")
    found.require_none()


def rebuild(
    context: CliContext,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to do anything.")] = False,
) -> None:
    """Build the database anew from the artefacts; the old one is kept beside it.

    What stands in no artefact (history, plans, other events) is taken from the old one as far as it can be
    read.
    """
    made = upkeep.rebuild_database(context.workspace, confirmed=yes)
    emit(f"{counted(made.incidents, 'incident')} came back\n")
    if made.old is not None:
        told = ", ".join(f"{count:,} of {table}" for table, count in made.salvaged.items())
        emit(f"rows from the old database: {told}\n")
        is_kept = f"is kept as {printable(str(made.old))}" if made.is_kept else _NO_ROOM
        emit(f"the old database {is_kept}\n")


def rotate_key(context: CliContext) -> None:
    """Wrap the keys of all encrypted artefacts with the active key, here, remote and archived.

    Every reader must know the new key before: make it `storage.encryption_key`, name the old one in
    `storage.old_encryption_keys`, restart the service, then rotate.
    """
    key_id, rotated, total = upkeep.rotate_key(context.workspace)
    emit(f"{rotated:,} of {total:,} have key {key_id} now; the others had it before, or are not encrypted\n")
