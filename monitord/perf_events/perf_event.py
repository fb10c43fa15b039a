"""perf_event_open(2): a ring that the kernel fills from its end downwards, overwriting what is oldest.

Linux. Asks the kernel only to open, to pause and to close: what is new is read from shared memory. Without
ctypes, which the recorder would carry for months; its module in C is enough.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import sys

from monitord.libc import last_error, long_function

# By architecture (arch/*/…/syscall*.tbl): another one is refused by its name.
_SYSTEM_CALLS = {"x86_64": 298, "aarch64": 241}
_FLAG_CLOEXEC = 8
_IOC_SET_OUTPUT, _IOC_PAUSE_OUTPUT = 0x2405, 0x40042409

# struct perf_event_attr, include/uapi/linux/perf_event.h; this much of it is known since Linux 4.8.
_ATTRIBUTES_BYTES = 112
_WAKES_AT, REGISTERS_AT, _CLOCK_AT, _MAX_STACK_AT = 48, 80, 92, 108
_TYPE_SOFTWARE, CPU_CLOCK, _DUMMY = 1, 0, 9
SAMPLE_TID, SAMPLE_TIME, SAMPLE_CALLCHAIN, SAMPLE_REGISTERS = 1 << 1, 1 << 2, 1 << 5, 1 << 12
_INHERIT, EXCLUDE_USER, EXCLUDE_KERNEL, _EXCLUDE_IDLE = 1 << 1, 1 << 4, 1 << 5, 1 << 7
EXCLUDE_USER_FRAMES = 1 << 22
MMAP, COMM, _FREQUENCY, _TASK, _SAMPLE_ID_ALL = 1 << 8, 1 << 9, 1 << 10, 1 << 13, 1 << 18
MMAP2, COMM_EXEC, _USE_CLOCK, _WRITE_BACKWARD = 1 << 23, 1 << 24, 1 << 25, 1 << 27
_INHERIT_THREAD = 1 << 35  # Linux 5.13
_CLOCK_BOOTTIME = 7  # the clock of a process' start time, also where a machine sleeps

# A wake-up costs who is sampled 9 µs, also where nobody waits; and one sample may be anything's.
_SAMPLES_A_WAKE_UP = 4
MAX_FRAMES = 48
_HEAD_AT = 1024  # data_head in struct perf_event_mmap_page
_WRAP = 1 << 64
# The oldest bytes are being overwritten while the newest are read: so many of them are left alone.
_MARGIN_BYTES = 4096  # an eighth of a small ring

EVERYBODY, NO_CPU = -1, -1


class LockedMemoryError(OSError):
    """The kernel grants no ring of this size: the limit of locked memory (RLIMIT_MEMLOCK)."""


def stack_attributes(rate_hz: int, max_frames: int = MAX_FRAMES, *, user_only: bool = False) -> bytes:
    """What ran, `rate_hz` times a second of CPU time, with its call chain. A few wake who polls."""
    flags = _FREQUENCY | _EXCLUDE_IDLE | (EXCLUDE_KERNEL if user_only else 0)
    sample_type = SAMPLE_TID | SAMPLE_TIME | SAMPLE_CALLCHAIN
    return event_attributes(CPU_CLOCK, rate_hz, sample_type, flags, max_frames, _SAMPLES_A_WAKE_UP)


def side_attributes(*, user_only: bool = False) -> bytes:
    """Who lived where: code that is mapped, names, programs, starts, ends. Half a ring wakes who polls it."""
    flags = MMAP | MMAP2 | COMM | COMM_EXEC | _TASK | (EXCLUDE_KERNEL if user_only else 0)
    return event_attributes(_DUMMY, 0, SAMPLE_TID | SAMPLE_TIME, flags)


def silent(attributes: bytes) -> bytes:
    """The same for an event that records nothing itself, and whose ring others write to."""
    (sample_type,) = struct.unpack_from("=Q", attributes, 24)
    (flags,) = struct.unpack_from("=Q", attributes, 40)
    kept = flags & (EXCLUDE_KERNEL | _SAMPLE_ID_ALL)
    return event_attributes(
        _DUMMY, 0, sample_type, kept, struct.unpack_from("=H", attributes, _MAX_STACK_AT)[0]
    )


def inherited(attributes: bytes) -> bytes:
    """The same, also for the threads and processes that a followed one starts from then on."""
    return _with_flags(attributes, _INHERIT)


def inherited_by_threads(attributes: bytes) -> bytes:
    """The same, also for the threads, but not the processes, that a followed one starts from then on.

    Its ring can be mapped only where the event is of one CPU.
    """
    return _with_flags(attributes, _INHERIT | _INHERIT_THREAD)


def _with_flags(attributes: bytes, more: int) -> bytes:
    (flags,) = struct.unpack_from("=Q", attributes, 40)
    return attributes[:40] + struct.pack("=Q", flags | more) + attributes[48:]


def event_attributes(
    config: int, rate_hz: int, sample_type: int, flags: int, max_frames: int = 0, wakes_after: int = 0
) -> bytes:
    """The attributes of an event of software, with our clock; without a frequency `rate_hz` is its period."""
    fields = bytearray(_ATTRIBUTES_BYTES)
    flags |= _SAMPLE_ID_ALL | _USE_CLOCK | _WRITE_BACKWARD
    head = (_TYPE_SOFTWARE, len(fields), config, rate_hz, sample_type, 0, flags)
    struct.pack_into("=IIQQQQQ", fields, 0, *head)
    struct.pack_into("=I", fields, _WAKES_AT, wakes_after)
    struct.pack_into("=i", fields, _CLOCK_AT, _CLOCK_BOOTTIME)
    struct.pack_into("=H", fields, _MAX_STACK_AT, max_frames)
    return bytes(fields)


def open_event(attributes: bytes, pid: int, cpu: int) -> int:
    """A descriptor of the event; raises OSError with the kernel's errno, ENOSYS where it has no such call."""
    number = _SYSTEM_CALLS.get(os.uname().machine) if sys.platform == "linux" else None
    if number is None:
        where = f"{sys.platform} on {os.uname().machine}"
        raise OSError(errno.ENOSYS, f"cannot open a perf event: unknown system call numbers of {where}")
    open_it = long_function("syscall")
    result = open_it(number, attributes, pid, cpu, -1, _FLAG_CLOEXEC)
    if result < 0 and last_error() == errno.EOVERFLOW:
        # kernel.perf_event_max_stack is less: then as much as that
        fewer = attributes[:_MAX_STACK_AT] + b"\0\0" + attributes[_MAX_STACK_AT + 2 :]
        result = open_it(number, fewer, pid, cpu, -1, _FLAG_CLOEXEC)
    if result < 0:
        error = last_error()
        raise OSError(error, os.strerror(error), "perf_event_open")
    return result


