"""Of which type an object is, told by the name that its type has: no symbol is needed for it."""

from __future__ import annotations

from monitord.procfs.memory import Memory
from monitord.symbols.cpython_layouts import Layout

_KNOWN_CAP = 64
_NAME_CAP = 8


class Types:
    """Addresses of types, by name; asked once for each."""

    def __init__(self, memory: Memory, layout: Layout) -> None:
        self._memory, self._layout = memory, layout
        self._names: dict[int, bytes] = {}

    def is_a(self, name: bytes, type_address: int) -> bool:
        """Whether the type at this address has that name."""
        if type_address not in self._names:
            if len(self._names) >= _KNOWN_CAP:
                self._names.clear()
            self._names[type_address] = self._name(type_address)
        return self._names[type_address] == name

    def _name(self, address: int) -> bytes:
        place = self._memory.read_many(((address + self._layout.type_name, 8),))[0]
        if place is None:
            return b""
        words = self._memory.read_many(((int.from_bytes(place, "little"), _NAME_CAP),))[0]
        return (words or b"").partition(b"\0")[0]
