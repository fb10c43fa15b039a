"""What keeps a core busy beside a test, and who was left running by one."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

SESSION = "PYTEST_SESSION_PID"  # in the environment of everything that this session starts
ENDS_S = 60.0  # what ends by itself (an uploader, a supervisor) is given so long


def burn_command(cpu_s: int) -> tuple[str, ...]:
    """A command that burns: one process, so that killing it ends it, and the kernel ends it after `cpu_s`."""
    return ("sh", "-c", f"ulimit -t {cpu_s}; while :; do :; done")


def mark_session() -> None:
    """From now on whatever we start carries our pid, and `orphans` finds it."""
    os.environ[SESSION] = str(os.getpid())


def orphans() -> dict[int, str]:
    """Processes of this session that are nobody's child any more: pid and command line."""
    mark = f"{SESSION}={os.getpid()}\0".encode()
    ours, found = {os.getpid()}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes():
                ours.add(int(entry.name))
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
                found[int(entry.name)] = (parent, (entry / "cmdline").read_bytes().replace(b"\0", b" "))
        except OSError:
            continue  # it ended
    return {
        pid: words.decode("utf-8", "replace") for pid, (parent, words) in found.items() if parent not in ours
    }


def end_orphans(patience_s: float = ENDS_S) -> dict[int, str]:
    """Kill who was left and does not end by itself within `patience_s`; give pid and command line."""
    deadline = time.monotonic() + patience_s
    while (left := orphans()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left
