"""What each thread of a process really ran: nanoseconds from the scheduler, whatever a profiler says of it.

A profiler's flag for idle threads can be wrong (py-spy counts all of them as busy in a foreign pid
namespace), so this is the second source: a thread that used no CPU is not hot.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from monitord import procfs, redaction

READ_CAP = 4000  # about 15 µs each
_STARVED = 0.1  # of one core, of a process that wants a turn
BUSY_SHARE = 0.02  # of one core: a thread below that only woke up now and then
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ThreadTimes:
    """One reading: CPU so far, of the whole process in seconds and of each thread in nanoseconds."""

    taken_s: float
    process_s: float | None = None
    threads_ns: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ThreadUse:
    """CPU seconds between two readings. `threads` goes by the ids that the process itself knows (NSpid).

    `process_s` counts threads that ended meanwhile, too. `main_id` is the id of the main thread. `by_lock`:
    the samples to be weighed are only of threads that held Python's lock. `has_idle`: threads that wait were
    sampled, too.
    """

    window_s: float
    process_s: float
    main_id: int
    threads: Mapping[int, float] = field(default_factory=dict)
    by_lock: bool = False
    has_idle: bool = False


def thread_cpu_ns(pid: int) -> dict[int, int]:
    """Read the CPU time of at most READ_CAP threads so far, in nanoseconds (schedstat's first field)."""
    found: dict[int, int] = {}
    try:
        thread_ids = procfs.threads(pid)[:READ_CAP]
    except OSError:
        return found
    for thread_id in thread_ids:
        try:
            found[thread_id] = _cpu_ns(pid, thread_id)
        except (OSError, ValueError, IndexError):
            continue  # ended meanwhile
    return found


def _cpu_ns(pid: int, thread_id: int) -> int:
    try:
        return int(procfs.read(procfs.path(pid, f"task/{thread_id}/schedstat"), 256).split()[0])
    except OSError:  # a kernel without CONFIG_SCHED_INFO
        stat = procfs.stat_of(pid, thread_id)
        if stat is None:
            raise
        return stat.cpu_ticks * _NS_PER_S // procfs.TICKS_PER_S


def read_times(pid: int) -> ThreadTimes:
    """Read the times of all threads now; without `process_s` when the process is gone."""
    stat = procfs.stat_of(pid)
    process_s = stat.cpu_ticks / procfs.TICKS_PER_S if stat else None
    return ThreadTimes(time.monotonic(), process_s, thread_cpu_ns(pid) if stat else {})


def used_between(pid: int, before: ThreadTimes, after: ThreadTimes) -> ThreadUse | None:
    """Return what was used between two readings; None when either is missing."""
    window_s = after.taken_s - before.taken_s
    if before.process_s is None or after.process_s is None or window_s <= 0 or not after.threads_ns:
        return None
    threads = {
        thread_id: (cpu_ns - before.threads_ns.get(thread_id, 0)) / _NS_PER_S
        for thread_id, cpu_ns in after.threads_ns.items()
    }
    # A tick-accounted sum may be older than what the scheduler says of the threads.
    process_s = max(after.process_s - before.process_s, sum(threads.values()))
    own_ids = _own_ids(pid, list(threads))
    return ThreadUse(
        window_s,
        process_s,
        own_ids.get(pid, pid),
        {own_ids.get(thread_id, thread_id): used for thread_id, used in threads.items()},
    )


def _own_ids(pid: int, thread_ids: list[int]) -> dict[int, int]:
    """The ids by which threads of another pid namespace know themselves; empty in our own."""
    if not is_in_pid_namespace(pid):
        return {}
    found = {}
    for thread_id in thread_ids:
        numbers = procfs.status_of(pid, thread_id).get("NSpid", "").split()
        if numbers:
            found[thread_id] = int(numbers[-1])
    return found


def is_in_pid_namespace(pid: int) -> bool:
    """Whether it has a pid namespace of its own, where threads know themselves by other ids than we do."""
    return len(procfs.status_of(pid).get("NSpid", "").split()) > 1


def name_of(pid: int, thread_id: int) -> str:
    """Return the name that a thread has now; empty when it is gone."""
    try:
        name = procfs.read(procfs.path(pid, f"task/{thread_id}/comm"), 64)
        return redaction.redact_name(os.fsdecode(name).strip())
    except OSError:
        return ""


def shares_between(pid: int, before: ThreadTimes, after: ThreadTimes) -> dict[int, float]:
    """What part of the time each thread ran, by the ids that the process knows; empty: nothing is known.

    Where none had a turn (a starved machine), those that wait for one count as busy.
    """
    use = used_between(pid, before, after)
    if use is None:
        return {}
    shares = {own_id: min(1.0, used_s / use.window_s) for own_id, used_s in use.threads.items()}
    if any(share >= BUSY_SHARE for share in shares.values()):
        return shares
    own_ids = _own_ids(pid, list(after.threads_ns))
    return {own_ids.get(one, one): float(_is_runnable(pid, one)) for one in after.threads_ns}


def of_its_turns(pid: int, use: ThreadUse | None) -> ThreadUse | None:
    """Return the shares of a process that wants more turns than it gets, of the time that it got."""
    if use is None or use.process_s >= _STARVED * use.window_s or not wants_a_turn(pid):
        return use
    return replace(use, window_s=max(use.process_s, 1e-6))


def wants_a_turn(pid: int) -> bool:
    """Whether a thread runs or waits for its turn now."""
    try:
        return any(_is_runnable(pid, thread_id) for thread_id in procfs.threads(pid)[:READ_CAP])
    except OSError:
        return False


def _is_runnable(pid: int, thread_id: int) -> bool:
    stat = procfs.stat_of(pid, thread_id)
    return stat is not None and stat.state == "R"


def wanted_by_main_ns(pid: int) -> int | None:
    """What the main thread ran, and waited for its turn on a CPU, so far; None: it can't be known."""
    try:
        ran, waited = procfs.read(procfs.path(pid, "schedstat"), 256).split()[:2]
    except (OSError, ValueError):
        return None
    return int(ran) + int(waited)


def slept_share(before_ns: int | None, after_ns: int | None, seconds: float) -> float:
    """What part of the time it neither ran nor wanted to; 0 where that can't be known."""
    if before_ns is None or after_ns is None or seconds <= 0:
        return 0.0
    return max(0.0, 1 - (after_ns - before_ns) / _NS_PER_S / seconds)
