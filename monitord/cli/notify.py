"""`notify test` and `notify desktop`: whether messages arrive, and messages on one's own desktop."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from monitord.actions.notifying import try_receivers
from monitord.cli.context import CliContext, RecorderWatch
from monitord.cli.listing import POLL_S
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


def desktop(context: CliContext) -> None:
    """Show new incidents on this session's desktop until Ctrl-C, also those of the machine's service."""
    from monitord.actions.desktop_messages import show_on_desktop

    watch = RecorderWatch(context.data_dir())
    for shown in show_on_desktop(context.workspace):
        if shown is None:
            watch.tell()
            time.sleep(POLL_S)
        else:
            emit(f"{printable(shown)}\n")
            sys.stdout.flush()
