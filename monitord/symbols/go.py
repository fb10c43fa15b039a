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

_MAGIC = (0xFFFFFFF0, 0xFFFFFFF1)  # Go 1.18, Go 1.20
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
        magic, zeros, _least, pointer_bytes, count, _files, self._text, *offsets = _HEADER.unpack(head)
        names, _units, _file_names, _lines, functions = offsets
        is_known = magic in _MAGIC and not zeros and pointer_bytes == 8 and self._text
        if not is_known or not 0 < count <= _FUNCTIONS_CAP:
            return
        if functions + 8 * count > section.size or names >= section.size:
            return
        self._names, self._functions = section.offset + names, section.offset + functions
        self._starts = _Starts(file, self._functions, count + 1)

    def name_at(self, address: int) -> str | None:
        """The function that the address is in."""
        if not self._starts or not 0 <= (at := address - self._text) < 1 << 32:
            return None
        index = bisect.bisect_right(self._starts, at)
        if not 0 < index < len(self._starts):
            return None  # the last entry only says where the code ends
        place = struct.unpack("<I", os.pread(self._file, 4, self._functions + 8 * (index - 1) + 4))[0]
        start, name = struct.unpack("<Ii", os.pread(self._file, 8, self._functions + place))
        if start != self._starts[index - 1] or name < 0:
            return None
        return text(self._file, self._names + name, _NAME_CAP) or None


class _Starts(Sequence[int]):
    """Where functions begin, from the beginning of the code: read where it lies."""

    def __init__(self, file: int, first: int, count: int) -> None:
        self._file, self._first, self._count = file, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:  # type: ignore[override]  # slices are not asked for
        return int(struct.unpack("<I", os.pread(self._file, 4, self._first + 8 * index))[0])
