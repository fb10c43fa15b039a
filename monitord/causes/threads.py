"""The threads of a target: in which system call each waits, and whether it moved since."""

from __future__ import annotations

from dataclasses import dataclass

from monitord import procfs
from monitord.procfs.system_calls import CALLS

MOST_THREADS = 4000
RUNNING = "running"
_NO_CALL = "-1"


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thread now. `call` is "running", the name of its system call, or its number; "" when not known.

    `ran_ns` is its time on processors so far: the same twice, and it did not move in between. `stack_at`:
    where its stack ends; 0: not known.
    """

    thread_id: int
    name: str
    state: str
    call: str
    arguments: tuple[int, ...]
    has_file: bool
    ran_ns: int | None
    stack_at: int = 0


def read_all(pid: int) -> tuple[int, list[Waiting]]:
    """How many threads there are, and the first 4,000 of them; raises OSError."""
    ids = procfs.threads(pid)
    found = (read(pid, thread_id) for thread_id in ids[:MOST_THREADS])
    return len(ids), [thread for thread in found if thread is not None]


def read(pid: int, thread_id: int) -> Waiting | None:
    """One thread; None when it has ended."""
    ran_ns = ran_ns_of(pid, thread_id)
    stat = procfs.stat_of(pid, thread_id)
    if stat is None:
        return None
    words = procfs.text(procfs.path(pid, f"task/{thread_id}/syscall"), 256).split()
    call, arguments, has_file = _call_in(words)
    stack_at = int(words[7], 16) if arguments and len(words) > 7 else 0
    return Waiting(thread_id, stat.name, stat.state, call, arguments, has_file, ran_ns, stack_at)


def ran_ns_of(pid: int, thread_id: int) -> int | None:
    """Nanoseconds that a thread ran so far; None when it has ended, or the kernel does not count them."""
    words = procfs.text(procfs.path(pid, f"task/{thread_id}/schedstat"), 256).split()
    return int(words[0]) if words else None


def _call_in(words: list[str]) -> tuple[str, tuple[int, ...], bool]:
    """What /proc/PID/task/TID/syscall says: name, six arguments, and whether the first is a descriptor."""
    if not words or words[0] in (RUNNING, _NO_CALL):
        return (RUNNING if words[:1] == [RUNNING] else ""), (), False
    call = CALLS.get(words[0])
    arguments = tuple(int(word, 16) for word in words[1:7])
    return (call.name if call else words[0]), arguments, bool(call and call.has_file and arguments)
