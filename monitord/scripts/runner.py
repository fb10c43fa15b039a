"""Runs a script under Scalene by its supervisor; the files are gone in every case."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitord.capture.target import start_of
from monitord.errors import MonitordError
from monitord.model import ProcessKey
from monitord.scripts.request import Program, ScriptRequest, resolve
from monitord.scripts.run import Run, RunFolders, RunPlan, ScriptRun, Watcher
from monitord.supervision import Supervised

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
        order = {
            "argv": program.command(folders.profile, memory=plan.memory, is_off=plan.is_off),
            "environment": {**os.environ, "TMPDIR": str(folders.temporary)},
            "folder": str(folders.folder), "temporary": str(folders.temporary),
            "profile": str(folders.profile), "limit_s": math.inf if plan.limit_s is None else plan.limit_s,
            "grace_periods_s": plan.grace_periods_s, "stdout_to_stderr": plan.stdout_to_stderr,
        }  # fmt: skip
        began_s = time.monotonic()
        with Supervised("script", order) as script:
            passed_on = 0
            for message in script.messages(_TICK_S):
                if message is not None and "started" in message:
                    watcher.started(message["started"], folders)
                heard = watcher.heard()
                for _ in range(heard - passed_on):
                    script.tell()
                passed_on = heard
                watcher.tick(time.monotonic() - began_s)
    return _run(script.report, program, time.monotonic() - began_s)


@contextmanager
def _private_folders(given: Path | None) -> Iterator[RunFolders]:
    """Folders that only we may enter (0700). Their supervisor removes them; this does when it could not."""
    try:
        folders = RunFolders(given or _temporary("profile"), _temporary("tmp"))
    except OSError as error:
        raise MonitordError(f"cannot make a temporary folder: {error.strerror or error}") from error
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


def _run(report: dict[str, Any] | None, program: Program, took_s: float) -> Run:
    if report is None:
        raise MonitordError(
            "cannot go on: the supervisor of the script was killed; the script was ended, nothing was kept"
        )
    if report["failure"]:
        raise MonitordError(f"cannot start {program.python}: {report['failure']}")
    return Run(
        report["ended"], report["exit_status"] or 0, report["profile"], took_s, report["cpu_s"],
        report["left_behind"], report["kept_folder"],
    )  # fmt: skip
