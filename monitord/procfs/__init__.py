"""What /proc says of a process (and /sys of CPUs), read and parsed once for all rooms. Linux.

Reads are bounded in size and, where the kernel can make a reader wait, in time. A process that is gone is
normal. Everything read here is an attacker's bytes: names may hold blanks, brackets, newlines, anything.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from monitord.model import ProcessKey

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in include/linux/sched.h

STAT_BYTES = 478
"""What a pass reads of a stat line: all up to its RSS (field 24), and the bytes object still fits Python's
small allocator (512 with its header)."""

# ------------------------------------------------------------------------------------------ reading


def path(pid: int | str, name: str = "", root: str = "/proc") -> str:
    """Where a file of a process is; without a name its folder.

    Only children that import nothing of ours spell it themselves.
    """
    return f"{root}/{pid}/{name}" if name else f"{root}/{pid}"


def read(path: str, cap_bytes: int = 65536) -> bytes:
    """At most `cap_bytes` of a file; raises OSError."""
    with open(path, "rb", buffering=0) as file:
        data = bytearray()
        while len(data) < cap_bytes and (piece := file.read(cap_bytes - len(data))):
            data += piece
    return bytes(data)


def read_once(path: str, limit: int) -> bytes | None:
    """Open, read once, close: half the price of `read`. None when it can't be read, or is empty."""
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


def text(path: str, cap_bytes: int = 16384) -> str:
    """A file as text, without blanks at its ends; empty when it can't be read."""
    try:
        return os.fsdecode(read(path, cap_bytes)).strip()
    except OSError:
        return ""


def table(text: str) -> dict[str, str]:
    """Lines of `KEY: VALUE`, as in status, meminfo and smaps_rollup."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.split("\n"))}


def numbers(text: str) -> dict[str, int]:
    """Those lines of `KEY: VALUE` whose value is a number, as in io."""
    return {key: int(value) for key, value in table(text).items() if value.isascii() and value.isdigit()}


def arguments(cmdline: bytes) -> tuple[str, ...]:
    """They end in NUL; a process that rewrites its title may leave out the last one, or add many."""
    words = cmdline.rstrip(b"\0")
    return tuple(os.fsdecode(word) for word in words.split(b"\0")) if words else ()


def link(path: str) -> str:
    """Where a link points, byte for byte: read, never followed; raises OSError."""
    return os.readlink(path)  # noqa: PTH115 - a Path would tidy up what the kernel wrote


def entries(path: str) -> list[str]:
    """The names in a folder; raises OSError."""
    return os.listdir(path)  # noqa: PTH208 - thousands of names, read often: no Path objects


def pids() -> list[int]:
    """The processes that are there; raises OSError."""
    return [int(name) for name in entries("/proc") if name.isdigit()]


def threads(pid: int) -> list[int]:
    """The threads of a process; raises OSError."""
    return [int(name) for name in entries(path(pid, "task"))]


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


def uptime_s() -> float:
    """Seconds since boot by a clock that goes on in suspend, as start times count them.

    On macOS that is CLOCK_MONOTONIC (clock_gettime(3)), while Python's monotonic clock stands still.
    """
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def online_cpus() -> tuple[int, ...]:
    """As /sys/devices/system/cpu/online lists them, "0-3,5"; else as many as Python counts."""
    listed = read_once("/sys/devices/system/cpu/online", 16384) or b""
    try:
        return cpus_in(listed.decode("ascii"))
    except ValueError:
        return tuple(range(os.cpu_count() or 1))


def cpu_turn(cpu: int) -> int:
    """Another number each time that this CPU was switched on, in a resume from suspend, too; 0: not known.

    The kernel makes this folder anew then, and no other trace of a CPU that was away for a moment is left.
    """
    try:
        return os.stat(f"/sys/devices/system/cpu/cpu{cpu}/topology").st_ino  # noqa: PTH116 - asked every 4 s of each
    except OSError:
        return 0


def cpus_in(listed: str) -> tuple[int, ...]:
    """The numbers of a list of the kernel's; raises ValueError."""
    found: list[int] = []
    for part in listed.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def boot_id() -> str | None:
    """Which boot of the machine this is: pids and start ticks are of one. None where it is not known."""
    return text("/proc/sys/kernel/random/boot_id", 64) or None


# --------------------------------------------------------------------------------------------- stat


@dataclass(frozen=True, slots=True)
class Stat:
    """Fields of /proc/PID/stat (proc_pid_stat(5)), also of a thread's; times in clock ticks.

    `image` is where code and stack begin: randomised by every exec, and zero without ptrace rights.
    """

    name: str
    state: str
    parent_pid: int
    flags: int
    cpu_ticks: int
    thread_count: int
    start_ticks: int
    virtual_bytes: int
    image: tuple[int, int]

    @property
    def is_kernel_thread(self) -> bool:
        return bool(self.flags & KERNEL_THREAD)


def split_stat(line: bytes, count: int = -1) -> tuple[bytes, list[bytes]]:
    """The name in a stat line, and the fields behind it: the first, its state, is field 3 of the manual.

    Split at the *last* bracket: a process may call itself "a) S 1 1". `count` splits are made, -1: all.
    Raises ValueError for another text.
    """
    end = line.rindex(b")")
    return line[line.index(b"(") + 1 : end], line[end + 2 :].split(None, count)


