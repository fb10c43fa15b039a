"""Code objects by their addresses: names, and lines as they are asked for. Bounded.

Each time it is asked whether the object at an address is still the one that was read: they die, and others
take their place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from monitord.procfs.memory import Memory, pack
from monitord.stacks.cpython.layouts import Layout
from monitord.stacks.cpython.locations import line_at
from monitord.stacks.cpython.texts import Texts
from monitord.stacks.cpython.types import Types

Frame = tuple[str, str | None, int | None]
"""Qualified name, file, line."""

UNKNOWN = "[unknown]"
NAME_CAP, FILE_CAP = 256, 1024  # letters
_CODES_CAP = 2048
_LETTERS_CAP = 512 * 1024  # of all names in the cache
_LINES_CAP = 64  # of a code object
_TABLE_CAP_BYTES = 64 * 1024
_UNITS_CAP = 1 << 26
_BEFORE_FIRST_LINE = 4  # the field before it: what 3.11 computes the size of a frame from
_SAME_TEXT_BYTES = 24  # of a text behind its reference count: type, length, hash


class Code:
    """One code object. `is_own`: CPython's, around a call; no line of it can be traced."""

    __slots__ = (
        "address",
        "bytes",
        "check",
        "expected",
        "file",
        "first_line",
        "frame_bytes",
        "function",
        "is_own",
        "lines",
        "table",
    )

    def __init__(self, address: int, head: bytes, layout: Layout) -> None:
        self.address = address
        self.bytes = 2 * min(struct.unpack_from("<Q", head, layout.count)[0], _UNITS_CAP)
        self.first_line = struct.unpack_from("<i", head, layout.first_line)[0]
        self.table = struct.unpack_from("<Q", head, layout.line_table)[0]
        self.frame_bytes = 8 * _frame_words(head, layout)
        self.is_own = 2 * struct.unpack_from("<i", head, layout.first_traceable)[0] >= self.bytes
        self.function: str = ""
        self.file: str | None = None
        self.lines: dict[int, Frame] = {}
        begin, end = layout.first_line - _BEFORE_FIRST_LINE, layout.line_table + 8
        self.check = [(address + begin, end - begin)]
        self.expected = head[begin:end]


def _frame_words(head: bytes, layout: Layout) -> int:
    """How many words a call of it takes on the data stack: co_framesize, which 3.11 computes."""
    if layout.version == (3, 11):
        stack, _line, variables = struct.unpack_from("<3i", head, layout.first_line - 4)
        return int(stack + variables + layout.frame_bytes // 8)
    return int(struct.unpack_from("<i", head, layout.first_line + 8)[0])


class Codes:
    """What is known of code objects of one interpreter."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self._memory, self._layout = memory, layout
        self._types = Types(memory, layout)
        self._texts = Texts(memory, layout, self._types)
        self._known: dict[int, Code] = {}
        self._letter_count = 0
        self._last: tuple[tuple[int, ...], bytes, bytes] = ((), b"", b"")

    def of(self, addresses: Iterable[int]) -> dict[int, Code | None]:
        """The code objects at these addresses; None: there is no code object."""
        wanted = dict.fromkeys(addresses)
        known = tuple(address for address in wanted if address in self._known)
        if known and not self._are_same(known):
            self._forget_changed(known)
        missing = [address for address in wanted if address not in self._known]
        found = dict(zip(missing, self._read(missing), strict=True)) if missing else {}
        return {address: self._known.get(address) or found.get(address) for address in wanted}

    def frame(self, code: Code, offset: int) -> Frame:
        """Name, file and the line of the instruction at an offset; one outside of the code has no line."""
        frame = code.lines.get(offset)
        if frame is None:
            if len(code.lines) >= _LINES_CAP:
                code.lines.clear()
            frame = code.lines[offset] = code.function, code.file, self._line(code, offset)
        return frame

    def _line(self, code: Code, offset: int) -> int | None:
        if offset < 0 or offset >= code.bytes:
            return code.first_line if offset == -2 and code.first_line > 0 else None
        layout = self._layout
        head = self._memory.read_many(((code.table, layout.count + 8),))[0]
        if head is None or not self._types.is_a(b"bytes", struct.unpack_from("<Q", head, layout.type)[0]):
            return None
        size = min(struct.unpack_from("<Q", head, layout.count)[0], _TABLE_CAP_BYTES)
        table = self._memory.read_many(((code.table + layout.bytes_content, size),))[0]
        return None if table is None else line_at(table, code.first_line, offset)

    def _are_same(self, known: tuple[int, ...]) -> bool:
        """One call for all of them; mostly they are those of the time before."""
        if self._last[0] != known:
            codes = [self._known[address] for address in known]
            ranges = pack([one for code in codes for one in code.check])
            self._last = known, ranges, b"".join(code.expected for code in codes)
        return self._memory.read_packed(self._last[1], len(self._last[2])) == self._last[2]

    def _forget_changed(self, known: Sequence[int]) -> None:
        for address in known:
            code = self._known[address]
            if self._memory.read_packed(pack(code.check), len(code.expected)) != code.expected:
                self._forget(address)

    def _forget(self, address: int) -> None:
        code = self._known.pop(address)
        self._letter_count -= len(code.function) + len(code.file or "")
        self._last = (), b"", b""

    def _read(self, addresses: Sequence[int]) -> list[Code | None]:
        layout = self._layout
        heads = self._memory.read_many([(address, layout.instructions) for address in addresses])
        codes = [
            Code(address, head, layout)
            if head is not None and self._types.is_a(b"code", struct.unpack_from("<Q", head, layout.type)[0])
            else None
            for address, head in zip(addresses, heads, strict=True)
        ]
        self._name([(code, head) for code, head in zip(codes, heads, strict=True) if code and head])
        return codes

    def _name(self, codes: Sequence[tuple[Code, bytes]]) -> None:
        layout, wanted = self._layout, []
        for _, head in codes:
            name, file = (struct.unpack_from("<Q", head, at)[0] for at in (layout.name, layout.file_name))
            wanted += [(name, NAME_CAP), (file, FILE_CAP)]
        words = self._texts.read(wanted)
        behind = [(address + layout.type, _SAME_TEXT_BYTES) for address, _ in wanted]
        heads = self._memory.read_many(behind)
        for number, (code, _) in enumerate(codes):
            at = 2 * number
            code.function, code.file = words[at] or UNKNOWN, words[at + 1] or None
            for place, words_of_it in zip(behind[at : at + 2], heads[at : at + 2], strict=True):
                if words_of_it is not None:
                    code.check.append(place)
                    code.expected += words_of_it
            self._keep(code)

    def _keep(self, code: Code) -> None:
        letters = len(code.function) + len(code.file or "")
        while self._known and (len(self._known) >= _CODES_CAP or self._letter_count + letters > _LETTERS_CAP):
            self._forget(next(iter(self._known)))
        self._known[code.address] = code
        self._letter_count += letters
