"""A cgroup of its own for each profiler, where one can be made: what it forks can't leave it.

Version 2 first (also on hybrid hosts, where it may be mounted at /sys/fs/cgroup/unified), then version 1's
pids or systemd hierarchy. None when neither may be written to: the supervisor's sweep does the work then.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from monitord import procfs
from monitord.procfs import cgroups
from monitord.supervision.supervisor import kill_cgroup

_OURS = ("", "pids", "name=systemd")  # controllers whose groups hold what forks; version 2 has no name
_PREFIX = "monitord-capture-"
_numbers = itertools.count(1)


def make_cgroup() -> Path | None:
    """A fresh, empty cgroup beneath the one this process is in; empty ones of dead daemons are removed."""
    for parent in _parents():
        path = parent / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        try:
            _remove_stale(parent)
            path.mkdir(mode=0o700)
        except OSError:
            continue
        _bound(path)
        return path
    return None


def end_cgroup(path: Path) -> bool:
    """Kill what is in it and remove it; False when something could not be killed within a second."""
    end = time.monotonic() + 1.0
    while True:
        kill_cgroup(str(path))
        try:
            path.rmdir()
            return True
        except FileNotFoundError:
            return True
        except OSError:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)  # killed processes leave the cgroup when they are reaped


def _parents() -> list[Path]:
    """Where this process's own cgroup lies, best hierarchy first."""
    paths, here = cgroups.memberships(procfs.text("/proc/self/cgroup")), cgroups.mounted_here()
    found = [Path(folder) for name in _OURS for folder in cgroups.folders_of(name, paths, here)[:1]]
    return [folder for folder in found if folder.is_dir()]


def _bound(path: Path) -> None:
    for name, limit in (("pids.max", "256"), ("memory.max", str(2 * 1024**3))):
        try:
            (path / name).write_text(limit)
        except OSError:
            continue  # that controller is not switched on here


def _remove_stale(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        owner = path.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(procfs.path(owner)).exists():
            try:
                path.rmdir()
            except OSError:
                continue
