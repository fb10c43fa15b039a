"""From one call frame to its caller, by what compilers wrote into .eh_frame for unwinders. x86-64.

DWARF 5, chapter 6.4; Linux Standard Base Core 10.6.1; numbers of registers: the psABI. What is told by an
expression is not known here, and the way ends there; so it does where the file makes no sense.
"""

from __future__ import annotations

import bisect
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from monitord.symbols.elf import Section, Segment, offset_of

STACK_POINTER, RETURN_ADDRESS = 7, 16
_KEPT = (3, 6, 12, 13, 14, 15)  # what a function that uses them gives back to its caller
_ENTRY_CAP = 64 * 1024
_SCANNED_CAP = 2 << 20
_COMMON_CAP = 1024  # each may be one function's alone, and overlap with all others
_STEPS_CAP = 4096
_REMEMBERED_CAP = 64
_SIZES = {0x0: "<q", 0x3: "<I", 0x4: "<Q", 0xB: "<i", 0xC: "<q", 0x2: "<H", 0xA: "<h"}  # DW_EH_PE_*
FRAMES_AT_MOST = 32


@dataclass(slots=True)
class Row:
    """Where the caller's frame begins (a register and what to add; None: not known), and what lies where
    from there; None of a register: it is lost."""

    base: int | None = None
    add: int = 0
    saved: dict[int, int | None] = field(default_factory=dict)

    def copy(self) -> Row:
        return Row(self.base, self.add, dict(self.saved))


def of_go(frame_bytes: int) -> Row:
    """The row of a function of Go, which gives no register back to its caller."""
    return Row(STACK_POINTER, frame_bytes + 8, {**dict.fromkeys(_KEPT), RETURN_ADDRESS: -8})


@dataclass(frozen=True, slots=True)
class _Common:
    """What many functions have in common (a CIE)."""

    code_step: int
    data_step: int
    pointers: int
    has_more: bool
    program: bytes


class Entries(Protocol):
    """Where it is told of a function."""

    def entry_before(self, address: int) -> int | None:
        """The address of the entry of the function that begins there or before."""


class CallFrames:
    """The rows of one file's functions."""

    def __init__(self, file: int, segments: Sequence[Segment], starts: Entries) -> None:
        self._file, self._segments, self._starts = file, segments, starts
        self._rows: dict[int, Row | None] = {}

    def row_at(self, address: int) -> Row | None:
        """The row for an address of the file; None: nothing is told of it. Raises what is in elf.BROKEN."""
        if address not in self._rows:
            self._rows[address] = self._read(address)
        return self._rows[address]

    def _read(self, address: int) -> Row | None:
        at = self._starts.entry_before(address)
        if at is None:
            return None
        entry = self._entry(at)
        common = _common(self._entry(at + 4 - entry.number("<I")))
        begin = entry.number(_form(common.pointers))
        if common.pointers & 0x70 == 0x10:
            begin += at + 8
        elif common.pointers & 0x70:
            return None
        size = entry.number(_form(common.pointers & 0x7))
        if not begin <= address < begin + size:
            return None  # between functions
        if common.has_more:
            entry.skip(entry.unsigned())
        first = _run(common.program, common, None, Row(), None)
        return _run(entry.rest(), common, address - begin, first.copy(), first)

    def _entry(self, address: int) -> _Words:
        offset = offset_of(address, self._segments)
        if offset is None:
            raise ValueError("invalid call frame: it is in no segment")
        size = struct.unpack("<I", os.pread(self._file, 4, offset))[0]
        if not 4 <= size <= _ENTRY_CAP:
            raise ValueError(f"invalid call frame: {size} bytes")
        return _Words(os.pread(self._file, size, offset + 4))


class ScannedEntries:
    """The entries of a file without a table of them, as static linking leaves it: .eh_frame read once."""

    def __init__(self, file: int, section: Section) -> None:
        """Raises what is in elf.BROKEN."""
        data, at = os.pread(file, min(section.size, _SCANNED_CAP), section.offset), 0
        pointers: dict[int, int] = {}
        found: list[tuple[int, int]] = []
        while at + 8 <= len(data):
            size, back = struct.unpack_from("<II", data, at)
            if size and back:
                common = at + 4 - back
                if common not in pointers:
                    (length,) = struct.unpack_from("<I", data, common)
                    end = common + 4 + min(length, _COMMON_CAP)
                    pointers[common] = _common(_Words(data[common + 4 : end])).pointers
                begin = _Words(data[at + 8 : at + 4 + size]).number(_form(pointers[common]))
                is_relative = pointers[common] & 0x70 == 0x10
                found.append((begin + is_relative * (section.address + at + 8), section.address + at))
            at += 4 + size
        self._found = sorted(found)

    def entry_before(self, address: int) -> int | None:
        index = bisect.bisect_right(self._found, (address, 1 << 64)) - 1
        return self._found[index][1] if index >= 0 else None


