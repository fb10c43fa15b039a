"""Single reads of /proc/PID, and what is remembered of one process between passes.

Every function gives None when the process is gone or the reader may not look: both are normal.
"""

from __future__ import annotations

import os
import resource
import sys
import time

from monitord import redaction
from monitord.model import ProcessKey, ProcessSample

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

STAT_BYTES = 478
"""What is read of a stat line: all up to its RSS (field 24), and the bytes object still fits Python's
small allocator (512 with its header)."""

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
        self.path, self.fd = f"{root}/{pid_name}", fd
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
        """Parse proc_pid_stat(5). The name may contain anything, also ') R 1': the last ')' ends it."""
        end = raw.rindex(b")")
        fields = raw[end + 2 :].split(None, 22)
        self.raw = raw
        name = raw[raw.index(b"(") + 1 : end]
        if name != self.raw_name:  # one string a process, not one a look that somebody remembers
            self.name, self.raw_name = redaction.redact_name(os.fsdecode(name)), name
            self.uid_until_s = 0.0  # another program may have another user
        self.state = chr(fields[0][0])
        self.parent_pid = int(fields[1])
        self.cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
        self.children_cpu_s = (int(fields[13]) + int(fields[14])) / TICKS_PER_S
        self.thread_count = int(fields[17])
        self.rss_bytes = int(fields[21]) * _PAGE_BYTES
        if self.read_at_s >= self.uid_until_s:
            self.uid = owner(self.path)
            is_young = uptime_s() - self.key.start_ticks / TICKS_PER_S < UID_FRESH_S
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


def uptime_s() -> float:
    """Seconds since boot, sleep included, as start times count them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def start_ticks(raw: bytes) -> int:
    """Field 22 of a stat line: clock ticks from boot to the start of the process."""
    return int(raw[raw.rindex(b")") + 2 :].split(None, 20)[19])


def key_of(pid: int) -> ProcessKey | None:
    """The process that has this pid now."""
    raw = read_file(f"/proc/{pid}/stat", STAT_BYTES)
    try:
        return None if not raw else ProcessKey(pid, start_ticks(raw))
    except (ValueError, IndexError):
        return None


def read_file(path: str, limit: int) -> bytes | None:
    """Open, read once, close. An empty answer (a process that is just going) counts as gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, limit) or None
    except OSError:
        return None
    finally:
        os.close(fd)


def read_stat(entry: Entry) -> bytes | None:
    """The stat line of this very process, also where its descriptor is not kept open."""
    if entry.fd >= 0:
        try:
            return os.pread(entry.fd, STAT_BYTES, 0)
        except OSError:
            return None
    raw = read_file(f"{entry.path}/stat", STAT_BYTES)
    try:
        return raw if raw and start_ticks(raw) == entry.key.start_ticks else None
    except (ValueError, IndexError):
        return None


def owner(path: str) -> int | None:
    """Effective user of a process: the owner of its folder in /proc, however it was started."""
    try:
        return os.stat(path).st_uid  # noqa: PTH116 - Path.stat costs three times as much, on the hot path
    except OSError:
        return None


def memory_of(pid: int, root: str = "/proc") -> tuple[int, int] | None:
    """Exact RSS, and the part of it that is private (neither a file's nor shared memory), from statm.

    Since Linux 6.2 the RSS of stat lags by some pages per core and is cheaper.
    """
    raw = read_file(f"{root}/{pid}/statm", 128)
    if raw is None:
        return None
    memory = memory_in(raw)
    if memory[0]:
        return memory
    raw = read_file(f"{living_folder(pid, root)}/statm", 128)
    return memory if raw is None else memory_in(raw)


def memory_in(statm: bytes) -> tuple[int, int]:
    """Resident and private bytes in a line of statm."""
    _, resident, shared = map(int, statm.split(None, 3)[:3])
    return resident * _PAGE_BYTES, max(0, resident - shared) * _PAGE_BYTES


def huge_bytes_of(pid: int, root: str = "/proc") -> int:
    """Memory in reserved huge pages, which no resident set counts; 0 where it is not told."""
    raw = read_file(f"{root}/{pid}/status", 4096) or b""
    word = raw.partition(b"\nHugetlbPages:")[2].split(None, 1)[:1]
    return 1024 * int(word[0]) if word and word[0].isdigit() else 0


def living_folder(pid: int, root: str = "/proc") -> str:
    """Where the program of a process is told: its own folder, or a thread's when its main thread has ended.

    A main thread that has ended is a zombie until the others end: no program, no command line, no memory.
    """
    folder = f"{root}/{pid}"
    stat = read_file(f"{folder}/stat", STAT_BYTES) or b""
    if stat.rpartition(b")")[2].split(None, 1)[:1] != [b"Z"]:
        return folder
    try:
        threads = os.listdir(f"{folder}/task")  # noqa: PTH208 - plain names
    except OSError:
        return folder
    return next((f"{folder}/task/{thread}" for thread in threads if thread != str(pid)), folder)


def image_of(pid: int) -> tuple[int, int] | None:
    """Where code and stack begin (fields 26 and 28 of stat): every exec draws them anew."""
    return image_in(read_file(f"/proc/{pid}/stat", 1024) or b"")


def image_in(stat: bytes) -> tuple[int, int] | None:
    """Where code and stack begin, in a whole stat line."""
    fields = stat.rpartition(b")")[2].split(None, 26)
    if len(fields) < 26 or fields[25] == b"0":
        return None  # gone, a kernel thread, or the kernel doesn't tell us
    return int(fields[23]), int(fields[25])


_FIRST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of the kernel: the machine's own


def sees_everybody() -> bool:
    """Whether the processes that we see are all those that the machine's counters count.

    Not in a container, not where /proc hides the others (hidepid), not on macOS without root.
    """
    if sys.platform != "linux":
        return os.geteuid() == 0
    try:
        return os.readlink("/proc/self/ns/pid") == _FIRST_PID_NAMESPACE and bool(os.stat("/proc/1/stat"))  # noqa: PTH115, PTH116
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
    raw = read_file("/proc/self/schedstat", 64)
    try:
        return raw is not None and int(raw.split(None, 1)[0]) > 0
    except (ValueError, IndexError):
        return False


def _kernel_counts_descriptors() -> bool:
    """From Linux 6.2 on, the size of /proc/PID/fd is the number of open descriptors; before, it is 0."""
    try:
        return os.stat("/proc/self/fd").st_size > 0  # noqa: PTH116 - as above
    except OSError:
        return False


_SIZE_IS_COUNT = _kernel_counts_descriptors()


def count_descriptors(pid: int) -> int | None:
    """Open descriptors of a process."""
    try:
        if _SIZE_IS_COUNT:
            return os.stat(f"/proc/{pid}/fd").st_size  # noqa: PTH116 - as above
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - as above
    except OSError:
        return None


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
