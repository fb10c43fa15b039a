"""Code objects by their addresses: names, and lines as they are asked for. Bounded.

Each time it is asked whether the object at an address is still the one that was read: they die, and others
take their place. What is read, is read for all frames of a stack together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from monitord.procfs.memory import Memory, pack
from monitord.stacks.cpython.locations import line_at
from monitord.stacks.cpython.texts import Texts, once
from monitord.stacks.cpython.types import Types
from monitord.symbols.cpython_layouts import Layout

Frame = tuple[str, str | None, int | None]
"""Qualified name, file, line; None: not known."""

UNKNOWN = "[unknown]"
NAME_CAP, FILE_CAP = 256, 1024  # letters
CODES_CAP = 240
LETTERS_CAP = 96 * 1024  # of all their names
_LINES_CAP = 32  # of a code object
_TABLE_CAP_BYTES, _TABLES_CAP_BYTES = 64 * 1024, 256 * 1024  # of one, and of all that a stack asks for
_UNITS_CAP = 1 << 26
_COPIES_CAP = 64
_NOT_BEGUN = -2  # the offset of a function before its first instruction, until 3.12
_BEFORE_FIRST_LINE = 4  # the field before it: what 3.11 computes the size of a frame from
_SAME_TEXT_BYTES = 24  # of a text behind its reference count: type, length, hash


class Code:
    """One code object. `is_own`: CPython's, around a call; no line of it can be traced."""

    __slots__ = (
        "address", "bytes", "copies", "expected", "file", "first_line", "frame_bytes", "function", "is_own",
        "lines", "ranges", "table",
    )  # fmt: skip

    def __init__(self, address: int, head: bytes, layout: Layout) -> None:
        self.address = address
        self.bytes = 2 * min(struct.unpack_from("<Q", head, layout.count)[0], _UNITS_CAP)
        self.first_line = struct.unpack_from("<i", head, layout.first_line)[0]
        self.table = struct.unpack_from("<Q", head, layout.line_table)[0]
        self.frame_bytes = 8 * _frame_words(head, layout)
        self.is_own = 2 * struct.unpack_from("<i", head, layout.first_traceable)[0] >= self.bytes
        self.function = UNKNOWN
        self.file: str | None = None
        self.lines: dict[int, Frame] = {}
        self.copies: dict[int, int] | None = None  # only some builds have any
        begin, end = layout.first_line - _BEFORE_FIRST_LINE, layout.line_table + 8
        self.ranges = pack(((address + begin, end - begin),))  # what is read to see whether it is the same
        self.expected = head[begin:end]

    @property
    def letter_count(self) -> int:
        return len(self.function) + len(self.file or "")


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
        self.known: dict[int, Code] = {}
        self.letter_count = 0
        self._last: tuple[tuple[int, ...], bytes, bytes] = ((), b"", b"")

    def of(self, addresses: Iterable[int]) -> dict[int, Code | None]:
        """The code objects at these addresses; None: something else is there."""
        wanted = dict.fromkeys(addresses)
        known = tuple(address for address in wanted if address in self.known)
        if known and not self._are_same(known):
            self._forget_changed(known)
        found: dict[int, Code | None] = {address: self.known.get(address) for address in wanted}
        missing = [address for address, code in found.items() if code is None]
        if missing:
            found.update(zip(missing, self._read(missing), strict=True))
        return found

    def _are_same(self, known: tuple[int, ...]) -> bool:
        """One call for all of them; mostly they are those of the time before."""
        if self._last[0] != known:
            codes = [self.known[address] for address in known]
            ranges = b"".join(code.ranges for code in codes)
            self._last = known, ranges, b"".join(code.expected for code in codes)
        return self._memory.read_packed(self._last[1], len(self._last[2])) == self._last[2]

    def _forget_changed(self, known: Sequence[int]) -> None:
        codes = [self.known[address] for address in known]
        ranges = struct.iter_unpack("<QQ", b"".join(code.ranges for code in codes))
        found = iter(self._memory.read_many([(at, size) for at, size in ranges]))
        for code in codes:
            if b"".join(next(found) or b"" for _ in range(len(code.ranges) // 16)) != code.expected:
                self._forget(code.address)

    def _forget(self, address: int) -> None:
        self.letter_count -= self.known.pop(address).letter_count
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
        layout = self._layout
        fields = (layout.name, NAME_CAP), (layout.file_name, FILE_CAP)
        wanted = [(struct.unpack_from("<Q", head, at)[0], cap) for _, head in codes for at, cap in fields]
        words = iter(self._texts.read(wanted))
        check = [(at + layout.type, _SAME_TEXT_BYTES) for at, _ in wanted]
        same = iter(zip(check, self._memory.read_many(check), strict=True))
        for code, _ in codes:
            code.function, code.file = next(words) or UNKNOWN, next(words) or None
            for _ in range(2):
                place, found = next(same)
                if found is not None:
                    code.ranges += pack((place,))
                    code.expected += found
        self._keep([code for code, _ in codes])

    def _keep(self, codes: Sequence[Code]) -> None:
        """The oldest go where there is no room, of this stack, too, if it has more than are kept."""
        for code in codes:
            self.known[code.address] = code
            self.letter_count += code.letter_count
        while len(self.known) > CODES_CAP or self.letter_count > LETTERS_CAP:
            self._forget(next(iter(self.known)))

    # ------------------------------------------------------------------------------------------ lines

    def frames(self, wanted: Sequence[tuple[Code, int]]) -> list[Frame]:
        """Name, file and the line of the instruction at each offset; one outside of the code has no line."""
        missing = {(code.address, at): (code, at) for code, at in wanted if at not in code.lines}
        if not missing:
            return [code.lines[at] for code, at in wanted]
        found = {(code.address, at): code.lines[at] for code, at in wanted if at in code.lines}
        found |= self._with_lines(list(missing.values()))
        return [found[code.address, at] for code, at in wanted]

    def _with_lines(self, missing: Sequence[tuple[Code, int]]) -> dict[tuple[int, int], Frame]:
        found: dict[tuple[int, int], Frame] = {}
        for (code, at), table in zip(missing, self._tables([code.table for code, _ in missing]), strict=True):
            line = None
            if table is not None and 0 <= at < code.bytes:
                line = line_at(table, code.first_line, at)
            elif at == _NOT_BEGUN and code.first_line > 0:
                line = code.first_line
            if len(code.lines) >= _LINES_CAP:
                del code.lines[next(iter(code.lines))]
            code.lines[at] = found[code.address, at] = once((code.function, code.file, line))
        return found

    def _tables(self, addresses: Sequence[int]) -> list[bytes | None]:
        """Location tables, each once; those that would be too much for one stack are left for the next."""
        layout, once = self._layout, list(dict.fromkeys(addresses))
        heads = self._memory.read_many([(address, layout.count + 8) for address in once])
        places: dict[int, tuple[int, int]] = {}
        total = 0
        for address, head in zip(once, heads, strict=True):
            if head is None or not self._types.is_a(b"bytes", struct.unpack_from("<Q", head, layout.type)[0]):
                continue
            size = min(struct.unpack_from("<Q", head, layout.count)[0], _TABLE_CAP_BYTES)
            total += size
            if total <= _TABLES_CAP_BYTES:
                places[address] = address + layout.bytes_content, size
        found = dict(zip(places, self._memory.read_many(list(places.values())), strict=True))
        return [found.get(address) for address in addresses]

    # ------------------------------------------------------------------- free-threaded builds from 3.14 on

    def beginning(self, code: Code, index: int) -> int:
        """Where the instructions lie that a thread runs: it may have a copy of its own. 0: nowhere."""
        layout = self._layout
        if index <= 0 or not layout.local_codes:
            return code.address + layout.instructions
        if code.copies is None:
            code.copies = {}
        if index not in code.copies:
            place = self._memory.read_many(((code.address + layout.local_codes, 8),))[0]
            copies = int.from_bytes(place or b"", "little")
            found = self._memory.read_many(((copies, 8), (copies + 8 + 8 * index, 8)))
            count, begin = (int.from_bytes(word or b"", "little") for word in found)
            if len(code.copies) >= _COPIES_CAP:
                code.copies.clear()
            code.copies[index] = begin if index < count else 0
        return code.copies[index]
