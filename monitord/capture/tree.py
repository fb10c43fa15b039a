"""Which process of a family burns: launchers, shells and supervisors are never the culprit themselves."""

from __future__ import annotations

import time

from monitord import procfs
from monitord.capture.target import ON_LINUX, psutil, start_of
from monitord.errors import NotFoundError
from monitord.model import ProcessKey

_Look = dict[int, tuple[int, int, float]]  # pid → parent, start ticks, CPU seconds


def find_burning(pid: int, over_s: float = 0.3) -> ProcessKey:
    """The descendant of `pid` that uses most CPU over `over_s` seconds; itself when none uses more.

    Raises NotFoundError when there is no such process.
    """
    start = start_of(pid)
    if start is None:
        raise NotFoundError(f"cannot find process {pid}")
    before = _look()
    time.sleep(over_s)
    after = _look()
    best, best_s = ProcessKey(pid, start), _used(before, after, pid)
    for child in _descendants(after, pid):
        used_s = _used(before, after, child)
        if used_s > best_s:
            best, best_s = ProcessKey(child, after[child][1]), used_s
    return best


def _used(before: _Look, after: _Look, pid: int) -> float:
    """CPU seconds between two looks; a process that is new has used all it has."""
    if pid not in after:
        return 0.0
    known = before.get(pid)
    return after[pid][2] - (known[2] if known and known[1] == after[pid][1] else 0.0)


def _descendants(look: _Look, root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in look.items():
        children.setdefault(parent, []).append(pid)
    found, waiting = set[int](), [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found - {root}


def _look() -> _Look:
    return _look_in_proc() if ON_LINUX else _look_by_psutil()


def _look_in_proc() -> _Look:
    found: _Look = {}
    for pid in procfs.pids():
        if (stat := procfs.stat_of(pid)) is not None:
            found[pid] = (stat.parent_pid, stat.start_ticks, stat.cpu_ticks / procfs.TICKS_PER_S)
    return found


def _look_by_psutil() -> _Look:
    found: _Look = {}
    for process in psutil.process_iter():
        try:
            times = process.cpu_times()
            start = int(process.create_time() * 1000)
            found[process.pid] = (process.ppid(), start, times.user + times.system)
        except psutil.Error:
            continue  # ended, or not ours to read
    return found
