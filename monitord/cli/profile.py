"""`profile`: a script under Scalene, from its start to its end; nothing is kept unless somebody says so."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.place import JsonFlag, OutputFlag, Place, log_to_stderr, wants_json
from monitord.cli.terminal import say
from monitord.cli.times import parse_duration
from monitord.errors import MonitordError, UsageError
from monitord.model import counted
from monitord.storage.ids import short_id

if TYPE_CHECKING:
    from monitord.capture.scripts.program import Wish
    from monitord.capture.scripts.running import Run, RunPlan, Watcher
    from monitord.profiling.result import ProfileResult
    from monitord.profiling.running import Profiled

_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class _Manner:
    """How the answer is given."""

    as_json: bool
    keeps: bool
    passes_status_on: bool
    document: Path | None = None


def run(
    place: Place,
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
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Run a script under Scalene and show its hot lines and functions. Nothing is kept without --save."""
    manner = _Manner(wants_json(output, json), save, exit_code, document)
    from monitord.capture.scripts.program import Wish
    from monitord.capture.scripts.running import RunPlan

    words = arguments or []
    if module is not None and script is not None:
        words, script = [script, *words], None
    if script is None and module is None:
        raise UsageError("name a script: `monitord profile SCRIPT [-- ARGS...]`, or a module with -m")
    wish = Wish(script or module or "", tuple(words), script is None, python)
    limit_s = _seconds(duration) if duration else None
    if standby:
        if memory or save or limit_s or document or manner.as_json:
            raise UsageError(
                "--standby can't be combined with --memory, --save, --document, --duration or -o json"
            )
        from monitord.cli.standby import stand_by

        stand_by(place, wish, passes_status_on=exit_code)
        return
    _profile(place, wish, RunPlan(memory, limit_s=limit_s, stdout_to_stderr=manner.as_json), manner)


# ---------------------------------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    seconds = parse_duration(text).total_seconds()
    if not 0.5 <= seconds <= _LONGEST_S:
        raise UsageError(f'--duration "{text}" must be between 0.5 s and {_LONGEST_S:.0f} s')
    return seconds


def _profile(place: Place, wish: Wish, plan: RunPlan, manner: _Manner) -> None:
    from monitord.profiling.running import profile_script
    from monitord.storage import new_correlation_id

    sys.stdout.flush()
    with Heard() as heard:
        done = profile_script(wish, plan, new_correlation_id, progress(heard, wish.name))
        clear_progress()
        result = _kept(place, done) if manner.keeps and done.result else done.result
    remark(done.run)
    if result is not None:
        from monitord.cli.export import put as put_file
        from monitord.cli.profiles import put

        if manner.document is not None:
            put_file(str(manner.document), result.payload)
        put(place, result, manner.as_json)
        if not manner.keeps:
            say("nothing was kept, Scalene's file is gone; --save keeps a profile")
        else:
            say(f"kept; see it with: monitord profile show {short_id(result.profile_id)}")
    end(done, heard, passes_status_on=manner.passes_status_on)


def _kept(place: Place, done: Profiled) -> ProfileResult:
    """Save it through the same door as every other capture."""
    from monitord.daemon import wiring
    from monitord.daemon.saving import Saving
    from monitord.profiling.library import ProfileLibrary
    from monitord.storage import open_store

    log_to_stderr()
    settings, data_dir = place.config().settings, place.data_dir()
    store = open_store(data_dir)
    try:
        saving = Saving(store, wiring.retention_limits(settings))
        return ProfileLibrary(data_dir).keep(done, saving.save)
    finally:
        store.close()


def remark(run: Run) -> None:
    """What a person should know of the run besides its profile."""
    if run.left_behind:
        count = counted(run.left_behind, "process")
        say(f"the script left {count} running; ended")
    if run.kept_folder:
        say(f"the script left files in its temporary folder; they are still in {run.kept_folder}")
    if run.ended == "stopped" and run.exit_status == -signal.SIGKILL:
        say("the script ignored SIGINT and SIGTERM and was killed")


def end(done: Profiled, heard: Heard, *, passes_status_on: bool) -> None:
    """Leave with the right exit code: the script's own if asked for, else whether there is a profile."""
    status = done.run.exit_status
    if passes_status_on:
        raise typer.Exit(128 - status if status < 0 else status)
    if heard.numbers:
        raise typer.Exit(128 + heard.numbers[0])
    if done.result is None:
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        title = done.program.title
        raise MonitordError(
            f"{title}: no profile: it {how} before Scalene saw its code run; it looks 100 times a second,"
            " and only at code beside the script"
        )


@dataclass(slots=True)
class Heard:
    """SIGINT, SIGTERM and SIGHUP are noted instead of ending the process; use as a context manager."""

    numbers: list[int] = field(default_factory=list)
    _before: dict[int, signal._HANDLER] = field(default_factory=dict)

    def __enter__(self) -> Heard:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.numbers.append(number)
        if sys.stderr.isatty():
            again = "again to hurry" if len(self.numbers) == 1 else "hurrying"
            say(f"\rending the script, reading its profile ({again})")


def progress(heard: Heard, name: str) -> Watcher:
    """Passes on what was heard, and shows a terminal how long it runs."""
    from monitord.capture.scripts.running import Watcher

    class Progress(Watcher):
        shown_s = 0.0

        def heard(self) -> int:
            return len(heard.numbers)

        def tick(self, elapsed_s: float) -> None:
            if sys.stderr.isatty() and elapsed_s - self.shown_s >= 1.0:
                self.shown_s = elapsed_s
                line = f"\r\x1b[Kprofiling {Path(name).name} {elapsed_s:.0f} s"
                print(line, end="", file=sys.stderr, flush=True)  # noqa: T201 - progress is for people

    return Progress()


def clear_progress() -> None:
    """Leave the terminal's line clean."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201 - as above
