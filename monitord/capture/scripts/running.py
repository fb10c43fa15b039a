"""Runs a script under Scalene by its keeper and gives what came of it; the files are gone in every case."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitord.capture.scripts import keeper
from monitord.capture.scripts.program import Program
from monitord.capture.scripts.standby import PROFILE_NAME
from monitord.errors import MonitordError

_TICK_S = 0.2
_PATIENCE_S = (10.0, 3.0)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """How a script is run. `limit_s` None: until its own end. `folder`: a private one for its profile,
    removed at the end (None: a temporary one). `patience_s`: waits after SIGINT and SIGTERM.
    """

    memory: bool = False
    is_off: bool = False
    limit_s: float | None = None
    stdout_to_stderr: bool = False
    folder: Path | None = None
    patience_s: tuple[float, float] = _PATIENCE_S


@dataclass(frozen=True, slots=True)
class Place:
    """The two private folders of a run: ours, and the script's $TMPDIR, where Scalene makes folders of its
    own.
    """

    folder: Path
    temporary: Path

    @property
    def profile(self) -> Path:
        return self.folder / PROFILE_NAME


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended. `ended`: exited, duration, stopped (it was told to).

    `exit_status` is the script's, negative for a signal; `cpu_s` is what it and its children used. `profile`
    is Scalene's JSON, b"" when it wrote none. `left_behind` counts processes of the script that had to be
    ended; `kept_folder` is where it left files.
    """

    ended: str
    exit_status: int
    profile: bytes
    duration_s: float
    cpu_s: float = 0.0
    left_behind: int = 0
    kept_folder: str | None = None


class Watcher:
    """What happens meanwhile; `heard` says how often somebody asked for the end."""

    def heard(self) -> int:
        return 0

    def started(self, leader: int, place: Place) -> None:
        """It runs: `leader` is the pid of Scalene's first process."""

    def tick(self, elapsed_s: float) -> None:
        """Time goes by."""


def run_script(program: Program, plan: RunPlan, watcher: Watcher) -> Run:
    """Run to its end; raises MonitordError when it can't be started or its keeper died."""
    with _private_folders(plan.folder) as place:
        lifeline_read, lifeline = os.pipe()
        report, report_write = os.pipe()
        order = {
            "argv": program.command(place.profile, memory=plan.memory, is_off=plan.is_off),
            "environment": {"TMPDIR": str(place.temporary)},
            "folder": str(place.folder), "temporary": str(place.temporary), "profile": str(place.profile),
            "lifeline": lifeline_read, "report": report_write, "limit_s": plan.limit_s,
            "patience_s": plan.patience_s, "stdout_to_stderr": plan.stdout_to_stderr,
        }  # fmt: skip
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, json.dumps(order)],
                pass_fds=(lifeline_read, report_write), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(lifeline_read)
            os.close(report_write)
        try:
            answer, profile = _Listener(report, lifeline, place, watcher, began).listen()
        finally:
            os.close(lifeline)  # if we are on our way out by an error, the keeper ends the script now
            os.close(report)
            process.wait()
    return _run(answer, profile, program, time.monotonic() - began)


@contextmanager
def _private_folders(given: Path | None) -> Iterator[Place]:
    """Folders that only we may enter (0700). Their keeper removes them; this does when the keeper could
    not.
    """
    try:
        place = Place(given or _temporary("profile"), _temporary("tmp"))
    except OSError as error:
        raise MonitordError(f"no temporary folder can be made: {error.strerror or error}") from error
    try:
        yield place
    finally:
        shutil.rmtree(place.folder, ignore_errors=True)
        for path in place.temporary.glob("scalene*"):
            shutil.rmtree(path, ignore_errors=True)
        try:
            place.temporary.rmdir()
        except OSError:
            pass  # gone, or the script left files of its own


def _temporary(kind: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"monitord-{kind}-"))


@dataclass(slots=True)
class _Listener:
    """Waits for the keeper's report and passes on, meanwhile, what its owner hears."""

    report: int
    lifeline: int
    place: Place
    watcher: Watcher
    began: float
    passed_on: int = 0

    def listen(self) -> tuple[list[dict[str, Any]], bytes]:
        data = bytearray()
        lines: list[dict[str, Any]] = []
        poller = select.poll()
        poller.register(self.report, select.POLLIN)
        while True:
            if poller.poll(_TICK_S * 1000):
                piece = os.read(self.report, 1 << 20)
                if not piece:
                    break
                data += piece
                while not _is_last(lines) and b"\n" in data:
                    line, _, data = data.partition(b"\n")
                    lines.append(json.loads(line))
                    if "started" in lines[-1]:
                        self.watcher.started(lines[-1]["started"], self.place)
            self._pass_on()
            self.watcher.tick(time.monotonic() - self.began)
        if not _is_last(lines) and lines:
            _kill_group(lines[0]["started"])
        return lines, bytes(data)

    def _pass_on(self) -> None:
        while self.passed_on < self.watcher.heard():
            self.passed_on += 1
            try:
                os.write(self.lifeline, b"end\n")
            except OSError:
                return  # it has ended already


def _is_last(lines: Sequence[dict[str, Any]]) -> bool:
    return bool(lines) and "ended" in lines[-1]


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass  # nobody is left in it


def _run(answer: list[dict[str, Any]], profile: bytes, program: Program, took_s: float) -> Run:
    if not _is_last(answer):
        raise MonitordError(
            "the process that kept the script was killed; the script was ended, nothing was kept"
        )
    last = answer[-1]
    if last["failure"]:
        raise MonitordError(f"{program.python}: can't be started: {last['failure']}")
    whole = profile if len(profile) == last["profile_bytes"] else b""
    status = last["exit_status"]
    return Run(
        last["ended"], 0 if status is None else status, whole, took_s, last["cpu_s"], last["left_behind"],
        last["kept_folder"],
    )  # fmt: skip
