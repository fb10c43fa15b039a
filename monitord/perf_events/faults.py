"""Page faults of some threads: every 64th with its address, the registers and the top of its stack.

Linux on x86-64. The recorder opens the rings while a rule about memory is armed, and reads nothing of them:
the child that observes the target is given their descriptors. Loaded when a rule is armed.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

from monitord.perf_events import perf_event, records

PERIODS = (64, 512)
"""One of so many faults is kept, a quarter of a megabyte of small pages; and fewer, to reach back further."""
REGISTERS = 17
THREADS_AT_MOST = 16
_EVENTS = 128  # of a period, thread and CPU each: the recorder keeps their descriptors, of four processes
# Each thread that a followed one starts has as many events as that one: 1.4 kB each, of which nobody counts
# whose they are. On 16 CPUs that is twice what the kernel keeps of a thread anyway.
_FOLLOWED_AT_LEAST = 4  # threads; else more of them are watched without what they start
_ALL_BYTES = 512 * 1024  # of all rings together: the newest 200 faults of each period
_OF_ALL_CPUS_BYTES = 1024 * 1024  # the same for one that runs on one of two CPUs
_STACK_BYTES = 1016  # what an allocator and the functions that call it need; with its length a multiple of 8
_FIRST = 64  # of the numbers that descriptors get which a child inherits

# include/uapi/linux/perf_event.h, arch/x86/include/uapi/asm/perf_regs.h
_MINOR_FAULTS = 5
_ADDRESS, _STACK = 1 << 3, 1 << 13
_WANTED = 0x1FF | 0xFF << 16  # ax bx cx dx si di bp sp ip, r8 to r15
_OF_DWARF = (0, 3, 2, 1, 4, 5, 6, 7, 16, 8, 9, 10, 11, 12, 13, 14, 15)  # what psABI calls them, in that order
_SAMPLE_RECORD = 9
_HEAD = struct.Struct("=IIQQQ")  # pid, thread, time, address, ABI of the registers
_VALUES = struct.Struct(f"={REGISTERS}Q")
_QUAD = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Fault:
    """When, where and with which registers (by their DWARF numbers; 16: where the code was) and stack."""

    at_ns: int
    address: int
    registers: dict[int, int]
    stack: bytes


def _attributes(period: int, is_followed: bool, *, user_only: bool) -> bytes:
    kinds = perf_event.SAMPLE_TID | perf_event.SAMPLE_TIME | _ADDRESS | perf_event.SAMPLE_REGISTERS | _STACK
    flags = perf_event.COMM | perf_event.COMM_EXEC | perf_event.MMAP | perf_event.MMAP2
    flags |= perf_event.EXCLUDE_KERNEL if user_only else 0
    fields = bytearray(perf_event.event_attributes(_MINOR_FAULTS, period, kinds, flags))
    struct.pack_into("=QI", fields, perf_event.REGISTERS_AT, _WANTED, _STACK_BYTES)
    return perf_event.inherited_by_threads(bytes(fields)) if is_followed else bytes(fields)


class Watch:
    """Rings of the page faults of some threads of a process, and of those that they start; close it.

    For each period one ring a thread, or one a CPU.
    """

    def __init__(
        self,
        threads: Sequence[int],
        cpus: Sequence[int],
        is_its: Callable[[int], bool] = lambda _thread: True,
    ) -> None:
        """Open them. Raises OSError where none is granted. A thread that has ended is left out.

        Threads that are started later are followed by events of one thread and one CPU each: where those
        would be too many, or the kernel is older than 5.13, an event a thread sees that thread alone.
        `is_its` says whether a thread is the process' still: its number may be another's when it is opened.
        """
        if os.uname().machine != "x86_64":
            raise OSError(errno.ENOSYS, "stacks of page faults are read on x86-64 alone")
        self._rings: list[perf_event.Ring] = []
        self._others: list[list[int]] = []  # by ring, the events that write to it besides its own
        self._refusal = OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        self._is_its = is_its
        kept = threads[: followed_at_most(len(cpus))]
        try:
            if kept:
                self._size_bytes = _size_of_each(_OF_ALL_CPUS_BYTES, len(cpus))
                for cpu in cpus:
                    self._open(kept, cpu)
                if len(self._rings) < len(PERIODS) * len(cpus):
                    self.close()
            if not self._rings:
                kept = threads[:THREADS_AT_MOST]
                self._size_bytes = _size_of_each(_ALL_BYTES, len(kept))
                for thread in kept:
                    self._open([thread], perf_event.NO_CPU)
        except OSError:
            self.close()
            raise
        self._count = len(kept)
        if not self._rings:
            raise self._refusal

    def _open(self, threads: Sequence[int], cpu: int) -> None:
        """A ring for each period, to which these threads write; none, where one is refused to the first."""
        before = len(self._rings)
        for thread in threads:
            try:
                fds = _opened(thread, cpu)
            except OSError as error:
                self._refusal = error
                continue
            if not self._is_its(thread):
                for fd in fds:
                    os.close(fd)
            elif len(self._rings) == before:
                self._map(fds)
            else:
                for fd, others in zip(fds, self._others[before:], strict=True):
                    others.append(fd)
                for fd, ring in zip(fds, self._rings[before:], strict=True):
                    perf_event.redirect(fd, ring)

    def _map(self, fds: Sequence[int]) -> None:
        left = [*fds]
        try:
            while left:
                self._rings.append(perf_event.Ring(b"", 0, 0, self._size_bytes, fd=left.pop(0)))
                self._others.append([])
        except OSError as error:
            self._refusal = error
            for fd in left:
                os.close(fd)
            for _ in range(len(fds) - len(left) - 1):
                self._rings.pop().close()
                self._others.pop()

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(fd for group in self._groups() for fd in group)

    def _groups(self) -> Iterator[list[int]]:
        for ring, others in zip(self._rings, self._others, strict=True):
            yield [ring.fd, *others]

    def __str__(self) -> str:
        """As the child is told of it: the rings' size, how many threads, and the events of each ring."""
        groups = ",".join("+".join(map(str, group)) for group in self._groups())
        return f"{self._size_bytes}:{self._count}:{groups}"

    def close(self) -> None:
        for others in self._others:
            for fd in others:
                os.close(fd)
        for ring in self._rings:
            ring.close()
        self._rings, self._others = [], []


