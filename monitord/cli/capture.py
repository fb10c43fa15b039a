"""`capture PID`: a profile by hand, with or without a running daemon, kept like any other incident."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions import capturing, incidents
from monitord.actions.again import capture_again
from monitord.actions.times import parse_duration
from monitord.actions.workspace import Workspace
from monitord.cli.context import CliContext
from monitord.cli.rows import recent_table
from monitord.cli.script_run import SignalCounter, cleared_progress, show_progress
from monitord.cli.terminal import emit, emit_json, say, width
from monitord.errors import NotFoundError, UsageError
from monitord.export.shapes import row
from monitord.model import Incident, ProfilerName
from monitord.storage.ids import short_id


def capture(
    context: CliContext,
    pid: Annotated[int | None, typer.Argument(metavar="PID", min=1, help="The process to profile.")] = None,
    again: Annotated[
        str | None,
        typer.Option("--again", metavar="ID", help="What this incident was about, else the next like it."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="TIME", help="With --again: wait so long for one to start."),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="TIME", help='How long: "10s", "1min".')
    ] = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, max=1000, help="Samples a second.")] = None,
    profiler: Annotated[ProfilerName, typer.Option("--profiler", help="Which tool.")] = "auto",
    as_json: bool = False,
) -> None:
    """Profile a process now and keep what it was doing. Ctrl-C ends early and keeps what there is."""
    duration_s = parse_duration(duration).total_seconds() if duration else None
    request = capturing.CaptureRequest(profiler, duration_s, rate)
    within_s = _within_s(pid, again, within)
    with SignalCounter(says="") as heard:

        def goes_on(elapsed_s: float, of_s: float) -> bool:
            show_progress(f"capturing {elapsed_s:4.1f} of {of_s:.0f} s")
            return not heard.numbers

        def waits(seconds: float) -> bool:
            if heard.numbers or time.monotonic() - began_s > within_s:
                return False
            show_progress(
                f"waiting for a process like it: {time.monotonic() - began_s:.0f} s, Ctrl-C ends it"
            )
            time.sleep(seconds)
            return not heard.numbers

        workspace = context.workspace if again is not None else context.recording_workspace
        began_s = time.monotonic()
        with cleared_progress(), ended_by(heard):
            if again is not None:
                incident = capture_again(workspace, again, request, goes_on, waits)
            elif pid is not None:
                incident = capturing.capture_now(workspace, pid, request, goes_on)
    _show(context, workspace, incident, as_json)
    if heard.numbers:
        raise typer.Exit(128 + heard.numbers[0])
    capturing.require_profile(incident)


@contextmanager
def ended_by(heard: SignalCounter) -> Iterator[None]:
    """Who ended the wait need not be told that it was in vain."""
    try:
        yield
    except NotFoundError:
        if heard.numbers:
            raise typer.Exit(128 + heard.numbers[0]) from None
        raise


def _within_s(pid: int | None, again: str | None, within: str | None) -> float:
    """How long to wait for a process like it; raises UsageError where the words contradict each other."""
    if (pid is None) == (again is None):
        raise UsageError(
            "invalid call: expected a process or an incident, as in `monitord capture 4321` or"
            " `monitord capture --again ID`"
        )
    if within is not None and again is None:
        raise UsageError("invalid --within: expected with --again ID")
    return math.inf if within is None else parse_duration(within).total_seconds()


def _show(context: CliContext, workspace: Workspace, incident: Incident, as_json: bool) -> None:
    """The row it made: the incident's best evidence."""
    record = incidents.find(workspace, incident.correlation_id)
    if as_json:
        emit_json(row(record))
        return
    lines = recent_table(
        [record], now=datetime.now(UTC), utc=False, width=width(), style=context.style(), header=True
    )
    for line in lines:
        emit(f"{line}\n")
    sys.stdout.flush()
    say(f"see it with: monitord show {short_id(record.correlation_id)}")
