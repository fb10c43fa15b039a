"""Names in an ELF file's own symbol table: .symtab, or .dynsym in a stripped file."""

from __future__ import annotations

import bisect
import os
import struct
from collections.abc import Iterable, Iterator, Sequence

from monitord.symbols import cpp, rust
from monitord.symbols.elf import Section, text

_SYMTAB, _DYNSYM = 2, 11  # section types, elf.h
_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_ENTRY_BYTES = 24
_ENTRIES_CAP = 1_000_000
_NAME_CAP = 2048
_WORDS_CAP_BYTES = 16 * 1024 * 1024
_SEARCHED_CAP_BYTES, _PIECE_BYTES = 64 * 1024 * 1024, 24 * 16384


def addresses_of(file: int, sections: Sequence[Section], names: Iterable[str]) -> dict[str, int]:
    """Where what a program or library offers under these names lies, whatever it is."""
    table = next((one for one in sections if one.kind == _DYNSYM), None)
    if table is None or table.link >= len(sections):
        return {}
    words = os.pread(file, min(sections[table.link].size, _WORDS_CAP_BYTES), sections[table.link].offset)
    places = {words.find(b"\0" + name.encode() + b"\0") + 1: name for name in names}
    return {
        places[name]: address
        for name, _info, section, address, _size in _entries(file, table)
        if section and name and name in places
    }


def places_of(file: int, sections: Sequence[Section], names: Iterable[str]) -> dict[str, int]:
    """The same of all names a program was linked with, by .symtab: searched in pieces, however long it is."""
    table = next((one for one in sections if one.kind == _SYMTAB), None)
    if table is None or table.link >= len(sections):
        return {}
    words, found = sections[table.link], {}
    for name in names:
        place = _found_in(file, words.offset, words.size, b"\0" + name.encode() + b"\0", 1)
        at = (
            _found_in(file, table.offset, table.size, struct.pack("<I", place + 1), _ENTRY_BYTES)
            if place >= 0
            else -1
        )
        entry = os.pread(file, _ENTRY_BYTES, table.offset + at) if at >= 0 else b""
        if len(entry) == _ENTRY_BYTES and (row := struct.unpack("<IBBHQQ", entry))[3]:
            found[name] = row[4]
    return found


def _found_in(file: int, offset: int, size: int, wanted: bytes, step: int) -> int:
    """Where these bytes stand first, at a multiple of `step` from the offset; -1: nowhere."""
    for begin in range(0, min(size, _SEARCHED_CAP_BYTES), _PIECE_BYTES):
        piece = os.pread(file, _PIECE_BYTES + len(wanted), offset + begin)
        at = piece.find(wanted)
        while at >= 0 and (begin + at) % step:
            at = piece.find(wanted, at + 1)
        if at >= 0:
            return begin + at
    return -1


def _entries(file: int, table: Section) -> Iterator[tuple[int, int, int, int, int]]:
    """Name, info, section, address, size of each entry."""
    size = min(table.size, _ENTRIES_CAP * _ENTRY_BYTES) // _ENTRY_BYTES * _ENTRY_BYTES
    data = os.pread(file, size, table.offset)
    for name, info, _other, section, address, length in struct.iter_unpack(
        "<IBBHQQ", data[: len(data) // _ENTRY_BYTES * _ENTRY_BYTES]
    ):
        yield name, info, section, address, length


class SymbolTable:
    """Functions by address. A table of more than a million entries has no names here."""

    def __init__(self, file: int, sections: Sequence[Section]) -> None:
        self._file = file
        self._names_at = self.entry_count = 0
        self._rows: list[tuple[int, int, int]] = []  # address, size, name
        table = next((one for kind in (_SYMTAB, _DYNSYM) for one in sections if one.kind == kind), None)
        if table is None or table.link >= len(sections) or table.size > _ENTRIES_CAP * _ENTRY_BYTES:
            return
        self._names_at, self.entry_count = sections[table.link].offset, table.size // _ENTRY_BYTES
        self._rows = sorted(
            (address, size, name)
            for name, info, section, address, size in _entries(file, table)
            if info & 15 in _FUNCTIONS and section and name
        )

    def name_at(self, address: int) -> str | None:
        """The function that the address is in; one without a size reaches to the next."""
        index = bisect.bisect_right(self._rows, (address, 1 << 64, 0))
        if not index:
            return None
        start, size, name = self._rows[index - 1]
        if size and address >= start + size:
            return None
        return readable(text(self._file, self._names_at + name, _NAME_CAP)) or None


def readable(name: str) -> str:
    """A name of C++ or Rust as its author wrote it, without parameters; others stay as they are."""
    try:
        return rust.function_name(name) if rust.is_rust(name) else cpp.function_name(name)
    except ValueError:
        return name