def followed_at_most(cpu_count: int) -> int:
    """How many threads may be watched with those that they start; 0: too few to be worth it."""
    most = min(THREADS_AT_MOST, _EVENTS // (len(PERIODS) * max(1, cpu_count)))
    return most if most >= _FOLLOWED_AT_LEAST else 0


def _size_of_each(all_bytes: int, count: int) -> int:
    return max(mmap.PAGESIZE, all_bytes >> (len(PERIODS) * max(1, count) - 1).bit_length())


def _opened(thread: int, cpu: int) -> list[int]:
    """An event for each period; all, or OSError is raised."""
    found: list[int] = []
    try:
        for period in PERIODS:
            found.append(_event(period, thread, cpu))
    except OSError:
        for fd in found:
            os.close(fd)
        raise
    return found


def _event(period: int, thread: int, cpu: int) -> int:
    """A descriptor among those that a child inherits."""
    is_followed = cpu != perf_event.NO_CPU
    try:
        low = perf_event.open_event(_attributes(period, is_followed, user_only=False), thread, cpu)
    except PermissionError:  # kernel.perf_event_paranoid 2: what the kernel copies to memory is not seen
        low = perf_event.open_event(_attributes(period, is_followed, user_only=True), thread, cpu)
    try:
        return fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _FIRST)
    finally:
        os.close(low)


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of one thread or CPU, the newest fault first; and how many its events have counted.

    Each fault stands for `weight` of all, where the ring reaches back to the beginning; else of the newest,
    and those that came before are nobody's. `sampled`: of how many one could have been kept; the others were
    the last of their threads.
    """

    faults: list[Fault]
    counted: int
    sampled: int
    weight: float
    changed_ns: int
    """When the process ran another program for the last time; 0: not known of."""
    mapped: Sequence[records.Mapped] = ()
    """Code that was mapped meanwhile: what ran there before was other code."""


def read(told: str, pid: int) -> tuple[int, list[Read]]:
    """How many threads were watched, and what the rings hold of this process that a watch tells of.

    Raises OSError, ValueError.
    """
    size, threads, groups = told.split(":")
    rings = [
        _read(int(size), [int(fd) for fd in group.split("+")], period, pid)
        for group, period in zip(groups.split(","), cycle(PERIODS))
    ]
    each = [rings[at : at + len(PERIODS)] for at in range(0, len(rings), len(PERIODS))]
    return int(threads), [next((one for one, is_whole in of if is_whole), of[-1][0]) for of in each]


def _read(size: int, numbers: Sequence[int], period: int, pid: int) -> tuple[Read, bool]:
    """And whether nothing in the ring was overwritten."""
    ring = perf_event.Ring(b"", 0, 0, size, fd=numbers[0])
    try:
        counted = sum(_QUAD.unpack(os.read(fd, _QUAD.size))[0] for fd in numbers)
        is_whole = ring.fresh_bytes <= size
        data = ring.whole()
    finally:
        ring.close()
    found = list(faults_in(data, pid))
    weight = counted / len(found) if found and is_whole else float(period)
    sampled = period * len(found) if is_whole else counted
    told = [
        records.side_record(record)
        for _at_ns, whose, record in records.raw_side_records(data)
        if whose == pid
    ]
    execs = (one.at_ns for one in told if isinstance(one, records.Named) and one.is_exec)
    mapped = tuple(one for one in told if isinstance(one, records.Mapped))
    return Read(found, counted, sampled, weight, max(execs, default=0), mapped), is_whole


def faults_in(data: bytes, pid: int) -> Iterator[Fault]:
    """Those of this process; what is not as the kernel writes it is left out."""
    for kind, _flags, begin, end in records.walk(data):
        if kind != _SAMPLE_RECORD:
            continue
        with suppress(struct.error):
            whose, _thread, at_ns, address, abi = _HEAD.unpack_from(data, begin + 8)
            values = _VALUES.unpack_from(data, begin + 8 + _HEAD.size)
            at = begin + 8 + _HEAD.size + _VALUES.size
            (size,) = _QUAD.unpack_from(data, at)
            if whose != pid or abi != 2 or at + 16 + size > end:  # PERF_SAMPLE_REGS_ABI_64
                continue
            (copied,) = _QUAD.unpack_from(data, at + 8 + size)
            stack = data[at + 8 : at + 8 + min(size, copied)]
            yield Fault(at_ns, address, dict(zip(_OF_DWARF, values, strict=True)), stack)
