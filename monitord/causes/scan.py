"""Where bytes of a Python process look like objects: a small reference count, then a pointer. Pure.

CPython 3.8 to 3.15 puts both at the beginning of an object, and objects at multiples of 16. Whole columns
of bytes are combined as one large number each: a loop over words would cost four times as much.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import compress

STEP_BYTES = 16
LARGE_LENGTH = 1024
"""From so many elements on an object counts as large; its size is read and not estimated."""
_LARGE_PER_PIECE = 1024

_IS_ZERO = bytes([1]) + bytes(255)
_IS_SET = bytes([0]) + bytes([1]) * 255
_IS_UNALIGNED = bytes(1 if value & 15 else 0 for value in range(256))
_ALL_OF_ZERO = bytes([255]) + bytes(255)
_IS_BETWEEN = bytes(1 if 0 < value < 0x80 else 0 for value in range(256))
_FROM_1024 = bytes(1 if value & 0xFC else 0 for value in range(256))
_SET = re.compile(b"\x01")


class Piece:
    """A piece of memory in steps of 16 bytes; `pointers` are the second words, one a step."""

    __slots__ = ("_columns", "_is_object", "_lengths", "count", "pointers")

    def __init__(self, data: bytes) -> None:
        self.count = len(data) // STEP_BYTES
        data = data[: self.count * STEP_BYTES]
        words = array("Q", data)
        self.pointers, self._lengths = words[1::2], words[0::2]
        self._columns = [data[number::STEP_BYTES] for number in range(STEP_BYTES)]
        self._is_object = self._find()

    def _find(self) -> int:
        """A count below 2¹⁶, or above 2³¹ as immortal objects have it, before a pointer of user space.

        In between lie pointers of programs that are not randomised, as Debian's Python: tables of them, whose
        second one is a type's, were objects of that type.
        """
        columns, size = [int.from_bytes(column, "little") for column in self._columns], self.count
        wrong = columns[4] | columns[5] | columns[6] | columns[7] | columns[14] | columns[15]
        wrong |= int.from_bytes(self._columns[8].translate(_IS_UNALIGNED), "little")
        wrong |= int.from_bytes(self._columns[3].translate(_IS_BETWEEN), "little")
        wrong |= columns[2] & int.from_bytes(self._columns[3].translate(_ALL_OF_ZERO), "little")
        some = columns[0] | columns[1] | columns[3]
        far = columns[10] | columns[11] | columns[12] | columns[13]
        return _flags(wrong, size, _IS_ZERO) & _flags(some, size, _IS_SET) & _flags(far, size, _IS_SET)

    def types(self) -> Iterator[int]:
        """What may be a pointer to a type, once an object."""
        return compress(self.pointers, self._is_object.to_bytes(self.count, "little"))

    def objects(self) -> Iterator[tuple[int, int]]:
        """Offset of each and what may be its type."""
        offsets = range(0, self.count * STEP_BYTES, STEP_BYTES)
        return compress(
            zip(offsets, self.pointers, strict=True), self._is_object.to_bytes(self.count, "little")
        )

    def large(self) -> Iterator[tuple[int, int, int]]:
        """Offset, what may be its type, and length, of objects whose third word is a large length.

        There stand the length of texts, bytes, lists and tuples, and how many a dict or a set holds.
        """
        columns = self._columns
        some = int.from_bytes(columns[1].translate(_FROM_1024), "little")
        for number in (2, 3, 4):
            some |= int.from_bytes(columns[number], "little")
        wrong = int.from_bytes(columns[5], "little") | int.from_bytes(columns[6], "little")
        wrong |= int.from_bytes(columns[7], "little")
        lengths = _flags(some, self.count, _IS_SET) & _flags(wrong, self.count, _IS_ZERO)
        found = (self._is_object & (lengths >> 8)).to_bytes(self.count, "little")
        for number, match in enumerate(_SET.finditer(found)):
            if number >= _LARGE_PER_PIECE:
                return
            index = match.start()
            yield index * STEP_BYTES, self.pointers[index], self._lengths[index + 1]


def _flags(column: int, size: int, table: bytes) -> int:
    return int.from_bytes(column.to_bytes(size, "little").translate(table), "little")
