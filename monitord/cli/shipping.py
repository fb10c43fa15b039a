"""`fleet ship`: what was recorded goes to the bucket of the fleet, now."""

from __future__ import annotations

from dataclasses import asdict

from monitord.actions import shipping
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json
from monitord.export.units import quantity
from monitord.model import counted
from monitord.redaction import printable


def ship(context: CliContext, as_json: bool = False) -> None:
    """Ship now what was recorded to the bucket of `[ship]`, and say what was put there.

    The recorder does the same: incidents at once, the rest once an hour. Nothing is put there twice.
    """
    done = shipping.ship(context.workspace)
    if as_json:
        emit_json(asdict(done))
        return
    size = quantity(done.put_bytes, "disk_bytes")
    emit(
        f"shipped as {printable(done.host_id)}: {counted(done.files, 'file')} "
        f"of {counted(done.rows, 'row')}, evidence of {counted(done.artefacts, 'incident')} ({size})\n"
    )
    if done.artefacts_left:
        emit(f"evidence of {counted(done.artefacts_left, 'incident')} is left for the next round\n")
    for note in done.notes:
        emit(f"{printable(note)}\n")