def parse_stat(line: bytes) -> Stat:
    """All of a stat line; raises ValueError or IndexError for another text, or a part of one."""
    name, fields = split_stat(line)
    return Stat(
        name=os.fsdecode(name),
        state=fields[0].decode("ascii", "replace"),
        parent_pid=int(fields[1]),
        flags=int(fields[6]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        thread_count=int(fields[17]),
        start_ticks=int(fields[19]),
        virtual_bytes=int(fields[20]),
        image=(int(fields[23]), int(fields[25])),
    )


def start_ticks(line: bytes) -> int:
    """Field 22 of a stat line, which may be cut behind it: clock ticks from boot to the process's start."""
    return int(split_stat(line, 20)[1][19])


def age_s(start_ticks: int) -> float:
    """Seconds since a process began; good to a tick or two."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / TICKS_PER_S


def stat_of(pid: int, thread_id: int | None = None) -> Stat | None:
    """A process now, or one of its threads; None: there is none."""
    line = read_once(path(pid, "stat" if thread_id is None else f"task/{thread_id}/stat"), 4096)
    try:
        return None if line is None else parse_stat(line)
    except (IndexError, ValueError):
        return None


def key_of(pid: int) -> ProcessKey | None:
    """The process that has this pid now."""
    line = read_once(path(pid, "stat"), STAT_BYTES)
    try:
        return None if line is None else ProcessKey(pid, start_ticks(line))
    except (ValueError, IndexError):
        return None


def image_of(pid: int) -> tuple[int, int] | None:
    """Where code and stack begin: every exec draws them anew. None: it is gone, or as `image_in` says."""
    line = read_once(path(pid, "stat"), 1024)
    return None if line is None else image_in(line)


def image_in(line: bytes) -> tuple[int, int] | None:
    """The same in a stat line; None: it is cut before, a kernel thread's, or the kernel doesn't tell us."""
    fields = split_stat(line, 26)[1]
    return (int(fields[23]), int(fields[25])) if len(fields) > 25 and fields[25] != b"0" else None


def living_folder(pid: int, root: str = "/proc") -> str:
    """Where the program of a process is told: its own folder, or a thread's when its main thread has ended.

    A main thread that has ended is a zombie until the others end: no program, no command line, no memory.
    """
    folder = path(pid, root=root)
    try:
        is_zombie = split_stat(read_once(f"{folder}/stat", STAT_BYTES) or b"", 1)[1][:1] == [b"Z"]
        names = entries(f"{folder}/task") if is_zombie else []
    except (OSError, ValueError):
        return folder
    return next((f"{folder}/task/{thread}" for thread in names if thread != str(pid)), folder)


# -------------------------------------------------------------------------------- status, memory, files


def status_of(pid: int, thread_id: int | None = None) -> dict[str, str]:
    """/proc/PID/status, or that of one of its threads, as words; empty when it is gone."""
    return table(text(path(pid, "status" if thread_id is None else f"task/{thread_id}/status")))


def owner(folder: str) -> int | None:
    """Effective user of a process: the owner of its folder, however it was started."""
    try:
        return os.stat(folder).st_uid  # noqa: PTH116 - Path.stat costs three times as much, on the hot path
    except OSError:
        return None


def memory_of(pid: int, root: str = "/proc") -> tuple[int, int] | None:
    """Exact RSS, and the part of it that is private (neither a file's nor shared memory), from statm.

    Since Linux 6.2 the RSS of stat lags by some pages per core and is cheaper.
    """
    raw = read_once(path(pid, "statm", root), 128)
    if raw is None:
        return None
    memory = memory_in(raw)
    if memory[0]:
        return memory
    raw = read_once(f"{living_folder(pid, root)}/statm", 128)
    return memory if raw is None else memory_in(raw)


def memory_in(statm: bytes) -> tuple[int, int]:
    """Resident and private bytes in a line of statm."""
    _, resident, shared = map(int, statm.split(None, 3)[:3])
    return resident * PAGE_BYTES, max(0, resident - shared) * PAGE_BYTES


def huge_bytes_of(pid: int, root: str = "/proc") -> int:
    """Memory in reserved huge pages, which no resident set counts; 0 where it is not told."""
    raw = read_once(path(pid, "status", root), 4096) or b""
    word = raw.partition(b"\nHugetlbPages:")[2].split(None, 1)[:1]
    return 1024 * int(word[0]) if word and word[0].isdigit() else 0


def _kernel_counts_descriptors() -> bool:
    """From Linux 6.2 on, the size of /proc/PID/fd is the number of open descriptors; before, it is 0."""
    try:
        return os.stat("/proc/self/fd").st_size > 0  # noqa: PTH116 - as above
    except OSError:
        return False


_SIZE_IS_COUNT = _kernel_counts_descriptors()


def count_descriptors(pid: int) -> int | None:
    """Open descriptors of a process."""
    folder = path(pid, "fd")
    try:
        return os.stat(folder).st_size if _SIZE_IS_COUNT else len(entries(folder))  # noqa: PTH116 - as above
    except OSError:
        return None
