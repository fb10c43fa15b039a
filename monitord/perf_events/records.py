"""Bytes of a ring → samples and side records. Pure; whatever the bytes, it ends and keeps within its bounds.

The kernel writes them, in the forms of include/uapi/linux/perf_event.h; names and paths are the target's.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

Sample = tuple[int, int, int, tuple[int, ...]]
"""When (CLOCK_BOOTTIME in ns), pid, thread, and the addresses of its frames, the leaf first."""

KERNEL = 1 << 63
"""Addresses from here on are the kernel's."""

_LOST, _COMM, _EXIT, _FORK, _SAMPLE, _MMAP2, _LOST_SAMPLES = 2, 3, 4, 7, 9, 10, 13
_MISC_OF_COMM_EXEC, _MISC_DATA, _MISC_BUILD_ID = 1 << 13, 1 << 13, 1 << 14
_MARKERS = (1 << 64) - 4095  # PERF_CONTEXT_*: whose the next addresses are
_MAX_FRAMES = 512  # a ring that asked for more frames than this is not ours
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 64, 4096
_NOBODY = 0xFFFFFFFF  # the pid of what is nearly gone, or lives outside of our pid namespace (then 0)

_HEADER = struct.Struct("=IHH")
_SAMPLE_HEAD = struct.Struct("=IIQQ")
_IDENTITY = struct.Struct("=IIQ")  # ends every side record (sample_id_all): pid, thread, time
_PAIR, _FOUR = struct.Struct("=II"), struct.Struct("=IIII")
_QUAD = struct.Struct("=Q")
_MAPPED = struct.Struct("=IIQQQIIQQII")


class Mapped(NamedTuple):
    """Code was mapped: `start` to `end` from `offset` of a file on."""

    at_ns: int
    pid: int
    start: int
    end: int
    offset: int
    device: int
    inode: int
    path: str


class Named(NamedTuple):
    """A thread has this name from now on; `is_exec`: because its process runs another program."""

    at_ns: int
    pid: int
    thread_id: int
    name: str
    is_exec: bool


class Forked(NamedTuple):
    """`parent_pid` started a process, or (where both are the same) a thread of its own."""

    at_ns: int
    pid: int
    parent_pid: int
    thread_id: int


class Ended(NamedTuple):
    """A thread ended; a process with its last one."""

    at_ns: int
    pid: int
    thread_id: int


SideRecord = Mapped | Named | Forked | Ended


def walk(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, flags, begin and end of each record, until one is cut or none."""
    at, end = 0, len(data)
    while at + 8 <= end:
        kind, flags, size = _HEADER.unpack_from(data, at)
        if size < 8 or at + size > end:
            return
        yield kind, flags, at, at + size
        at += size


def threads_that_ran(data: bytes) -> Iterator[tuple[int, int]]:
    """Process and thread of each sample; the frames are not looked at."""
    for kind, _, begin, end in walk(data):
        if kind == _SAMPLE and end - begin >= 32:
            pid, thread_id = _PAIR.unpack_from(data, begin + 8)
            if pid and pid != _NOBODY:
                yield pid, thread_id


def samples(data: bytes, since_ns: int = 0, pids: frozenset[int] | None = None) -> Iterator[Sample]:
    """Newest first, of these processes alone; what is not as the kernel writes it is left out."""
    known: dict[bytes, tuple[int, ...]] = {}  # most stacks come again
    for kind, _, begin, end in walk(data):
        if kind != _SAMPLE or end - begin < 32:
            continue
        pid, thread_id, at_ns, count = _SAMPLE_HEAD.unpack_from(data, begin + 8)
        if not pid or pid == _NOBODY or at_ns < since_ns or (pids is not None and pid not in pids):
            continue
        if count > _MAX_FRAMES or begin + 32 + 8 * count > end:
            continue
        chain = data[begin + 32 : begin + 32 + 8 * count]
        frames = known.get(chain)
        if frames is None:
            words = struct.unpack(f"={count}Q", chain)
            frames = known[chain] = tuple(word for word in words if word < _MARKERS)
        yield at_ns, pid, thread_id, frames


def lost(data: bytes) -> int:
    """How many records the kernel says it could not write."""
    return sum(
        _QUAD.unpack_from(data, begin + (16 if kind == _LOST else 8))[0] & 0xFFFFFFFF
        for kind, _, begin, end in walk(data)
        if (kind == _LOST and end - begin >= 24) or (kind == _LOST_SAMPLES and end - begin >= 16)
    )


def raw_side_records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """When, whose (its pid) and the bytes of each side record that says something; newest first."""
    for kind, flags, begin, end in walk(data):
        if kind in _READERS and end - begin >= 8 + _IDENTITY.size + 8:
            at_ns = _QUAD.unpack_from(data, end - 8)[0]
            if not (kind == _MMAP2 and flags & (_MISC_DATA | _MISC_BUILD_ID)):
                yield at_ns, _PAIR.unpack_from(data, begin + 8)[0], data[begin:end]


def is_mapping(record: bytes) -> bool:
    """Whether it is one of code that was mapped: most are, and are read only when they are asked for."""
    kind: int = _HEADER.unpack_from(record)[0]
    return kind == _MMAP2


def side_record(record: bytes) -> SideRecord | None:
    """One of those, read; None: it is not as the kernel writes it, or is of nobody that we can name."""
    if len(record) < 8 + _IDENTITY.size + 8:
        return None
    kind, flags, _ = _HEADER.unpack_from(record)
    reader = _READERS.get(kind)
    at_ns = _QUAD.unpack_from(record, len(record) - 8)[0]
    try:
        return reader(at_ns, flags, record[8 : -_IDENTITY.size]) if reader else None
    except struct.error:
        return None


def _mapped(at_ns: int, _flags: int, body: bytes) -> Mapped | None:
    pid, _, start, length, offset, major, minor, inode, _, _, _ = _MAPPED.unpack_from(body)
    if not is_somebody(pid) or not length or start + length > 1 << 64:
        return None
    device = os.makedev(major & 0xFFF, minor & 0xFFFFF)
    path = _text(body[_MAPPED.size :], _MAX_PATH_BYTES)
    return Mapped(at_ns, pid, start, start + length, offset, device, inode, path)


def _named(at_ns: int, flags: int, body: bytes) -> Named | None:
    pid, thread_id = _PAIR.unpack_from(body)
    name = _text(body[8:], _MAX_NAME_BYTES)
    return Named(at_ns, pid, thread_id, name, bool(flags & _MISC_OF_COMM_EXEC)) if is_somebody(pid) else None


def _forked(at_ns: int, _flags: int, body: bytes) -> Forked | None:
    pid, parent_pid, thread_id, _ = _FOUR.unpack_from(body)
    return Forked(at_ns, pid, parent_pid, thread_id) if is_somebody(pid) else None


def _ended(at_ns: int, _flags: int, body: bytes) -> Ended | None:
    pid, _, thread_id, _ = _FOUR.unpack_from(body)
    return Ended(at_ns, pid, thread_id) if is_somebody(pid) else None


def _text(padded: bytes, limit: int) -> str:
    return os.fsdecode(padded[:limit].partition(b"\0")[0])


def is_somebody(pid: int) -> bool:
    """Not what is nearly gone, or lives outside of our pid namespace."""
    return pid not in (0, _NOBODY)


_READERS = {_MMAP2: _mapped, _COMM: _named, _FORK: _forked, _EXIT: _ended}
