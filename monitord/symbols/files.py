"""One program's file: its build id, and what its functions are called; what is not known is empty."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from monitord.symbols.elf import (
    BROKEN,
    Section,
    Segment,
    address_of,
    build_id_of,
    sections_of,
    segments_of,
)
from monitord.symbols.function_table import SymbolTable
from monitord.symbols.go import GoTable
from monitord.symbols.unwinding import FunctionStarts

if TYPE_CHECKING:
    from monitord.symbols.call_frames import CallFrames, Entries, Row

_Found = TypeVar("_Found")


class File:
    """An open regular file. Offsets are those of the file, as perf tells them."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._segments: list[Segment] = _tried(lambda: segments_of(descriptor)) or []
        self.build_id = _tried(lambda: build_id_of(descriptor, self._segments)) or ""
        self._starts = _tried(lambda: FunctionStarts(descriptor, self._segments))
        self._sections: list[Section] | None = None
        self._go: GoTable | None = None
        self._symbols: SymbolTable | None = None
        self._call_frames: CallFrames | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is a program at all."""
        return bool(self._segments)

    @property
    def symbol_count(self) -> int:
        """How many entries of its table of symbols were read so far."""
        return self._symbols.entry_count if self._symbols else 0

    def function_at(self, offset: int) -> int | None:
        """The offset of the first byte of the function that `offset` is in."""
        address, starts = address_of(offset, self._segments), self._starts
        if address is None or not starts:
            return None
        inside = _tried(lambda: starts.before(address))
        return offset - inside if inside is not None and inside <= offset else None

    def row_at(self, offset: int) -> Row | None:
        """How to come from this place to its caller."""
        from monitord.symbols import call_frames  # only who unwinds itself needs it

        address = address_of(offset, self._segments)
        if address is None:
            return None
        if self._call_frames is None:
            entries = self._starts or self._scanned()
            self._call_frames = call_frames.CallFrames(self.descriptor, self._segments, entries)
        frames, go = self._call_frames, self._go
        if (row := _tried(lambda: frames.row_at(address))) is not None:
            return row
        size = _tried(lambda: go.frame_bytes_at(address)) if go is not None else None
        return call_frames.of_go(size) if size is not None else None

    def _scanned(self) -> Entries:
        from monitord.symbols.call_frames import ScannedEntries

        self._read(reads_symbols=False)
        file = self.descriptor
        section = next((one for one in self._sections or () if one.name == ".eh_frame"), None)
        found = _tried(lambda: ScannedEntries(file, section)) if section is not None else None
        return found or FunctionStarts(file, ())

    def name_at(self, offset: int, *, reads_symbols: bool) -> str | None:
        """The name of that function: from its symbols, where they are asked for, or from Go's own table."""
        address = address_of(offset, self._segments)
        if address is None:
            return None
        self._read(reads_symbols=reads_symbols)
        tables = (self._symbols if reads_symbols else None, self._go)
        for table in tables:
            if table is not None and (name := _tried(partial(table.name_at, address))):
                return name
        return None

    def _read(self, *, reads_symbols: bool) -> None:
        file = self.descriptor
        if self._sections is None:
            self._sections = sections = _tried(lambda: sections_of(file)) or []
            self._go = _tried(lambda: GoTable(file, sections))
        if reads_symbols and self._symbols is None:
            known = self._sections
            starts = self._starts
            self._symbols = _tried(lambda: SymbolTable(file, known, starts)) or SymbolTable(file, ())

    def close(self) -> None:
        """Let go of the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self._segments, self._starts, self._go, self._symbols = [], None, None, None


def _tried(read: Callable[[], _Found]) -> _Found | None:
    """What can't be read is not known: the file is its owner's word."""
    try:
        return read()
    except BROKEN:
        return None
