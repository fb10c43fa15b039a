"""Which process uses a socket that several hold: a parent that waits, or the child that works.

Sockets are inherited by fork and handed over by systemd, so that holding one says little. What decides is who
ran long enough to have moved the bytes, who is seen inside a read or write of that descriptor, and who spent
time in the kernel; or nothing does. That a process burns CPU says nothing: it may do so at something else.
"""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitord import procfs
from monitord.procfs import descriptors

Held = dict[int, dict[int, set[int]]]
"""Descriptors by process by inode."""

LOOK_S = 0.3
_LOOKS = 30
_LEAST_NS_A_BYTE = 0.03  # 33 GB/s: nobody copies faster
_MOST_NS_A_BYTE = 5.0  # who spends more in the kernel does something else there
_TICKS_THAT_COUNT = 2
_DECIDED = 0.8  # this share of what was seen is one process's doing
_THREADS_AT_MOST = 64
_THREADS_COUNTED = 4000
_LINKS_AT_MOST = 400_000  # 2 µs each
_PROCESSES_AT_MOST = 64
_A_PART = 1 - _DECIDED
_SENDING: Mapping[str, frozenset[int]] = {  # write writev sendfile sendto sendmsg sendmmsg
    "x86_64": frozenset((1, 20, 40, 44, 46, 307)),
    "aarch64": frozenset((64, 66, 71, 206, 211, 269)),
}
_RECEIVING: Mapping[str, frozenset[int]] = {  # read readv recvfrom recvmsg splice recvmmsg
    "x86_64": frozenset((0, 19, 45, 47, 275, 299)),
    "aarch64": frozenset((63, 65, 207, 212, 76, 243)),
}
Moved = tuple[float, float]
"""Bytes that were sent and received."""


@dataclass(slots=True)
class Activity:
    """What a process did meanwhile: looks that met it moving bytes, its time on CPUs, and that in the kernel.

    `at` are the looks by descriptor, and whether it sent.
    """

    hits: int = 0
    run_ns: int = 0
    system_ticks: int = 0
    at: Counter[tuple[int, bool]] = field(default_factory=Counter)


@dataclass(slots=True)
class Owners:
    """Who uses which socket, and those that share one undecided. `sure`: no other can have."""

    by_inode: dict[int, int] = field(default_factory=dict)
    shared: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sure: set[int] = field(default_factory=set)


def holders(inodes: Iterable[int], kind: str = "socket") -> Held:
    """Every process that holds each of these sockets (or pipes), as far as we may look.

    Nobody, where so many descriptors are open that not all are looked at: another might hold it, too.
    """
    wanted = {f"{kind}:[{inode}]": inode for inode in inodes}
    found: Held = {}
    if not wanted:
        return found
    left = _LINKS_AT_MOST
    for pid in procfs.pids():
        try:
            for descriptor, target in descriptors.links(pid):
                left -= 1
                if target in wanted:
                    found.setdefault(wanted[target], {}).setdefault(pid, set()).add(descriptor)
        except OSError:
            continue  # gone, or may not be read
        if left < 0:
            return {}
    return found


def activity(held: Mapping[int, set[int]], over_s: float) -> dict[int, Activity]:
    """What these processes, 64 at most, did with these descriptors, looked at some times within `over_s`."""
    looked_at = dict(list(held.items())[:_PROCESSES_AT_MOST])
    seen = {pid: Activity() for pid in looked_at}
    before = {pid: (_run_ns(pid), _system_ticks(pid)) for pid in looked_at}
    sending, receiving = (of.get(platform.machine(), frozenset()) for of in (_SENDING, _RECEIVING))
    for _ in range(_LOOKS):
        for pid, used in looked_at.items():
            met = ((call, one) for call, one in _calls(pid) if one in used)
            moving = ((one, call in sending) for call, one in met if call in sending | receiving)
            seen[pid].at.update(moving)
        time.sleep(over_s / _LOOKS)
    for pid, did in seen.items():
        run_ns, system_ticks = before[pid]
        did.hits = did.at.total()
        did.run_ns = max(0, _run_ns(pid) - run_ns)
        did.system_ticks = max(0, _system_ticks(pid) - system_ticks)
    return seen


