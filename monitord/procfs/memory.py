"""What lies in another process' memory: process_vm_readv(2), several ranges in one call. Linux.

Nobody is stopped, and what is read is the other's word. A page under userfaultfd(2), or of a file system that
its owner serves himself, keeps the reader waiting as long as he likes: read where that holds up nobody else.
"""

from __future__ import annotations

import array
import errno
import os
import struct
from collections.abc import Sequence

from monitord.libc import last_error, long_function

CAP_BYTES = 128 * 1024
"""What one call reads at most, of all its ranges together."""

_RANGES_CAP = 512  # the kernel's UIO_MAXIOV is 1024
_FAILURES_CAP = 64
_SMALL_BYTES = 16 * 1024
_HIGHEST = 1 << 56  # a user's addresses lie below on every 64-bit architecture
_LENGTH_AND_PLACE = struct.Struct("<QQ")


class ReadBuffer:
    """Where reads put what they find: one for all processes that one thread reads."""

    __slots__ = ("_array", "local", "size", "view")

    def __init__(self) -> None:
        self.have_room(_SMALL_BYTES)

    def have_room(self, size: int) -> None:
        self.size = size
        self._array = array.array("B", bytes(size))
        self.view = memoryview(self._array)
        self.local = _LENGTH_AND_PLACE.pack(self._array.buffer_info()[0], size)


class Memory:
    """The memory of the process that has this pid at the time of a call: who it is, the caller asks.

    Reads raise OSError (gone: ESRCH; no right: EPERM; not mapped, or a device's: EFAULT).
    """

    __slots__ = ("_buffer", "_read", "call_count", "pid")

    def __init__(self, pid: int, buffer: ReadBuffer | None = None) -> None:
        self.pid, self.call_count = pid, 0
        self._read = long_function("process_vm_readv")
        self._buffer = buffer or ReadBuffer()

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes, at most CAP_BYTES."""
        if not 0 <= size <= CAP_BYTES or not 0 <= address < _HIGHEST:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        if self._filled(_LENGTH_AND_PLACE.pack(address, size), 1, size) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return self._buffer.view[:size].tobytes()

    def word(self, address: int) -> int:
        """A pointer, or another number of 8 bytes."""
        return int.from_bytes(self.read(address, 8), "little")

    def read_packed(self, ranges: bytes, size: int) -> bytes | None:
        """All of ranges that `pack` made, which are `size` bytes together; None if one can't be read."""
        try:
            got = self._filled(ranges, len(ranges) // 16, size)
            return self._buffer.view[:size].tobytes() if got == size else None
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise
            return None

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """The bytes at each (address, size), None where that can't be read, which costs a call.

        Behind the 64th of those nothing is read any more.
        """
        found: list[bytes | None] = []
        failed = 0
        while len(found) < len(ranges) and failed < _FAILURES_CAP:
            address, size = ranges[len(found)]
            if not (0 <= address < _HIGHEST and 0 <= size <= CAP_BYTES):
                found.append(None)
                continue
            read = self._read_piece(self._one_call(ranges, len(found)))
            failed += not read
            found += read or [None]
        return found + [None] * (len(ranges) - len(found))

    @staticmethod
    def _one_call(ranges: Sequence[tuple[int, int]], first: int) -> list[tuple[int, int]]:
        """As many of the ranges as one call may read."""
        total, piece = 0, []
        for address, size in ranges[first : first + _RANGES_CAP]:
            total += size
            if total > CAP_BYTES or not (0 <= address < _HIGHEST and size >= 0):
                break
            piece.append((address, size))
        return piece

    def _read_piece(self, piece: Sequence[tuple[int, int]]) -> list[bytes | None]:
        """Those at the beginning that could be read."""
        try:
            got = self._filled(pack(piece), len(piece), sum(size for _, size in piece))
        except OSError as error:
            if error.errno != errno.EFAULT:
                raise
            return []
        found: list[bytes | None] = []
        at = 0
        for _, size in piece:
            if at + size > got:
                break
            found.append(self._buffer.view[at : at + size].tobytes())
            at += size
        return found

    def _filled(self, remote: bytes, count: int, size: int) -> int:
        """How many bytes of these ranges now lie in the buffer, without a gap."""
        self.call_count += 1
        if size > self._buffer.size:
            self._buffer.have_room(CAP_BYTES)
        got = self._read(self.pid, self._buffer.local, 1, remote, count, 0)
        if got < 0:
            number = last_error()
            raise OSError(number, os.strerror(number))
        return got


def pack(ranges: Sequence[tuple[int, int]]) -> bytes:
    """Ranges as `read_packed` takes them; struct.error for a number of more than 8 bytes."""
    return struct.pack(f"<{2 * len(ranges)}Q", *(number for one in ranges for number in one))
