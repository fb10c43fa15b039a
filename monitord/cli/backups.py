"""`storage backup` and `storage restore`: all of it elsewhere, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.actions import backups
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json
from monitord.errors import StorageError
from monitord.export.encoding import iso
from monitord.export.units import quantity
from monitord.model import counted
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.actions.backups import BackupRun
    from monitord.storage.manifest import Manifest


def backup(
    context: CliContext,
    destination: Annotated[
        Path | None,
        typer.Argument(metavar="DEST", help="A folder that is not there yet; none: [backup] folder."),
    ] = None,
    as_json: bool = False,
) -> None:
    """Copy database and artefacts into a folder, consistent while the daemon goes on.

    What is remote or in an archive is fetched. Keys that encrypt artefacts are not in it. Without DEST one
    more goes into `[backup] folder`: unchanged artefacts are hard links, and it is restored on trial.
    """
    if destination is None:
        _show_run(backups.back_up_again(context.workspace), as_json=as_json)
        return
    made = backups.back_up(context.workspace, destination)
    _show(made, f"backed up to {destination}", as_json=as_json)


def restore(
    context: CliContext,
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder that `storage backup` wrote.")],
    as_json: bool = False,
) -> None:
    """Restore a backup into an empty data directory: every file is checked, and all come back or none."""
    made = backups.restore(context.workspace, source)
    _show(made, f"restored to {context.data_dir()}", as_json=as_json)


def _show_run(run: BackupRun, *, as_json: bool) -> None:
    flaws = [printable(flaw) for flaw in run.flaws]
    if as_json:
        emit_json({**_facts(run.manifest), "path": printable(str(run.path)), "flaws": flaws})
    else:
        _show(run.manifest, f"backed up to {run.path}, restored on trial", as_json=False)
        for flaw in flaws:
            emit(f"wrong in the store itself: {flaw}\n")
    if flaws:
        raise StorageError(
            f"{counted(len(flaws), 'flaw')} in the store; try `monitord storage verify --repair`"
        )


def _facts(made: Manifest) -> dict[str, Any]:
    return {
        "created_at": iso(made.created_at),
        "monitord": made.monitord,
        "schema": made.schema,
        "counts": dict(made.counts),
        "files": len(made.files),
        "size_bytes": made.size_bytes,
        "missing": [printable(key) for key in made.missing],
    }


def _show(made: Manifest, done: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(_facts(made))
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in made.counts.items())
    size = quantity(made.size_bytes, "disk_bytes")
    emit(f"{printable(done)}: {counted(len(made.files), 'file')}, {size} ({counts})\n")
    for key in made.missing:
        emit(f"not there any more: {printable(key)}\n")
