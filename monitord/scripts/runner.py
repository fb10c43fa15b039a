"""Runs a script under Scalene by its supervisor; the files are gone in every case."""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.capture.target import start_of
from monitord.errors import MonitordError
from monitord.model import ProcessKey
from monitord.scripts import supervisor
from monitord.scripts.request import Program, ScriptRequest, resolve
from monitord.scripts.run import Run, RunFolders, RunPlan, ScriptRun, Watcher

_TICK_S = 0.2


def profile_script(
    request: ScriptRequest, plan: RunPlan, new_id: Callable[[], str], watcher: Watcher | None = None
) -> ScriptRun:
    """Run a script under Scalene and read what it says; raises MonitordError when it can't be run.

    ProfileError when Scalene wrote something unreadable. A script that fails raises nothing.
    """
    program = resolve(request)
    noting = _Noting(watcher or Watcher())
    began_at = datetime.now(UTC)
    run = run_script(program, plan, noting)
    done = ScriptRun(program, run, noting.target, began_at)
    if run.profile:
        from monitord.scripts.result_reader import result_of

        done.result = result_of(done, new_id)
    return done


@dataclass(slots=True)
class _Noting(Watcher):
    """Passes on what the caller's watcher wants to know, and notes which process it was."""

    inner: Watcher
    target: ProcessKey = field(default=ProcessKey(0, 0))

    def heard(self) -> int:
        return self.inner.heard()

    def started(self, leader: int, folders: RunFolders) -> None:
        import monitord.scripts.result_reader  # noqa: F401  here, while the script runs, nobody waits for it

        self.target = ProcessKey(leader, start_of(leader) or 0)
        self.inner.started(leader, folders)

    def tick(self, elapsed_s: float) -> None:
        self.inner.tick(elapsed_s)


def run_script(program: Program, plan: RunPlan, watcher: Watcher) -> Run:
    """Run to its end; raises MonitordError when it can't be started or its supervisor died."""
    with _private_folders(plan.folder) as folders:
        lifeline_read, lifeline = os.pipe()
        report, report_write = os.pipe()
        order = {
            "argv": program.command(folders.profile, memory=plan.memory, is_off=plan.is_off),
            "environment": {"TMPDIR": str(folders.temporary)},
            "folder": str(folders.folder), "temporary": str(folders.temporary),
            "profile": str(folders.profile),
            "lifeline": lifeline_read, "report": report_write, "limit_s": plan.limit_s,
            "grace_periods_s": plan.grace_periods_s, "stdout_to_stderr": plan.stdout_to_stderr,
        }  # fmt: skip
        began = time.monotonic()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(order)],
                pass_fds=(lifeline_read, report_write), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(lifeline_read)
            os.close(report_write)
        try:
            answer, profile = _Listener(report, lifeline, folders, watcher, began).listen()
        finally:
            os.close(lifeline)  # if we are on our way out by an error, the supervisor ends the script now
            os.close(report)
            process.wait()
    return _run(answer, profile, program, time.monotonic() - began)


@contextmanager
def _private_folders(given: Path | None) -> Iterator[RunFolders]:
    """Folders that only we may enter (0700). Their supervisor removes them; this does when it could not."""
    try:
        folders = RunFolders(given or _temporary("profile"), _temporary("tmp"))
    except OSError as error:
        raise MonitordError(f"no temporary folder can be made: {error.strerror or error}") from error
    try:
        yield folders
    finally:
        shutil.rmtree(folders.folder, ignore_errors=True)
        for path in folders.temporary.glob("scalene*"):
            shutil.rmtree(path, ignore_errors=True)
        try:
            folders.temporary.rmdir()
        except OSError:
            pass  # gone, or the script left files of its own


def _temporary(kind: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"monitord-{kind}-"))


@dataclass(slots=True)
class _Listener:
    """Waits for the supervisor's report and passes on, meanwhile, what its owner hears."""

    report: int
    lifeline: int
    folders: RunFolders
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
                        self.watcher.started(lines[-1]["started"], self.folders)
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
