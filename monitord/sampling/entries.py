"""What is remembered of one process between passes, and what this machine's /proc lets a pass leave out."""

from __future__ import annotations

import os
import resource
import sys
import time

from monitord import redaction
from monitord.model import ProcessKey, ProcessSample
from monitord.procfs import (
    PAGE_BYTES,
    STAT_BYTES,
    TICKS_PER_S,
    age_s,
    owner,
    path,
    read_once,
    start_ticks,
)

UID_FRESH_S = 60.0
"""How long the user of a process is taken to be the same. Of a young one it is asked each time: services
give up root when they begin."""

FORBIDDEN = -2
CLOSED = -1
"""In place of a descriptor: never try again; not kept open."""


class Entry:
    """What is remembered of one process. Mutable and slotted: there is one for each process there is."""

    __slots__ = (
        "children_cpu_s",
        "cpu_s",
        "fd",
        "fd_count",
        "io_at_s",
        "io_fd",
        "io_raw",
        "key",
        "name",
        "parent_pid",
        "path",
        "raw",
        "raw_name",
        "read_at_s",
        "read_bytes",
        "rss_bytes",
        "sched_fd",
        "sched_raw",
        "state",
        "statm_fd",
        "thread_count",
        "uid",
        "uid_until_s",
        "write_bytes",
    )

    def __init__(self, pid_name: str, fd: int, raw: bytes, root: str = "/proc") -> None:
        self.path, self.fd = path(pid_name, root=root), fd
        self.io_fd = self.sched_fd = self.statm_fd = CLOSED
        self.sched_raw = b""
        self.key = ProcessKey(int(pid_name), start_ticks(raw))
        self.read_at_s, self.io_at_s, self.io_raw = time.monotonic(), 0.0, b""
        self.uid_until_s = 0.0
        self.read_bytes: int | None = None
        self.write_bytes: int | None = None
        self.fd_count: int | None = None
        self.name, self.raw_name = "", b""
        self.take(raw)

    def take(self, raw: bytes) -> None:
        """Remember a stat line. Split as by `split_stat`, without its call: this is done for all who work."""
        end = raw.rindex(b")")
        name, fields = raw[raw.index(b"(") + 1 : end], raw[end + 2 :].split(None, 22)
        self.raw = raw
        if name != self.raw_name:  # one string a process, not one a look that somebody remembers
            self.name, self.raw_name = redaction.redact_name(os.fsdecode(name)), name
            self.uid_until_s = 0.0  # another program may have another user
        self.state = chr(fields[0][0])
        self.parent_pid = int(fields[1])
        self.cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
        self.children_cpu_s = (int(fields[13]) + int(fields[14])) / TICKS_PER_S
        self.thread_count = int(fields[17])
        self.rss_bytes = int(fields[21]) * PAGE_BYTES
        if self.read_at_s >= self.uid_until_s:
            self.uid = owner(self.path)
            is_young = age_s(self.key.start_ticks) < UID_FRESH_S
            self.uid_until_s = self.read_at_s + (0.0 if is_young else UID_FRESH_S)

    def take_io(self, raw: bytes) -> None:
        """Parse /proc/PID/io: bytes that really went to or came from storage, since the process began."""
        fields = raw.split(None, 12)
        self.io_raw = raw
        self.read_bytes, self.write_bytes = int(fields[9]), int(fields[11])

    def sample(self) -> ProcessSample:
        return ProcessSample(
            key=self.key,
            parent_pid=self.parent_pid,
            name=self.name,
            state=self.state,
            cpu_s=self.cpu_s,
            rss_bytes=self.rss_bytes,
            thread_count=self.thread_count,
            uid=self.uid,
            read_bytes=self.read_bytes,
            write_bytes=self.write_bytes,
            fd_count=self.fd_count,
            children_cpu_s=self.children_cpu_s,
        )


def read_stat(entry: Entry) -> bytes | None:
    """The stat line of this very process, also where its descriptor is not kept open."""
    if entry.fd >= 0:
        try:
            return os.pread(entry.fd, STAT_BYTES, 0)
        except OSError:
            return None
    raw = read_once(f"{entry.path}/stat", STAT_BYTES)
    try:
        return raw if raw and start_ticks(raw) == entry.key.start_ticks else None
    except (ValueError, IndexError):
        return None


_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel: the machine's own


def sees_everybody() -> bool:
    """Whether the processes that we see are all those that the machine's counters count.

    Not in a container, not where /proc hides the others (hidepid), not on macOS without root.
    """
    if sys.platform != "linux":
        return os.geteuid() == 0
    try:
        return os.readlink("/proc/self/ns/pid") == _FIRST_PID_NAMESPACE and bool(os.stat(path(1, "stat")))  # noqa: PTH115, PTH116
    except OSError:
        return False


def birth_mark(loadavg: bytes) -> bytes:
    """Number of tasks and the last number given out, from /proc/loadavg.

    As long as it stands still nobody was born here. (A restorer may choose a number without moving the
    last one; then the number of tasks moves, unless somebody left: the next thorough pass finds it.)
    """
    return loadavg.partition(b"/")[2]


def kernel_counts_runs() -> bool:
    """Whether /proc/PID/schedstat is filled (CONFIG_SCHED_INFO): we run, so our own can't be zero then."""
    raw = read_once("/proc/self/schedstat", 64)
    try:
        return raw is not None and int(raw.split(None, 1)[0]) > 0
    except (ValueError, IndexError):
        return False


def raise_descriptor_limit() -> int:
    """Raise the soft RLIMIT_NOFILE to the hard one (2^20 at most) and return what can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else min(hard, 1 << 20)
    if soft != resource.RLIM_INFINITY and soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted
