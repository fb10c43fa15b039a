"""Which process uses a socket that several hold: a parent that waits, or the child that works.

Sockets are inherited by fork and handed over by systemd, so that holding one says little. What decides is who
is seen inside a read or a write of that descriptor, else who ran on a processor meanwhile; or nothing does.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitord import procfs
from monitord.procfs import descriptors

Held = dict[int, dict[int, set[int]]]
"""Descriptors by process by inode."""

_LOOKS = 15
_DECIDED = 0.8  # this share of what was seen is one process's doing
_THREADS_AT_MOST = 64
_PROCESSES_AT_MOST = 64
_MOVING_CALLS: Mapping[str, frozenset[int]] = {
    # read write readv writev sendfile sendto recvfrom sendmsg recvmsg splice recvmmsg sendmmsg
    "x86_64": frozenset((0, 1, 19, 20, 40, 44, 45, 46, 47, 275, 299, 307)),
    "aarch64": frozenset((63, 64, 65, 66, 71, 206, 207, 211, 212, 76, 243, 269)),
}


@dataclass(slots=True)
class Activity:
    """What a process did in some tenths of a second: looks that met it moving bytes, and its time on CPUs."""

    hits: int = 0
    run_ns: int = 0


def holders(inodes: Iterable[int], kind: str = "socket") -> Held:
    """Every process that holds each of these sockets (or pipes), as far as we may look."""
    wanted = {f"{kind}:[{inode}]": inode for inode in inodes}
    found: Held = {}
    if not wanted:
        return found
    for pid in procfs.pids():
        try:
            for descriptor, target in descriptors.links(pid):
                if target in wanted:
                    found.setdefault(wanted[target], {}).setdefault(pid, set()).add(descriptor)
        except OSError:
            continue  # gone, or may not be read
    return found


def activity(held: Mapping[int, set[int]], over_s: float) -> dict[int, Activity]:
    """What these processes did with these descriptors, looked at some times within `over_s`."""
    looked_at = dict(list(held.items())[:_PROCESSES_AT_MOST])
    seen = {pid: Activity() for pid in looked_at}
    before = {pid: _run_ns(pid) for pid in looked_at}
    moving = _MOVING_CALLS.get(platform.machine(), frozenset())
    for _ in range(_LOOKS):
        for pid, used in looked_at.items():
            seen[pid].hits += sum(call in moving and descriptor in used for call, descriptor in _calls(pid))
        time.sleep(over_s / _LOOKS)
    for pid, did in seen.items():
        did.run_ns = max(0, _run_ns(pid) - before[pid])
    return seen


def chosen(seen: Mapping[int, Activity]) -> int | None:
    """The one that did nearly all of it; None: nobody, or several."""
    hits = {pid: did.hits for pid, did in seen.items()}
    decisive = hits if any(hits.values()) else {pid: did.run_ns for pid, did in seen.items()}
    most = max(decisive.values(), default=0)
    if most == 0 or most < _DECIDED * sum(decisive.values()):
        return None
    return next(pid for pid, amount in decisive.items() if amount == most)


def hidden_count() -> int:
    """Of how many processes we may not see what they hold."""
    hidden = 0
    for pid in procfs.pids():
        try:
            procfs.entries(procfs.path(pid, "fd"))
        except PermissionError:
            hidden += 1
        except OSError:
            continue  # gone meanwhile
    return hidden


def _calls(pid: int) -> list[tuple[int, int]]:
    """The system call that each thread is in, and its first argument."""
    found = []
    for task in _tasks(pid):
        words = procfs.text(f"{task}/syscall", 256).split()
        if len(words) > 2:  # "running" or "-1 …" otherwise
            found.append((int(words[0]), int(words[1], 16)))
    return found


def _run_ns(pid: int) -> int:
    """Nanoseconds on CPUs of all threads; the kernel's ticks would be too coarse for tenths of a second."""
    told = (procfs.text(f"{task}/schedstat", 256).split() for task in _tasks(pid))
    return sum(int(words[0]) for words in told if words)


def _tasks(pid: int) -> list[str]:
    folder = procfs.path(pid, "task")
    try:
        return [f"{folder}/{name}" for name in procfs.entries(folder)[:_THREADS_AT_MOST]]
    except OSError:
        return []
