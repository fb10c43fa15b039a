"""What `capture` and `profile` share: signals counted, progress shown, the run's end told."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from monitord.cli.terminal import say
from monitord.errors import MonitordError
from monitord.model import counted

if TYPE_CHECKING:
    from monitord.scripts.run import Run, ScriptRun, Watcher


def warn_about(run: Run) -> None:
    """What a person should know of the run besides its profile."""
    if run.exit_status is None:
        say("the script could not be killed, it hangs in the kernel; it may still run")
    if run.left_behind:
        count = counted(run.left_behind, "process")
        say(f"the script left {count} running; ended")
    if run.kept_folder:
        say(f"the script left files in its temporary folder; they are still in {run.kept_folder}")
    if run.ended == "stopped" and run.exit_status == -signal.SIGKILL:
        say("the script ignored SIGINT and SIGTERM and was killed")


def end(done: ScriptRun, heard: SignalCounter, *, passes_status_on: bool) -> None:
    """Leave with the right exit code: the script's own if asked for, else whether there is a profile."""
    status = done.run.exit_status
    exit_as(status, heard, passes_status_on=passes_status_on)
    if done.result is None:
        title = done.program.title
        raise MonitordError(
            f"cannot profile {title}: it {_told(status)} before Scalene saw its code run; it looks"
            " 100 times a second, and only at code beside the script"
        )


def _told(status: int | None) -> str:
    if status is None:
        return "could not be killed, and hung"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def exit_as(status: int | None, heard: SignalCounter, *, passes_status_on: bool) -> None:
    """Leave with the script's own exit code if asked for, or as the signal that was heard; else return."""
    if passes_status_on:
        status = -signal.SIGKILL if status is None else status
        raise typer.Exit(128 - status if status < 0 else status)
    if heard.numbers:
        raise typer.Exit(128 + heard.numbers[0])


@dataclass(slots=True)
class SignalCounter:
    """SIGINT, SIGTERM and SIGHUP are noted instead of ending the process; use as a context manager.

    `says` is what a person at a terminal is told at each.
    """

    says: str = "ending the script, reading its profile"
    numbers: list[int] = field(default_factory=list)
    _before: dict[int, signal._HANDLER] = field(default_factory=dict)

    def __enter__(self) -> SignalCounter:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # under nohup
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.numbers.append(number)
        if self.says and sys.stderr.isatty():
            again = "again to hurry" if len(self.numbers) == 1 else "hurrying"
            say(f"\r{self.says} ({again})")


def progress(heard: SignalCounter, name: str) -> Watcher:
    """Passes on what was heard, and shows a terminal how long it runs."""
    from monitord.scripts.run import Watcher

    class Progress(Watcher):
        shown_s = 0.0

        def stop_requests(self) -> int:
            return len(heard.numbers)

        def tick(self, elapsed_s: float) -> None:
            if elapsed_s - self.shown_s >= 1.0:
                self.shown_s = elapsed_s
                show_progress(f"profiling {Path(name).name} {elapsed_s:.0f} s")

    return Progress()


@contextmanager
def cleared_progress() -> Iterator[None]:
    """Leave the terminal's last line clean after the block, however it ends."""
    try:
        yield
    finally:
        show_progress("")


def show_progress(text: str) -> None:
    """Put a text in the place of the terminal's last line; an empty one leaves it clean."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)  # noqa: T201 - it is for people
