"""Texts of an interpreter: str objects in their compact forms, of which only so many letters are read."""

from __future__ import annotations

import struct
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from monitord.procfs.memory import Memory
from monitord.stacks.cpython.types import Types
from monitord.symbols.cpython_layouts import Layout

_CUT = "…"
_ENCODINGS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
# Where the kind stands in the state: a free-threaded 3.14 keeps the bits before it in a byte of their own.
_SHIFTS = (2, 8)
_ONCE_CAP = 2048
_T = TypeVar("_T", bound=Hashable)
_once: dict[Any, Any] = {}


def once(value: _T) -> _T:
    """Return an equal value that is held already: processes of one program have the same names and frames."""
    if len(_once) >= _ONCE_CAP:
        _once.clear()
    return _once.setdefault(value, value)  # type: ignore[no-any-return]


class Texts:
    """Reads several at a time: three calls for all of them."""

    def __init__(self, memory: Memory, layout: Layout, types: Types) -> None:
        self._memory, self._layout, self._types = memory, layout, types

    def read(self, wanted: Sequence[tuple[int, int]]) -> list[str | None]:
        """The first `cap` letters of the text at each (address, cap); None: there is no readable text."""
        layout = self._layout
        heads = self._memory.read_many([(address, layout.text_bytes) for address, _ in wanted])
        places = [self._place(at, head, cap) for (at, cap), head in zip(wanted, heads, strict=True)]
        data = self._memory.read_many([(place[0], place[1]) for place in places if place is not None])
        found = iter(data)
        return [self._decoded(place, next(found)) if place is not None else None for place in places]

    def _place(self, address: int, head: bytes | None, cap: int) -> tuple[int, int, str, bool] | None:
        """Where its letters begin, how many bytes are read, their encoding, and whether there are more."""
        layout = self._layout
        if head is None or not self._types.is_a(b"str", struct.unpack_from("<Q", head, layout.type)[0]):
            return None
        length = struct.unpack_from("<Q", head, layout.text_length)[0]
        state = struct.unpack_from("<I", head, layout.text_state)[0]
        for shift in _SHIFTS:
            kind, is_compact, is_ascii = state >> shift & 7, state >> shift + 3 & 1, state >> shift + 4 & 1
            if kind in _ENCODINGS and is_compact:
                begin = address + (layout.text_bytes if is_ascii else layout.wide_text_bytes)
                return begin, kind * min(length, cap), _ENCODINGS[kind], length > cap
        return None

    @staticmethod
    def _decoded(place: tuple[int, int, str, bool], data: bytes | None) -> str | None:
        if data is None:
            return None
        words = data.decode(place[2], errors="replace")
        shown = words
        if not words.isprintable() or ";" in words:
            shown = "".join(letter if letter.isprintable() and letter != ";" else "?" for letter in words)
        return once(shown + _CUT if place[3] else shown)
