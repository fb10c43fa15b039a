"""One thread's frames, from its state to the root: in one call, mostly.

What the stack led through the time before is read with the state: pages of the data stack, and frames that
lie elsewhere (of generators, on C's stack).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitord.procfs.memory import Memory, pack
from monitord.stacks.cpython.refusals import ImpossibleStackError, UnreadableError
from monitord.symbols.cpython_layouts import Layout

DEPTH_CAP = 1024
OF_THREAD, _OF_FRAME_OBJECT, _OF_C = 0, 2, 4  # enum _frameowner: above an object's CPython's own
_SEEN_CAP = 2 * DEPTH_CAP  # with CPython's own
_PAGE = 4096
_RANGES_CAP, _RANGES_CAP_BYTES = 256, 96 * 1024
_MISSES_CAP = 256
_PAGES_KEPT = 8


@dataclass(slots=True)
class State:
    """A thread's state, and what is read with it."""

    address: int
    size: int
    packed: bytes = b""
    ranges: list[tuple[int, int]] = field(default_factory=list)
    total: int = 0

    def expect(self, others: Iterable[tuple[int, int]]) -> None:
        """Read these ranges with it from now on."""
        self.ranges, self.total = [(self.address, self.size)], self.size
        for begin, size in others:
            if len(self.ranges) < _RANGES_CAP and self.total + size <= _RANGES_CAP_BYTES:
                self.ranges.append((begin, size))
                self.total += size
        self.packed = pack(self.ranges)


RawFrame = tuple[int, int, int, int, int]
"""Of one function's call: address, code, instruction, owner, and which copy of its code it runs."""


class Walk:
    """One look at a state; `missed` calls more than one were needed. Raises OSError, UnreadableError."""

    def __init__(self, memory: Memory, layout: Layout, state: State) -> None:
        self._memory, self._layout, self._state = memory, layout, state
        self._pieces: list[tuple[int, int, bytes]] = []
        self._single: dict[int, bytes] = {}  # frames, and cells that lead to one
        self._last = 0, 0, b""
        self.missed = 0
        if not state.ranges:
            state.expect(())
        data = memory.read_packed(state.packed, state.total)
        if data is None:  # its data stack has shrunk
            state.expect(())
            self.missed, data = 1, memory.read(state.address, state.size)
        at = 0
        for begin, size in state.ranges:
            self._add(begin, data[at : at + size])
            at += size
        self.head = self._pieces[0][2]

    def _add(self, begin: int, data: bytes) -> None:
        """Pages of the data stack are read from its top down; frames go over from one to the next."""
        if len(data) < _PAGE and self._pieces:
            self._single[begin] = data
            return
        if len(self._pieces) > 1 and begin + len(data) == self._pieces[-1][0]:
            data += self._pieces.pop()[2]
        self._pieces.append((begin, begin + len(data), data))

    def frames(self, frame: struct.Struct) -> tuple[list[RawFrame], bool]:
        """Functions' frames, the innermost first, and whether the last one is the root."""
        layout, size = self._layout, self._layout.frame_bytes
        address, cells = self._innermost()
        found: list[RawFrame] = []
        owners: dict[int, int] = {}
        begin, end, data = self._last
        while address and len(found) < DEPTH_CAP and len(owners) < _SEEN_CAP and self.missed < _MISSES_CAP:
            if address in owners or address % 8:
                raise ImpossibleStackError("its frames lead to themselves, or to no frame")
            if not begin <= address <= end - size:
                begin, end, data = self._piece(address, size, whole_pages=True)
            code, previous, instruction, *index, owner = frame.unpack_from(data, address - begin)
            if owner > _OF_C:
                raise ImpossibleStackError("its frames lead to no frame")
            owners[address] = owner
            if owner <= _OF_FRAME_OBJECT:
                found.append((address, code & ~7, instruction, owner, index[0] if index else 0))
            address = previous
        if self.missed:
            self._state.expect([*cells, *self._ranges(owners, layout.frame_bytes)])
        return found, not address

    def _innermost(self) -> tuple[int, list[tuple[int, int]]]:
        """The frame, and where before 3.13 the C frame has its address."""
        path = self._layout.frame_path
        address, cells = struct.unpack_from("<Q", self.head, path[0])[0], []
        for offset in path[1:]:
            if not address:
                break
            cells.append((address + offset, 8))
            begin, _, data = self._last = self._piece(address + offset, 8, whole_pages=False)
            address = struct.unpack_from("<Q", data, address + offset - begin)[0]
        return address, cells

    def _piece(self, address: int, size: int, *, whole_pages: bool) -> tuple[int, int, bytes]:
        """Where bytes that hold these begin and end, and the bytes."""
        if len(self._single.get(address, b"")) >= size:
            return address, address + size, self._single[address]
        for piece in self._pieces:
            if piece[0] <= address <= piece[1] - size:
                return piece
        begin, end = address, address + size
        if whole_pages:
            begin, end = begin // _PAGE * _PAGE, (end + _PAGE - 1) // _PAGE * _PAGE
        self.missed += 1
        data = self._memory.read_many(((begin, end - begin),))[0]
        if data is None:
            raise UnreadableError("a frame lies where no memory is")
        self._pieces.append((begin, end, data))
        return self._pieces[-1]

    def _ranges(self, owners: dict[int, int], size: int) -> list[tuple[int, int]]:
        """Whole pages of the data stack, its top first: that changes most. Of other frames only these.

        A stack shrinks and grows: what was expected this time is expected again, if it is not too much.
        """
        pages = {
            page
            for address, owner in owners.items()
            if owner == OF_THREAD
            for page in (address // _PAGE, (address + size - 1) // _PAGE)
        }
        before = {
            page
            for begin, length in self._state.ranges
            if length % _PAGE == 0
            for page in range(begin // _PAGE, (begin + length) // _PAGE)
        }
        if len(pages | before) <= _PAGES_KEPT:
            pages |= before
        stack = [(page * _PAGE, _PAGE) for page in sorted(pages, reverse=True)]
        return stack + [(address, size) for address, owner in owners.items() if owner != OF_THREAD]


def frame_struct(layout: Layout) -> struct.Struct:
    """Code, previous, instruction, owner: in this order in every version. Before the owner an index."""
    words, end = "<", 0
    for offset, kind, size in (
        (layout.code, "Q", 8), (layout.previous, "Q", 8), (layout.instruction, "Q", 8),
        *([(layout.local_code_index, "i", 4)] if layout.local_code_index else []), (layout.owner, "B", 1),
    ):  # fmt: skip
        words += f"{offset - end}x{kind}"
        end = offset + size
    return struct.Struct(words)
