"""Entries of an ELF file's own symbol tables, and where something of a known name lies."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator, Sequence

from monitord.symbols.elf import Section

SYMTAB, DYNSYM = 2, 11  # section types, elf.h
ENTRY_BYTES = 24
ENTRIES_CAP = 1_000_000
_WORDS_CAP_BYTES = 16 * 1024 * 1024
_SEARCHED_CAP_BYTES, _PIECE_BYTES = 64 * 1024 * 1024, 24 * 16384


def addresses_of(file: int, sections: Sequence[Section], names: Iterable[str]) -> dict[str, int]:
    """Where what a program or library offers under these names lies, whatever it is."""
    table = next((one for one in sections if one.kind == DYNSYM), None)
    if table is None or table.link >= len(sections):
        return {}
    words = os.pread(file, min(sections[table.link].size, _WORDS_CAP_BYTES), sections[table.link].offset)
    places = {words.find(b"\0" + name.encode() + b"\0") + 1: name for name in names}
    return {
        places[name]: address
        for name, _info, section, address, _size in entries_of(file, table)
        if section and name and name in places
    }


def places_of(file: int, sections: Sequence[Section], names: Iterable[str]) -> dict[str, int]:
    """The same of all names a program was linked with, by .symtab: searched in pieces, however long it is."""
    table = next((one for one in sections if one.kind == SYMTAB), None)
    if table is None or table.link >= len(sections):
        return {}
    words, found = sections[table.link], {}
    for name in names:
        place = _found_in(file, words.offset, words.size, b"\0" + name.encode() + b"\0", 1)
        at = (
            _found_in(file, table.offset, table.size, struct.pack("<I", place + 1), ENTRY_BYTES)
            if place >= 0
            else -1
        )
        entry = os.pread(file, ENTRY_BYTES, table.offset + at) if at >= 0 else b""
        if len(entry) == ENTRY_BYTES and (row := struct.unpack("<IBBHQQ", entry))[3]:
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


def entries_of(file: int, table: Section) -> Iterator[tuple[int, int, int, int, int]]:
    """Name, info, section, address, size of each entry."""
    size = min(table.size, ENTRIES_CAP * ENTRY_BYTES) // ENTRY_BYTES * ENTRY_BYTES
    data = os.pread(file, size, table.offset)
    for name, info, _other, section, address, length in struct.iter_unpack(
        "<IBBHQQ", data[: len(data) // ENTRY_BYTES * ENTRY_BYTES]
    ):
        yield name, info, section, address, length
