"""What lies where in an ELF file (System V ABI, chapters 4 and 5), and its build id. 64-bit, little-endian.

Everything in the file is its owner's word: what can't be is a ValueError, struct.error or OSError.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LOAD, NOTE, EH_FRAME = 1, 4, 0x6474E550  # elf.h
_GNU_BUILD_ID = 3
_SEGMENTS_CAP = 64
_SECTIONS_CAP = 1024
_NOTE_CAP = 4096
_NAME_CAP = 64
BROKEN = (OSError, struct.error, ValueError, OverflowError, MemoryError)


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header: where its bytes lie in the file, and at which address they are mapped."""

    kind: int
    offset: int
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Section:
    """One section header. `link` is the number of the section that belongs to it."""

    name: str
    kind: int
    offset: int
    address: int
    size: int
    link: int


def segments_of(file: int) -> list[Segment]:
    """The program headers; ValueError for any but a 64-bit little-endian ELF file."""
    head = _head(file)
    at, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    data = os.pread(file, size * min(count, _SEGMENTS_CAP), at)
    found = []
    for begin in range(0, len(data), size):
        kind, _flags, offset, address, _physical, in_file = struct.unpack_from("<IIQQQQ", data, begin)
        found.append(Segment(kind, offset, address, in_file))
    return found


def sections_of(file: int) -> list[Section]:
    """The section headers; none where they were stripped."""
    head = _head(file)
    at = struct.unpack_from("<Q", head, 40)[0]
    size, count, names_at = struct.unpack_from("<HHH", head, 58)
    if not at or size != 64 or not names_at < count <= _SECTIONS_CAP:
        return []
    data = os.pread(file, size * count, at)
    rows = [struct.unpack_from("<IIQQQQI", data, begin) for begin in range(0, len(data) - 63, size)]
    names = rows[names_at] if names_at < len(rows) else (0,) * 7
    return [
        Section(text(file, names[4] + row[0], _NAME_CAP), row[1], row[4], row[3], row[5], row[6])
        for row in rows
    ]


def _head(file: int) -> bytes:
    head = os.pread(file, 64, 0)
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        raise ValueError("invalid program file: expected a 64-bit little-endian ELF file")
    return head


def text(file: int, offset: int, cap: int) -> str:
    """The words that end at the next NUL, without what separates frames or moves a terminal's cursor."""
    words = os.pread(file, cap, offset).partition(b"\0")[0].decode(errors="replace")
    return "".join(letter if letter.isprintable() and letter != ";" else "?" for letter in words)


def build_id_of(file: int, segments: Sequence[Segment]) -> str:
    """The build id as hexadecimal digits; empty: it has none."""
    for segment in segments:
        note, at = b"", 0
        if segment.kind == NOTE:
            note = os.pread(file, min(segment.size, _NOTE_CAP), segment.offset)
        while at + 12 <= len(note):
            name_size, size, type_ = struct.unpack_from("<III", note, at)
            begin = at + 12 + (name_size + 3) // 4 * 4
            if type_ == _GNU_BUILD_ID and note[at + 12 : at + 15] == b"GNU":
                return note[begin : begin + size].hex()
            at = begin + (size + 3) // 4 * 4
    return ""


def offset_of(address: int, segments: Iterable[Segment]) -> int | None:
    """Where in the file the bytes lie that are mapped at this address."""
    for segment in segments:
        if segment.kind == LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    return None


def address_of(offset: int, segments: Iterable[Segment]) -> int | None:
    """The address at which this offset of the file is mapped."""
    for segment in segments:
        if segment.kind == LOAD and segment.offset <= offset < segment.offset + segment.size:
            return offset - segment.offset + segment.address
    return None