def chosen(seen: Mapping[int, Activity], moved_bytes: float = 0.0) -> tuple[int, bool] | None:
    """The one that moved the bytes, and whether that is sure; None: nobody, or several may have.

    Sure is what was the only one to run long enough, or was met in nearly all looks that met anybody.
    """
    least_ns = _DECIDED * moved_bytes * _LEAST_NS_A_BYTE
    able = {pid: did for pid, did in seen.items() if did.run_ns > least_ns}
    if len(able) == 1:
        return next(iter(able)), True
    hits = sum(did.hits for did in able.values())
    for pid, did in able.items():
        if did.hits and did.hits >= _DECIDED * hits:
            return pid, True
    if hits:
        return None
    in_kernel = {pid: did.system_ticks for pid, did in able.items() if did.system_ticks}
    pid, ticks = next(iter(in_kernel.items()), (0, 0))
    is_plausible = 1e9 * ticks / procfs.TICKS_PER_S <= moved_bytes * _MOST_NS_A_BYTE
    return (pid, False) if len(in_kernel) == 1 and ticks >= _TICKS_THAT_COUNT and is_plausible else None


def owners(
    held: Held, rates: Mapping[int, Moved] | None = None, over_s: float = LOOK_S, *, doubts: bool = False
) -> Owners:
    """The process that uses each socket; and of those that several share undecided, all of them.

    `rates` are bytes per second, sent and received, by inode, where they are known. `doubts`: who is seen
    to hold one alone is looked at, too. A thread with descriptors of its own, and io_uring, hold sockets that
    nobody sees.
    """
    found = Owners()
    several = {inode: by for inode, by in held.items() if len(by) > 1 or doubts}
    if not doubts:
        found.by_inode = {inode: next(iter(by)) for inode, by in held.items() if len(by) == 1}
        found.sure.update(found.by_inode)
    used: dict[int, set[int]] = {}
    for by in several.values():
        for pid, theirs in by.items():
            used.setdefault(pid, set()).update(theirs)
    seen = activity(used, over_s) if used else {}
    for inode, by in several.items():
        sent, received = (rates or {}).get(inode, (0.0, 0.0))
        choice = _choice(by, seen, (sent * over_s, received * over_s))
        if choice is None and len(by) == 1:
            continue
        if choice is None:
            found.shared[inode] = tuple(sorted(by))
        else:
            found.by_inode[inode] = choice[0]
            if choice[1]:
                found.sure.add(inode)
    return found


def _choice(
    by: Mapping[int, set[int]], seen: Mapping[int, Activity], moved: Moved
) -> tuple[int, bool] | None:
    """Of those that hold one socket, by what was seen at that socket; None also if one was not looked at.

    Who waits in a read did not send. Where much went both ways, one process must have moved both.
    """
    if not by.keys() <= seen.keys():
        return None
    ways = [(True, moved[0]), (False, moved[1])]
    ways = [(is_sent, part) for is_sent, part in ways if part >= _A_PART * sum(moved)]
    each = [{pid: _at(seen[pid], used, is_sent) for pid, used in by.items()} for is_sent, _part in ways]
    choices = [chosen(theirs, part) for theirs, (_is_sent, part) in zip(each, ways, strict=True)]
    found = {choice[0] if choice else None for choice in choices}
    pid = found.pop()
    if pid is None or found:
        return None
    if len(by) == 1:
        return pid, any(theirs[pid].hits for theirs in each)
    return pid, all(choice is not None and choice[1] for choice in choices)


def _at(did: Activity, used: Iterable[int], is_sent: bool) -> Activity:
    """What it did, with the looks that met it sending at these descriptors, or receiving."""
    return Activity(sum(did.at[one, is_sent] for one in used), did.run_ns, did.system_ticks)


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
    told = (procfs.text(f"{task}/schedstat", 256).split() for task in _tasks(pid, _THREADS_COUNTED))
    return sum(int(words[0]) for words in told if words)


def _system_ticks(pid: int) -> int:
    """Field 15 of a stat line: what all threads spent in the kernel."""
    try:
        return int(procfs.split_stat(procfs.read(procfs.path(pid, "stat"), 4096), 13)[1][12])
    except (OSError, IndexError, ValueError):
        return 0


def _tasks(pid: int, most: int = _THREADS_AT_MOST) -> list[str]:
    folder = procfs.path(pid, "task")
    try:
        return [f"{folder}/{name}" for name in procfs.entries(folder)[:most]]
    except OSError:
        return []