class _Words:
    """Reads numbers one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def number(self, form: str) -> int:
        (found,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(found)

    def unsigned(self) -> int:
        return self._leb()[0]

    def signed(self) -> int:
        value, bits, last = self._leb()
        return value - (1 << bits) if last & 0x40 else value

    def _leb(self) -> tuple[int, int, int]:
        value = bits = 0
        while bits <= 63:
            byte = self.number("B")
            value |= (byte & 0x7F) << bits
            bits += 7
            if byte < 0x80:
                return value, bits, byte
        raise ValueError("invalid call frame: a number of too many bytes")

    def text(self) -> bytes:
        end = self._data.index(b"\0", self._at)
        found, self._at = self._data[self._at : end], end + 1
        return found

    def skip(self, count: int) -> None:
        self._at += count

    def rest(self) -> bytes:
        return self._data[self._at :]


def _form(encoding: int) -> str:
    if encoding & 0xF not in _SIZES:
        raise ValueError("invalid call frame: a pointer of an unknown form")
    return _SIZES[encoding & 0xF]


def _common(words: _Words) -> _Common:
    is_common, version, more = words.number("<I") == 0, words.number("B"), words.text()
    if not is_common or version not in (1, 3) or more[:1] not in (b"", b"z"):
        raise ValueError("invalid call frame: of an unknown form")
    code_step, data_step = words.unsigned(), words.signed()
    register = words.number("B") if version == 1 else words.unsigned()
    if register != RETURN_ADDRESS:
        raise ValueError("invalid call frame: of another architecture")
    pointers = 0
    if more:
        size = words.unsigned()
        told = _Words(words.rest()[:size])
        words.skip(size)
        for letter in more[1:]:
            if letter == ord("R"):
                pointers = told.number("B")
            elif letter == ord("L"):
                told.number("B")
            elif letter == ord("P"):
                told.number(_form(told.number("B")))
            elif letter != ord("S"):
                raise ValueError("invalid call frame: of an unknown form")
    return _Common(code_step, data_step, pointers, bool(more), words.rest())


def _run(program: bytes, common: _Common, wanted: int | None, row: Row, first: Row | None) -> Row:
    """What holds at `wanted` bytes from the function's beginning on; None: at its end."""
    words, at, remembered = _Words(program), 0, list[Row]()
    for _step in range(_STEPS_CAP):
        if words.is_over():
            return row
        code = words.number("B")
        low = code & 0x3F
        if code >> 6 == 1 or code in _ADVANCES:
            at += common.code_step * (low if code >> 6 == 1 else words.number(_ADVANCES[code]))
            if wanted is not None and at > wanted:
                return row
        elif code >> 6 == 2:
            row.saved[low] = words.unsigned() * common.data_step
        elif code >> 6 == 3 or code == _RESTORE:
            _restore(row, low if code >> 6 == 3 else words.unsigned(), first)
        elif code == _REMEMBER and len(remembered) < _REMEMBERED_CAP:
            remembered.append(row.copy())
        elif code == _RECALL and remembered:
            row = remembered.pop()
        else:
            _apply(code, words, common.data_step, row)
    raise ValueError("invalid call frame: its program does not end")


_ADVANCES = {2: "B", 3: "<H", 4: "<I"}  # DW_CFA_*
_RESTORE, _REMEMBER, _RECALL = 6, 0xA, 0xB


def _restore(row: Row, register: int, first: Row | None) -> None:
    row.saved.pop(register, None)
    if first is not None and register in first.saved:
        row.saved[register] = first.saved[register]


def _apply(code: int, words: _Words, data_step: int, row: Row) -> None:
    if code in (0x0C, 0x12):  # DW_CFA_def_cfa, …_sf
        row.base = words.unsigned()
        row.add = words.unsigned() if code == 0x0C else words.signed() * data_step
    elif code == 0x0D:  # …_register
        row.base = words.unsigned()
    elif code in (0x0E, 0x13):  # …_offset, …_offset_sf
        row.add = words.unsigned() if code == 0x0E else words.signed() * data_step
    elif code == 0x0F:  # …_expression
        row.base = None
        words.skip(words.unsigned())
    elif code in (0x05, 0x11):  # offset_extended, …_sf
        register = words.unsigned()
        row.saved[register] = (words.unsigned() if code == 0x05 else words.signed()) * data_step
    elif code == 0x08:  # same_value
        row.saved.pop(words.unsigned(), None)
    elif code == 0x07:  # undefined
        row.saved[words.unsigned()] = None
    elif code in (0x09, 0x14, 0x15):  # in another register, or its value itself is told
        row.saved[words.unsigned()] = None
        words.unsigned()
    elif code in (0x10, 0x16):  # by an expression
        row.saved[words.unsigned()] = None
        words.skip(words.unsigned())
    elif code == 0x2E:  # how much was pushed for a call
        words.unsigned()
    elif code != 0:
        raise ValueError(f"invalid call frame: unknown instruction {code}")


# ------------------------------------------------------------------------------------------- walking


def walked(registers: Mapping[int, int], stack: bytes, row_at: Callable[[int], Row | None]) -> Iterator[int]:
    """Where code was, the leaf first, then where each caller had called; as far as is sure."""
    bottom, known = registers[STACK_POINTER], dict(registers)
    for number in range(FRAMES_AT_MOST):
        at = known[RETURN_ADDRESS] - (1 if number else 0)  # a call may be its function's last instruction
        yield at
        row = row_at(at)
        if row is None or row.base not in known:
            return
        begin = known[row.base] + row.add
        if begin <= known[STACK_POINTER]:
            return  # each caller lies above

        def word(offset: int | None, begin: int = begin) -> int | None:
            place = None if offset is None else begin + offset - bottom
            if place is None or not 0 <= place <= len(stack) - 8:
                return None
            return int.from_bytes(stack[place : place + 8], "little")

        back = word(row.saved.get(RETURN_ADDRESS))
        if not back:
            return
        kept = {one: word(row.saved[one]) if one in row.saved else known.get(one) for one in _KEPT} | {
            STACK_POINTER: begin,
            RETURN_ADDRESS: back,
        }
        known = {one: value for one, value in kept.items() if value is not None}
