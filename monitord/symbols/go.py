"""Go's own table of functions, which stays in stripped programs: .gopclntab of Go 1.18 and later.

Layout: runtime/symtab.go and cmd/link/internal/ld/pcln.go. Another version, or one whose header does not say
where its code begins, has no names here.
"""

from __future__ import annotations

import bisect
import os
import struct
from collections.abc import Sequence

from monitord.symbols.elf import Section, text

_FLAGS_AT = {0xFFFFFFF0: 37, 0xFFFFFFF1: 41}  # by the magic of Go 1.18 and of Go 1.20
_TOP_FRAME, _SETS_STACK_POINTER = 1, 2  # internal/abi/symtab.go
_ENTRY_BYTES, _TABLE_CAP = 44, 16384
_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")
_HEADER = struct.Struct("<IHBBQQQQQQQQ")
_FUNCTIONS_CAP = 5_000_000
_NAME_CAP = 512


class GoTable:
    """Functions by address; empty where there is no such table."""

    def __init__(self, file: int, sections: Sequence[Section]) -> None:
        self._file, self._starts = file, _Starts(file, 0, 0)
        section = next((one for one in sections if one.name in _SECTIONS), None)
        head = os.pread(file, _HEADER.size, section.offset) if section else b""
        if section is None or len(head) < _HEADER.size:
            return
        magic, zeros, self._step, pointer_bytes, count, _files, self._text, *offsets = _HEADER.unpack(head)
        names, _units, _file_names, tables, functions = offsets
        is_known = magic in _FLAGS_AT and not zeros and pointer_bytes == 8 and self._text
        if not is_known or not 0 < count <= _FUNCTIONS_CAP:
            return
        if functions + 8 * count > section.size or names >= section.size or tables >= section.size:
            return
        self._names, self._functions = section.offset + names, section.offset + functions
        self._tables, self._flags_at = section.offset + tables, _FLAGS_AT[magic]
        self._starts = _Starts(file, self._functions, count + 1)

    def name_at(self, address: int) -> str | None:
        """The function that the address is in."""
        entry = self._entry(address)
        name = struct.unpack_from("<i", entry, 4)[0] if entry else -1
        return text(self._file, self._names + name, _NAME_CAP) or None if name >= 0 else None

    def frame_bytes_at(self, address: int) -> int | None:
        """How far the stack pointer is below the return address, at this instruction; None: not known.

        Of a function that switches stacks, and of the first of a stack, nobody knows.
        """
        entry = self._entry(address)
        if not entry or entry[self._flags_at] & (_TOP_FRAME | _SETS_STACK_POINTER):
            return None
        start, table = struct.unpack_from("<I", entry)[0], struct.unpack_from("<I", entry, 16)[0]
        words = os.pread(self._file, _TABLE_CAP, self._tables + table) if table else b""
        return _value_at(words, address - self._text - start, self._step)

    def _entry(self, address: int) -> bytes:
        """What is told of the function that the address is in; empty: nothing."""
        if not self._starts or not 0 <= (at := address - self._text) < 1 << 32:
            return b""
        index = bisect.bisect_right(self._starts, at)
        if not 0 < index < len(self._starts):
            return b""  # the last entry only says where the code ends
        place = struct.unpack("<I", os.pread(self._file, 4, self._functions + 8 * (index - 1) + 4))[0]
        entry = os.pread(self._file, _ENTRY_BYTES, self._functions + place)
        is_it = len(entry) == _ENTRY_BYTES and struct.unpack_from("<I", entry)[0] == self._starts[index - 1]
        return entry if is_it else b""


def _value_at(words: bytes, wanted: int, step: int) -> int | None:
    """The value at an offset in a function, in pairs of by how much the value and the offset go on."""
    value, offset, at = -1, 0, 0
    while at < len(words):
        by, at = _number(words, at)
        if not by and offset:
            return None
        value += ~(by >> 1) if by & 1 else by >> 1
        ahead, at = _number(words, at)
        offset += ahead * step
        if wanted < offset:
            return value if value >= 0 else None
    return None


def _number(words: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where the next begins."""
    found = bits = 0
    while bits < 35 and at < len(words):
        byte = words[at]
        found |= (byte & 0x7F) << bits
        at, bits = at + 1, bits + 7
        if byte < 0x80:
            return found, at
    raise ValueError("invalid table of Go: a number that does not end")


class _Starts(Sequence[int]):
    """Where functions begin, from the beginning of the code: read where it lies."""

    def __init__(self, file: int, first: int, count: int) -> None:
        self._file, self._first, self._count = file, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:  # type: ignore[override]  # slices are not asked for
        return int(struct.unpack("<I", os.pread(self._file, 4, self._first + 8 * index))[0])
