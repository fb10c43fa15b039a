"""`python -m monitord.actions.companion_errand`: writes the DuckDB file for other tools when it is due.

A child of the recorder. May be killed at any moment: the file is replaced
when the new one is whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from monitord import logs, rights
from monitord.actions.files import write_file
from monitord.actions.querying import companion_file
from monitord.actions.workspace import Workspace
from monitord.children import answer
from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError
from monitord.model import sized
from monitord.ownership import why_untrusted
from monitord.scheduling import TaskResult

_MEMORY_MB = 64  # DuckDB's own, beside what Python and pyarrow take


def main() -> int:
    """Do what is due and print how it went, as JSON."""
    parser = argparse.ArgumentParser(prog="monitord companion")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        done = run(Workspace(arguments.data_dir, arguments.config))
    except NotFoundError as error:
        done = TaskResult("ok", f"nothing to do: {error}")
    except (MonitordError, OSError) as error:
        done = TaskResult("failed", str(error))
    except KeyboardInterrupt:
        done = TaskResult("ok", "left off: the recorder ends")
    answer(done.outcome, done.detail)
    return 0 if done.outcome == "ok" else 1


def run(workspace: Workspace) -> TaskResult:
    """Write the file anew, without secrets and names of people, unless it is young enough."""
    settings = workspace.settings
    logs.configure(settings.log.level, settings.log.style)
    _go_first()
    rights.keep_only(())  # it may ask a bucket
    path = Path(settings.analytics.duckdb_file)
    _check_folder(path)
    if _is_young(path, settings.analytics.duckdb_every_h * 3600):
        return TaskResult("ok", f"{path} is young enough")
    notes: list[str] = []
    told = replace(workspace, tell=lambda line: notes.append(line.removeprefix("monitord: ")))
    with companion_file(told, memory_mb=_MEMORY_MB) as (content, _hidden):
        write_file(path, content)
    size = sized(path.stat().st_size, "disk_bytes")
    return TaskResult("ok", "; ".join([f"wrote {path}, {size}", *dict.fromkeys(notes)]))


def _go_first() -> None:
    """Where memory runs out the kernel ends this, not the recorder beside which it is counted."""
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text("1000")


def _check_folder(path: Path) -> None:
    """Nobody but root and this user may put something else there: other tools trust what it is."""
    reason = why_untrusted(path.parent, owners=frozenset({os.geteuid()}))
    if reason is not None:
        raise PermissionDeniedError(f"cannot write {path}: {reason}; try another folder")


def _is_young(path: Path, every_s: float) -> bool:
    """Whether it was written so lately; one of a clock that went ahead was not."""
    try:
        return 0 <= time.time() - path.lstat().st_mtime < every_s
    except FileNotFoundError:
        return False


def _end_with_parent() -> None:
    """Leave off when stdin is closed: the recorder that holds its other end is gone."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)  # what it has in folders for the time goes, too


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a client's thread that hangs in a network must not hold up the end