def redirect(fd: int, ring: Ring) -> None:
    """Let an event of the same CPU write to that ring; raises OSError."""
    fcntl.ioctl(fd, _IOC_SET_OUTPUT, ring.fd)


class Ring:
    """The newest `size_bytes` of one event's records. For one thread; close it."""

    __slots__ = ("_at", "_memory", "_seen", "fd", "overrun_bytes", "size_bytes")

    def __init__(
        self, attributes: bytes, pid: int, cpu: int, size_bytes: int, *, fd: int | None = None
    ) -> None:
        """Open it. Raises OSError, and LockedMemoryError where a smaller ring might be granted.

        `size_bytes` is a power of two of at least one page. `fd`: of an event that is open; it is closed with
        the ring.
        """
        self.fd = open_event(attributes, pid, cpu) if fd is None else fd
        self.size_bytes, self._at, self._seen, self.overrun_bytes = size_bytes, mmap.PAGESIZE, 0, 0
        try:
            # Read-only memory is what makes the kernel overwrite the oldest records.
            self._memory = mmap.mmap(self.fd, mmap.PAGESIZE + size_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
        except OSError as error:
            os.close(self.fd)
            if error.errno == errno.EPERM:
                raise LockedMemoryError(errno.EPERM, "cannot lock the memory of a ring") from error
            raise

    @property
    def fresh_bytes(self) -> int:
        """How much was written since `fresh` was last called, also what is overwritten by now."""
        return (self._seen - self._head()) % _WRAP

    def fresh(self, limit_bytes: int = 1 << 30) -> bytes:
        """The newest `limit_bytes` of records since the last call, newest first; the oldest may be cut."""
        head = self._head()
        length = (self._seen - head) % _WRAP
        self._seen = head
        room = min(limit_bytes, self.size_bytes - min(_MARGIN_BYTES, self.size_bytes // 8))
        if length > room:
            self.overrun_bytes += length - room
            length = room
        return self._copy(head, length) if length else b""

    def whole(self) -> bytes:
        """All that is still there, newest first; the oldest record may be cut. Recording pauses meanwhile."""
        self._pause(1)
        try:
            head = self._head()
            return self._copy(head, min(-head % _WRAP, self.size_bytes))
        finally:
            self._pause(0)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)

    def _head(self) -> int:
        head: int = _QUAD.unpack_from(self._memory, _HEAD_AT)[0]  # counts down from 0
        return head

    def _copy(self, head: int, length: int) -> bytes:
        first = head & (self.size_bytes - 1)
        begin, end = self._at + first, self._at + self.size_bytes
        data = self._memory[begin : min(begin + length, end)]
        if begin + length > end:
            data += self._memory[self._at : self._at + begin + length - end]
        return data

    def _pause(self, wanted: int) -> None:
        try:
            fcntl.ioctl(self.fd, _IOC_PAUSE_OUTPUT, wanted)
        except OSError:
            return  # its CPU went away: nobody writes


_QUAD = struct.Struct("=Q")
