"""`profile`: a script under Scalene, from its start to its end; nothing is kept unless somebody says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.actions.times import parse_duration
from monitord.cli.context import CliContext
from monitord.cli.export import put as put_file
from monitord.cli.profiles import put
from monitord.cli.script_run import SignalCounter, cleared_progress, end, exit_as, progress, warn_about
from monitord.cli.terminal import say
from monitord.errors import UsageError
from monitord.storage.ids import short_id

if TYPE_CHECKING:
    from monitord.scripts.request import ScriptRequest
    from monitord.scripts.run import RunPlan

_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class _OutputOptions:
    """How the answer is given."""

    as_json: bool
    keeps: bool
    passes_status_on: bool
    document: Path | None = None


def run(
    context: CliContext,
    script: Annotated[str | None, typer.Argument(metavar="SCRIPT", help="The script to run.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="-- ARGS", help="Its arguments.")] = None,
    module: Annotated[
        str | None, typer.Option("-m", "--module", metavar="NAME", help="Run a module, as python -m does.")
    ] = None,
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PATH", help="Which Python runs it; Scalene must be in it."),
    ] = None,
    memory: Annotated[bool, typer.Option("--memory", help="Measure memory, too (slower).")] = False,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="TIME", help='End it after so long: "30s", "5min".')
    ] = None,
    standby: Annotated[
        bool, typer.Option("--standby", help="Start it switched off; the daemon's alerts switch it on.")
    ] = False,
    save: Annotated[bool, typer.Option("--save", help="Keep the profile, like any capture.")] = False,
    document: Annotated[
        Path | None,
        typer.Option("--document", metavar="FILE", help="Also write Scalene's document, as --save keeps it."),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with the script's exit status.")
    ] = False,
    as_json: bool = False,
) -> None:
    """Run a script under Scalene and show its hot lines and functions. Nothing is kept without --save."""
    options = _OutputOptions(as_json, save, exit_code, document)
    from monitord.scripts.request import ScriptRequest
    from monitord.scripts.run import RunPlan

    words = arguments or []
    if module is not None and script is not None:
        words, script = [script, *words], None
    if script is None and module is None:
        raise UsageError(
            "invalid call: expected a script, as in `monitord profile SCRIPT [-- ARGS...]`, or a"
            " module with -m"
        )
    request = ScriptRequest(script or module or "", tuple(words), script is None, python)
    limit_s = _seconds(duration) if duration else None
    if standby:
        if memory or save or limit_s or document or options.as_json:
            raise UsageError(
                "invalid call: expected --standby without --memory, --save, --document, --duration"
                " and -o json"
            )
        _stand_by(context, request, passes_status_on=exit_code)
        return
    _profile(context, request, RunPlan(memory, limit_s=limit_s, stdout_to_stderr=options.as_json), options)


# ---------------------------------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    seconds = parse_duration(text).total_seconds()
    if not 0.5 <= seconds <= _LONGEST_S:
        raise UsageError(f'invalid --duration "{text}": expected 0.5 s to {_LONGEST_S:.0f} s')
    return seconds


def _profile(context: CliContext, request: ScriptRequest, plan: RunPlan, options: _OutputOptions) -> None:
    from monitord.actions import scripts

    sys.stdout.flush()
    with SignalCounter() as heard:
        watcher = progress(heard, request.name)
        with cleared_progress():
            done = scripts.profile(context.recording_workspace, request, plan, watcher, keep=options.keeps)
    warn_about(done.run)
    if done.result is not None:
        if options.document is not None:
            put_file(str(options.document), done.result.payload)
        put(context, done.result, options.as_json)
        if not options.keeps:
            say("nothing was kept, Scalene's file is gone; --save keeps a profile")
        else:
            say(f"kept; see it with: monitord profile show {short_id(done.result.profile_id)}")
    end(done, heard, passes_status_on=options.passes_status_on)


def _stand_by(context: CliContext, request: ScriptRequest, *, passes_status_on: bool) -> None:
    from monitord.actions.scripts import stand_by

    with SignalCounter() as heard:
        run = stand_by(context.recording_workspace, request, lambda: len(heard.numbers))
    warn_about(run)
    sys.stdout.flush()
    exit_as(run.exit_status, heard, passes_status_on=passes_status_on)
