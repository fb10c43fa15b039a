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
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle

from monitord.perf_events import perf_event, records

PERIODS = (64, 512)
"""One of so many faults is kept, a quarter of a megabyte of small pages; and fewer, to reach back further."""
REGISTERS = 17
THREADS_AT_MOST = 16
_ALL_BYTES = 512 * 1024  # of all rings together: the newest 200 faults of each period
_STACK_BYTES = 1016  # what an allocator and the functions that call it need; with its length a multiple of 8
_FIRST = 64  # of the numbers that descriptors get which a child inherits

# include/uapi/linux/perf_event.h, arch/x86/include/uapi/asm/perf_regs.h
_MINOR_FAULTS = 5
_ADDRESS, _REGISTERS, _STACK = 1 << 3, 1 << 12, 1 << 13
_REGISTERS_AT = 80  # and behind them how much of the stack
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


def _attributes(period: int, *, user_only: bool) -> bytes:
    kinds = perf_event.SAMPLE_TID | perf_event.SAMPLE_TIME | _ADDRESS | _REGISTERS | _STACK
    flags = perf_event.COMM | perf_event.COMM_EXEC | (perf_event.EXCLUDE_KERNEL if user_only else 0)
    fields = bytearray(perf_event.event_attributes(_MINOR_FAULTS, period, kinds, flags))
    struct.pack_into("=QI", fields, _REGISTERS_AT, _WANTED, _STACK_BYTES)
    return bytes(fields)


class Watch:
    """Rings of the page faults of some threads of a process, one a period and thread; close it."""

    def __init__(self, threads: list[int]) -> None:
        """Open them. Raises OSError where none is granted. A thread that has ended is left out."""
        if os.uname().machine != "x86_64":
            raise OSError(errno.ENOSYS, "stacks of page faults are read on x86-64 alone")
        self._rings: list[perf_event.Ring] = []
        kept = threads[:THREADS_AT_MOST]
        number = len(PERIODS) * max(1, len(kept))
        self._size_bytes = max(mmap.PAGESIZE, _ALL_BYTES >> (number - 1).bit_length())
        refusal = OSError(errno.ESRCH, os.strerror(errno.ESRCH))
        for thread in kept:
            before = len(self._rings)
            try:
                for period in PERIODS:
                    self._rings.append(self._opened(thread, period))
            except OSError as error:
                refusal = error
                while len(self._rings) > before:
                    self._rings.pop().close()
        if not self._rings:
            raise refusal

    def _opened(self, thread: int, period: int) -> perf_event.Ring:
        try:
            low = perf_event.open_event(_attributes(period, user_only=False), thread, perf_event.NO_CPU)
        except PermissionError:  # kernel.perf_event_paranoid 2: what the kernel copies to memory is not seen
            low = perf_event.open_event(_attributes(period, user_only=True), thread, perf_event.NO_CPU)
        try:
            fd = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _FIRST)
        finally:
            os.close(low)
        return perf_event.Ring(b"", 0, 0, self._size_bytes, fd=fd)

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(ring.fd for ring in self._rings)

    def __str__(self) -> str:
        """As the child is told of it."""
        return f"{self._size_bytes}:{','.join(map(str, self.descriptors))}"

    def close(self) -> None:
        for ring in self._rings:
            ring.close()


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of one thread, the newest fault first; and how many faults its event has counted.

    Each fault stands for `weight` of all, where the ring reaches back to the beginning; else of the newest,
    and those that came before are nobody's.
    """

    faults: list[Fault]
    counted: int
    weight: float
    changed_ns: int
    """When the process ran another program for the last time; 0: not known of."""


def read(told: str) -> list[Read]:
    """What the rings hold that a watch tells of. Raises OSError, ValueError."""
    size, _, numbers = told.partition(":")
    rings = [_read(int(size), int(fd), period) for fd, period in zip(numbers.split(","), cycle(PERIODS))]
    threads = [rings[at : at + len(PERIODS)] for at in range(0, len(rings), len(PERIODS))]
    return [next((one for one, is_whole in each if is_whole), each[-1][0]) for each in threads]


def _read(size: int, number: int, period: int) -> tuple[Read, bool]:
    """And whether nothing in the ring was overwritten."""
    ring = perf_event.Ring(b"", 0, 0, size, fd=number)
    try:
        (counted,) = _QUAD.unpack(os.read(ring.fd, _QUAD.size))
        is_whole = ring.fresh_bytes <= size
        data = ring.whole()
    finally:
        ring.close()
    found = list(faults_in(data))
    weight = counted / len(found) if found and is_whole else float(period)
    return Read(found, counted, weight, _last_exec(data)), is_whole


def _last_exec(data: bytes) -> int:
    for _at_ns, _pid, record in records.raw_side_records(data):
        said = records.side_record(record)
        if isinstance(said, records.Named) and said.is_exec:
            return said.at_ns
    return 0


def faults_in(data: bytes) -> Iterator[Fault]:
    """What is not as the kernel writes it is left out."""
    for kind, _flags, begin, end in records.walk(data):
        if kind != _SAMPLE_RECORD:
            continue
        with suppress(struct.error):
            _pid, _thread, at_ns, address, abi = _HEAD.unpack_from(data, begin + 8)
            values = _VALUES.unpack_from(data, begin + 8 + _HEAD.size)
            at = begin + 8 + _HEAD.size + _VALUES.size
            (size,) = _QUAD.unpack_from(data, at)
            if abi != 2 or at + 16 + size > end:  # PERF_SAMPLE_REGS_ABI_64
                continue
            (copied,) = _QUAD.unpack_from(data, at + 8 + size)
            stack = data[at + 8 : at + 8 + min(size, copied)]
            yield Fault(at_ns, address, dict(zip(_OF_DWARF, values, strict=True)), stack)
