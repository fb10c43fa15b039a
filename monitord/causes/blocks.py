"""Whether the block that was handed out when a page came in is in use still: by glibc's own heads of blocks.

What was used first may be given back, and another gets it without a page fault: then that one keeps it.
struct malloc_chunk in glibc's malloc/malloc.c, the same since 2.3 on machines of 64 bits.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from monitord.causes.mappings import Region

_WORD = struct.Struct("<Q")
_SIZE_AT, _DATA_AT, _STEP = 8, 16, 16
_FLAGS, _PREVIOUS_IN_USE, _IS_MAPPED = 0x7, 0x1, 0x2
_LEAST, _MOST = 32, 64 << 20
_BLOCKS_CAP = 2000
_BEGINNING = 48  # its head, and how many there are of what a language puts into it
Read = Callable[[int, int], bytes]


class Blocks:
    """The blocks of one process as they are now; `read` reads its memory."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._mapped: dict[int, list[int]] = {}  # by the beginning of a mapping, the ends of its blocks

    def is_kept(self, address: int, registers: Sequence[int]) -> bool:
        """Whether a block ends right before `address`, a word that malloc wrote when it gave that block out.

        Its beginning was in a register then; both ends must be what they were.
        """
        end = address - _SIZE_AT
        if end % _STEP or not self._size(end) & _PREVIOUS_IN_USE:
            return False
        begins = {one - back for one in registers for back in (0, _DATA_AT)}
        sizes = {
            end - begin: begin for begin in begins if not begin % _STEP and _LEAST <= end - begin <= _MOST
        }
        return any((self._size(begin) & ~_FLAGS) == size for size, begin in sizes.items())

    def mapped_alone(
        self, address: int, region: Region, words: Iterable[int]
    ) -> tuple[tuple[int, int] | None, bool]:
        """Beginning and end of the block that it lies in and that has a mapping of its own; None: in no such.

        That mapping is gone when the block is given back. And whether the words that were at hand where it
        was used lead to its beginning: else it may be a piece that a pool hands out, and takes back.
        """
        ends = self._mapped.get(region.begin)
        if ends is None:
            ends = self._mapped[region.begin] = list(self._walk(region))
        index = bisect_right(ends, address)
        if index == len(ends):
            return None, False
        begin = ends[index - 1] if index else region.begin
        return (begin, ends[index]), any(0 <= word - begin <= _BEGINNING for word in words)

    def _walk(self, region: Region) -> Sequence[int]:
        """The ends of blocks that fill the mapping from its beginning on."""
        found, at = [], region.begin
        for _number in range(_BLOCKS_CAP):
            size = self._size(at)
            if at >= region.end or size & _FLAGS != _IS_MAPPED or (size & ~_FLAGS) % 4096 or size < 4096:
                break
            at += size & ~_FLAGS
            if at > region.end:
                break
            found.append(at)
        return found

    def _size(self, block: int) -> int:
        try:
            return int(_WORD.unpack(self._read(block + _SIZE_AT, _WORD.size))[0])
        except OSError:
            return 0
