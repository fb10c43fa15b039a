"""`storage backup` and `storage restore`: all of it elsewhere, and back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.terminal import emit
from monitord.export.encoding import iso, json_text
from monitord.export.units import quantity
from monitord.model import counted
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.storage.manifest import Manifest


def backup(
    context: CliContext,
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A folder that is not there yet.")],
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Copy database and artefacts into a folder, consistent while the daemon goes on.

    What is remote or in an archive is fetched. Keys that seal artefacts are not in it.
    """
    from monitord.storage.backup import backup as back_up

    as_json = wants_json(output, json)
    made = back_up(context.data_dir(), destination, open_artefacts=context.open_full_store)
    _show(made, f"backed up to {destination}", as_json=as_json)


def restore(
    context: CliContext,
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A folder that `storage backup` wrote.")],
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Make an empty data directory what a backup holds. Every file is checked: all of it, or nothing."""
    from monitord.recorder.locks import DAEMON_LOCK, hold
    from monitord.storage.restoring import restore as restored

    as_json = wants_json(output, json)
    folder = context.data_dir()
    what = "the daemon records here; `monitord service stop` first"
    with hold(folder / DAEMON_LOCK, what) if folder.is_dir() else contextlib.nullcontext():
        made = restored(source, folder)
    _show(made, f"restored to {folder}", as_json=as_json)


def _show(made: Manifest, done: str, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "created_at": iso(made.created_at),
        "monitord": made.monitord,
        "schema": made.schema,
        "counts": dict(made.counts),
        "files": len(made.files),
        "size_bytes": made.size_bytes,
        "missing": [printable(key) for key in made.missing],
    }
    if as_json:
        emit(json_text(facts) + "\n")
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in made.counts.items())
    size = quantity(made.size_bytes, "disk_bytes")
    emit(f"{printable(done)}: {counted(len(made.files), 'file')}, {size} ({counts})\n")
    for key in made.missing:
        emit(f"not there any more: {printable(key)}\n")
