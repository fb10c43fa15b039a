"""Where functions begin, from the table that unwinders search; it is there in stripped programs, too.

.eh_frame_hdr, Linux Standard Base Core 10.6.2. Searched where it lies: it may be hundreds of megabytes.
"""

from __future__ import annotations

import bisect
import os
import struct
from collections.abc import Sequence

from monitord.symbols.elf import EH_FRAME, Segment

_SORTED_TABLE = b"\x01\x1b\x03\x3b"  # version 1; pointers of 4 bytes, relative; the table relative to itself


class FunctionStarts(Sequence[int]):
    """The addresses of the first bytes of functions, sorted; empty where there is no such table."""

    def __init__(self, file: int, segments: Sequence[Segment]) -> None:
        self._file, self._first, self._count, self._base = file, 0, 0, 0
        for segment in segments:
            head = os.pread(file, 12, segment.offset) if segment.kind == EH_FRAME else b""
            if head[:4] == _SORTED_TABLE and len(head) == 12:
                count = struct.unpack_from("<I", head, 8)[0]
                self._first, self._base = segment.offset + 12, segment.address
                self._count = min(count, segment.size // 8)
                return

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:  # type: ignore[override]  # slices are not asked for
        return self._base + int(struct.unpack("<i", os.pread(self._file, 4, self._first + 8 * index))[0])

    def entry_before(self, address: int) -> int | None:
        """The address of the entry in .eh_frame that tells of this function."""
        index = bisect.bisect_right(self, address) - 1
        if index < 0:
            return None
        words = os.pread(self._file, 4, self._first + 8 * index + 4)
        return self._base + int(struct.unpack("<i", words)[0])

    def before(self, address: int) -> int | None:
        """How far the address is from the beginning of its function."""
        index = bisect.bisect_right(self, address)
        inside = address - self[index - 1] if index else -1
        return inside if inside >= 0 else None
