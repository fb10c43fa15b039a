"""`notify test`: whether messages arrive."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from monitord.actions.notifying import try_receivers
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json
from monitord.errors import MonitordError
from monitord.model import counted
from monitord.redaction import printable


def send_test(
    context: CliContext,
    name: Annotated[
        str | None, typer.Argument(metavar="RECEIVER", help="Only this one; else every one.")
    ] = None,
    as_json: bool = False,
) -> None:
    """Send a test message to the configured receivers now, and say which took it; exit 1 unless all did."""
    trials = []
    for trial in try_receivers(context.workspace, name):
        trials.append(trial)
        if not as_json:
            where = f" {trial.url}" if trial.url else ""
            said = "sent" if trial.error is None else f"failed: {trial.error}"
            emit(f"{printable(f'{trial.name} ({trial.kind}{where}): {said}')}\n")
            sys.stdout.flush()
    if as_json:
        emit_json([asdict(trial) for trial in trials])
    failed = [trial.name for trial in trials if trial.error is not None]
    if failed:
        raise MonitordError(f"{counted(len(failed), 'receiver')} took no message: {', '.join(failed)}")
