"""Runs a script under Scalene by its supervisor; the files are gone in every case."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    done = ScriptRun(program, run_script(program, plan, watcher or Watcher()))
    if done.run.profile:
        from monitord.scripts.result_reader import result_of

        done.result = result_of(done, new_id)
    return done


def run_script(program: Program, plan: RunPlan, watcher: Watcher) -> Run:
    """Run to its end; raises MonitordError when it can't be started or its supervisor died."""
    with _private_folders(plan.folder) as folders:
        began_at, began_s, target = datetime.now(UTC), time.monotonic(), ProcessKey(0, 0)
        with Supervised("script", _order(program, plan, folders)) as script:
            stops = 0
            for message in script.messages(_TICK_S):
                if message is not None and "started" in message:
                    target = ProcessKey(message["started"], start_of(message["started"]) or 0)
                    watcher.started(target.pid, folders)
                    if not plan.is_off:
                        import monitord.scripts.result_reader  # noqa: F401  now, while nobody waits for it
                for _ in range(watcher.stop_requests() - stops):
                    script.stop()
                    stops += 1
                watcher.tick(time.monotonic() - began_s)
    report = _checked(script.report, program)
    return Run(
        report["ended"], report["exit_status"], report["profile"], target, began_at,
        time.monotonic() - began_s, report["cpu_s"], report["left_behind"], report["kept_folder"],
    )  # fmt: skip


def _order(program: Program, plan: RunPlan, folders: RunFolders) -> dict[str, Any]:
    return {
        "argv": program.command(folders.profile, memory=plan.memory, is_off=plan.is_off),
        "environment": {**os.environ, "TMPDIR": str(folders.temporary)},
        "folder": str(folders.folder), "temporary": str(folders.temporary), "profile": str(folders.profile),
        "limit_s": math.inf if plan.limit_s is None else plan.limit_s,
        "grace_periods_s": plan.grace_periods_s, "stdout_to_stderr": plan.stdout_to_stderr,
    }  # fmt: skip


def _checked(report: dict[str, Any] | None, program: Program) -> dict[str, Any]:
    if report is None:
        raise MonitordError(
            "cannot go on: the supervisor of the script was killed; the script was ended, nothing was kept"
        )
    if report["failure"]:
        raise MonitordError(f"cannot start {program.python}: {report['failure']}")
    return report


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
