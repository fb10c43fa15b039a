"""Who is at work in a send or a receive of TCP or UDP, and at which descriptor: samples of all CPUs.

Linux. A thread that runs shows no system call in /proc; the kernel's own functions below it do, and the
registers with which it called say at which descriptor. Takes CAP_PERFMON, and CAP_SYSLOG where the kernel
hides where its functions lie. Loaded by children that look at sockets.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from monitord.perf_events import perf_event, records

_PERIOD_NS = 250_000
_CPUS = 32  # more of them are sampled less often: one process reads them all
_RING_BYTES = 128 * 1024  # half of it is written between two of thirty looks a second, at most
_FRAMES = 127
_SAMPLE_RECORD = 9
_KALLSYMS = "/proc/kallsyms"
_KALLSYMS_BYTES = 24 * 1024 * 1024
# With where the next one begins. TLS and MPTCP call TCP's, but not all the time.
_FUNCTION = re.compile(
    rb"(?m)^([0-9a-f]{8,16}) [tTwW] (?:tcp|udp|udpv6|mptcp|tls_[a-z]{1,8})_"
    rb"(?:(send(?:msg|page)|recvmsg|splice_read|read_sock)(?:_locked)?)(?:\.[.\w]{1,40})?(?:\s\[\w{1,64}\])?\n"
    rb"(?=([0-9a-f]{8,16}) )"
)
_LONGEST = 64 * 1024
_FIRST_ARGUMENT = {"x86_64": 1 << 5, "aarch64": 1 << 0}
"""The register of it at a system call, as a bit: arch/*/include/uapi/asm/perf_regs.h."""
_ABI_64 = 2
_NO_DESCRIPTOR = -1
_HEAD = struct.Struct("=IIQ")  # pid, thread, length of the chain
_QUAD, _TWO_QUADS = struct.Struct("=Q"), struct.Struct("=QQ")


class Met(NamedTuple):
    """A thread that ran in a send (else a receive); `descriptor` is what it called with, -1: not known."""

    pid: int
    thread_id: int
    descriptor: int
    is_sending: bool


class Moving:
    """Samples of what moves bytes on these CPUs; close it."""

    def __init__(self, cpus: Sequence[int]) -> None:
        """Open it. Raises OSError where the kernel grants no samples, or hides where its functions lie."""
        self._functions = functions_in(_kallsyms())
        self._rings: list[perf_event.Ring] = []
        if not any(self._functions):
            raise PermissionError(errno.EPERM, "the kernel hides where its functions lie")
        attributes = _attributes(_PERIOD_NS * max(1, len(cpus) // _CPUS))
        try:
            for cpu in cpus:
                self._rings.append(perf_event.Ring(attributes, perf_event.EVERYBODY, cpu, _RING_BYTES))
        except OSError:
            self.close()
            raise

    def fresh(self) -> Iterator[Met]:
        """Those of the time since it was last called."""
        for ring in self._rings:
            yield from met_in(ring.fresh(), self._functions)

    def close(self) -> None:
        for ring in self._rings:
            ring.close()
        self._rings = []


Functions = list[tuple[int, int, bool]]
"""Begin and end of functions that move bytes, and whether they send."""


def opened(cpus: Sequence[int]) -> Moving | None:
    """None where it can't be had."""
    try:
        return Moving(cpus)
    except OSError:
        return None


def _attributes(period_ns: int) -> bytes:
    kinds = perf_event.SAMPLE_TID | perf_event.SAMPLE_CALLCHAIN | perf_event.SAMPLE_REGISTERS
    flags = perf_event.EXCLUDE_USER | perf_event.EXCLUDE_USER_FRAMES
    fields = bytearray(perf_event.event_attributes(perf_event.CPU_CLOCK, period_ns, kinds, flags, _FRAMES))
    wanted = _FIRST_ARGUMENT.get(os.uname().machine)
    if wanted is None:
        raise OSError(errno.ENOSYS, f"unknown registers of {os.uname().machine}")
    _QUAD.pack_into(fields, perf_event.REGISTERS_AT, wanted)
    return bytes(fields)


def _kallsyms() -> bytes:
    with open(_KALLSYMS, "rb") as file:
        return file.read(_KALLSYMS_BYTES)


def functions_in(kallsyms: bytes) -> Functions:
    """Those that the kernel shows; none where their addresses are hidden."""
    found = []
    for begin, name, end in _FUNCTION.findall(kallsyms):
        first, behind = int(begin, 16), int(end, 16)
        if first and first < behind <= first + _LONGEST:
            found.append((first, behind, name.startswith(b"send")))
    return found


def met_in(data: bytes, functions: Functions) -> Iterator[Met]:
    """Threads that were in one of these functions; what is not as the kernel writes it is left out."""
    for kind, _flags, begin, end in records.walk(data):
        if kind != _SAMPLE_RECORD:
            continue
        with suppress(struct.error):
            pid, thread, count = _HEAD.unpack_from(data, begin + 8)
            at = begin + 8 + _HEAD.size
            if not records.is_somebody(pid) or at + 8 * count + _QUAD.size > end:
                continue
            is_sending = _way(struct.unpack_from(f"={count}Q", data, at), functions)
            if is_sending is None:
                continue
            (abi,) = _QUAD.unpack_from(data, at + 8 * count)
            descriptor = _NO_DESCRIPTOR
            if abi == _ABI_64:
                descriptor = _TWO_QUADS.unpack_from(data, at + 8 * count)[1] & 0xFFFFFFFF
            yield Met(pid, thread, descriptor, is_sending)


def _way(chain: Sequence[int], functions: Functions) -> bool | None:
    """Whether it sends; None: it does neither. The outermost counts: what it called may do the other."""
    for address in reversed(chain):
        for begin, end, is_sending in functions:
            if begin <= address < end:
                return is_sending
    return None
