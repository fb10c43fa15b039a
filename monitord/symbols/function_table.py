"""Functions by address, named by an ELF file's own symbol table: .symtab, or .dynsym in a stripped file."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from monitord.symbols import cpp, rust
from monitord.symbols.elf import Section, text
from monitord.symbols.tables import DYNSYM, ENTRIES_CAP, ENTRY_BYTES, SYMTAB, entries_of
from monitord.symbols.unwinding import FunctionStarts

_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
_NAME_CAP = 2048


class SymbolTable:
    """Functions by address. A table of more than a million entries has no names here.

    `starts` tells how far an address is behind the beginning of its function, if it has more than symbols.
    """

    def __init__(self, file: int, sections: Sequence[Section], starts: FunctionStarts | None = None) -> None:
        self._file, self._sections, self._starts = file, sections, starts
        self._names_at = self.entry_count = 0
        self._rows: list[tuple[int, int, int]] = []  # address, size, name
        table = next((one for kind in (SYMTAB, DYNSYM) for one in sections if one.kind == kind), None)
        if table is None or table.link >= len(sections) or table.size > ENTRIES_CAP * ENTRY_BYTES:
            return
        self._names_at, self.entry_count = sections[table.link].offset, table.size // ENTRY_BYTES
        self._rows = sorted(
            (address, size, name)
            for name, info, section, address, size in entries_of(file, table)
            if info & 15 in _FUNCTIONS and section and name
        )

    def name_at(self, address: int) -> str | None:
        """The function that the address is in; one without a size reaches to the next, named or not."""
        index = bisect.bisect_right(self._rows, (address, 1 << 64, 0))
        if not index:
            return None
        start, size, name = self._rows[index - 1]
        if address >= start + size and (size or self._is_over(start, address)):
            return None
        return readable(text(self._file, self._names_at + name, _NAME_CAP)) or None

    def _is_over(self, start: int, address: int) -> bool:
        """Whether a function without a size ends before: with its section, or where another one begins."""
        ends = (one.address + one.size for one in self._sections if one.address <= start)
        inside = self._starts.before(address) if self._starts else None
        return any(start < end <= address for end in ends) or (
            inside is not None and address - inside > start
        )


def readable(name: str) -> str:
    """A name of C++ or Rust as its author wrote it, without parameters; others stay as they are.

    So do those that repeat themselves until nobody can read them.
    """
    try:
        found = rust.function_name(name) if rust.is_rust(name) else cpp.function_name(name)
    except ValueError:
        return name
    return found if len(found) <= _NAME_CAP else name
