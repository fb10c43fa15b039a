"""Reads of /proc that are bounded in size and, where the kernel can make a reader wait, in time.

Everything read here is an attacker's bytes: names may hold blanks, brackets, newlines, anything.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in include/linux/sched.h


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that capture needs (proc(5)); times in clock ticks.

    `image` is where code and stack begin: randomised by every exec, and zero without ptrace rights.
    """

    name: str
    state: str
    parent_pid: int
    flags: int
    cpu_ticks: int
    thread_count: int
    start_ticks: int
    image: tuple[int, int]

    @property
    def is_kernel_thread(self) -> bool:
        return bool(self.flags & KERNEL_THREAD)


def parse_stat(data: bytes) -> Stat:
    """Split at the *last* bracket: a process may call itself "a) S 1 1"."""
    head, _, tail = data.rpartition(b")")
    fields = tail.split()
    return Stat(
        name=head.partition(b"(")[2].decode("utf-8", "surrogateescape"),
        state=fields[0].decode("ascii", "replace"),
        parent_pid=int(fields[1]),
        flags=int(fields[6]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        thread_count=int(fields[17]),
        start_ticks=int(fields[19]),
        image=(int(fields[23]), int(fields[25])),
    )


def read(path: str, cap_bytes: int = 65536) -> bytes:
    """At most `cap_bytes` of a file; raises OSError."""
    with open(path, "rb", buffering=0) as file:
        data = bytearray()
        while len(data) < cap_bytes and (piece := file.read(cap_bytes - len(data))):
            data += piece
    return bytes(data)


def link(path: str) -> str:
    """Where a link points, byte for byte: read, never followed; raises OSError."""
    return os.readlink(path)  # noqa: PTH115 - a Path would tidy up what the kernel wrote


def entries(path: str) -> list[str]:
    """The names in a folder of /proc; raises OSError."""
    return os.listdir(path)  # noqa: PTH208 - thousands of names, read often: no Path objects


def stat_of(pid: int) -> Stat | None:
    """None: no such process."""
    try:
        return parse_stat(read(f"/proc/{pid}/stat", 4096))
    except (OSError, IndexError, ValueError):
        return None


def status_of(pid: int, thread_id: int | None = None) -> dict[str, str]:
    """/proc/PID/status, or that of one of its threads, as words; empty when it is gone."""
    folder = f"/proc/{pid}" if thread_id is None else f"/proc/{pid}/task/{thread_id}"
    try:
        text = read(f"{folder}/status", 16384).decode("utf-8", "surrogateescape")
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))}


def read_within(path: str, seconds: float, cap_bytes: int) -> bytes | None:
    """A file that may keep its reader waiting (maps needs the target's memory lock); None when it did.

    None on an error, too. The waiting thread is left behind: it ends when the kernel lets it go.
    """
    found: list[bytes] = []

    def attempt() -> None:
        try:
            found.append(read(path, cap_bytes))
        except OSError:
            return

    try_for(seconds, attempt, "capture-read")
    return found[0] if found else None


def try_for(seconds: float, work: Callable[[], None], name: str) -> None:
    """Wait that long for work that the kernel may hold up. It goes on alone, if it is not done then.

    Where no thread can be started (a full group of processes) nothing is done, as if it were held up.
    """
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:  # what Python raises then has no class of its own
        return
    thread.join(seconds)
