"""How much memory one Python object takes: its block, and the buffers that belong to it alone.

The block of a small object is told by the head of its pool (Objects/obmalloc.c), which says the same in all
versions; of others by the sizes of their type. Buffers: what lists, dicts, sets and byte arrays point to, and
the attributes that objects keep beside themselves since 3.11.
"""

from __future__ import annotations

import struct

from monitord.causes.python_types import BROKEN, HAS_GC, PythonType, Read

LIST, TUPLE, BYTES, TEXT, DICT = (1 << bit for bit in range(25, 30))  # Py_TPFLAGS_…_SUBCLASS
_MANAGED_DICT, _MANAGED_WEAKREF = 1 << 4, 1 << 3
_POOLS = (16384, 4096)  # since 3.10, before
_POOL_HEAD = struct.Struct("<IIQQQIIII")
_POOL_HEAD_BYTES = 48
_SMALLEST = 16
_LARGEST_CLASS = 31
_GC_HEAD = 16
_LIMIT = 1 << 40  # more than any object has
_SET_SMALL = 8  # entries that a set has in itself
_SETS = ("set", "frozenset")
_LOG_CAP = 40
_DICT_SMALLEST = 8  # slots


def is_sized(kind: PythonType) -> bool:
    """Whether objects of this type have something beside a block that every other one has, too."""
    has_length = kind.flags & (LIST | TUPLE | BYTES | TEXT | DICT)
    return bool(has_length) or kind.name in (*_SETS, "bytearray")


class Sizes:
    """Asks the memory of one process; pools are remembered."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._pools: dict[int, int] = {}

    def of(self, address: int, kind: PythonType) -> int:
        """Bytes that the object at an address takes; at least its type's size."""
        try:
            return self._block(address, kind) + self._buffers(address, kind)
        except BROKEN:
            return kind.basic_bytes

    def _block(self, address: int, kind: PythonType) -> int:
        pooled = self._pooled(address)
        if pooled:
            return pooled
        length, state = struct.unpack("<Q8xQ", self._read(address + 16, 24))
        size = kind.basic_bytes + (_GC_HEAD if kind.flags & HAS_GC else 0)
        if kind.flags & TEXT:
            width = state >> 2 & 7
            return self._reaching(address, size + (length + 1) * width) if width in (1, 2, 4) else size
        is_counted = kind.item_bytes and kind.flags & (TUPLE | BYTES)  # of others the word may be anything
        return self._reaching(address, size + length * kind.item_bytes) if is_counted else size

    def _reaching(self, begin: int, size: int) -> int:
        """A size, if there is memory up to its end: what is read by mistake has any number as its length."""
        if size:
            self._read(begin + size - 1, 1)
        return size

    def _pooled(self, address: int) -> int:
        """The size of the blocks of the pool that the address lies in; 0: it lies in none."""
        for pool_bytes in _POOLS:
            pool = address & -pool_bytes
            if pool + pool_bytes not in self._pools:
                self._pools[pool + pool_bytes] = self._pool(pool, pool_bytes)
            if size := self._pools[pool + pool_bytes]:
                return size
        return 0

    def _pool(self, pool: int, pool_bytes: int) -> int:
        try:
            head = _POOL_HEAD.unpack(self._read(pool, _POOL_HEAD_BYTES))
        except OSError:
            return 0
        used, size = head[0], (head[6] + 1) * _SMALLEST
        is_one = head[6] <= _LARGEST_CLASS and head[8] == pool_bytes - size
        return size if is_one and 0 < used <= pool_bytes // _SMALLEST else 0

    def _buffers(self, address: int, kind: PythonType) -> int:
        if kind.flags & LIST:
            used, items, allocated = struct.unpack("<QQQ", self._read(address + 16, 24))
            return self._reaching(items, 8 * _checked(allocated, used))
        if kind.flags & DICT:
            return self._dict(address)
        if kind.name == "bytearray":
            used, allocated, begin = struct.unpack("<QQQ", self._read(address + 16, 24))
            return self._reaching(begin, _checked(allocated, used))
        if kind.name in _SETS:
            filled, used, mask, entries = struct.unpack("<QQQQ", self._read(address + 16, 32))
            slots = _checked(mask + 1, filled, used)
            return 0 if slots <= _SET_SMALL else self._reaching(entries, 16 * _power_of_two(slots))
        return self._attributes(address, kind) if kind.flags & _MANAGED_DICT else 0

    def _dict(self, address: int) -> int:
        used, keys, values = struct.unpack("<Q8xQQ", self._read(address + 16, 32))
        head = self._read(keys, 16)
        old_slots = int.from_bytes(head[8:], "little")
        if old_slots >= _DICT_SMALLEST and not old_slots & (old_slots - 1):  # up to 3.10: the number itself
            slots, entry = old_slots, 24
            index = slots * (1 if slots <= 128 else 2 if slots <= 32768 else 4 if slots <= 1 << 31 else 8)
        else:  # since 3.11: logarithms, and the kind of its keys
            if not head[8] <= head[9] <= head[8] + 3 or head[8] > _LOG_CAP:
                raise ValueError("invalid dict: its index is not of its size")
            slots, index, entry = 1 << head[8], 1 << head[9], 16 if head[10] else 24
        room = slots * 2 // 3
        if _checked(slots, used) < _DICT_SMALLEST:
            return 0  # what all empty ones share
        return 8 * room if values else self._reaching(keys, 32 + index + room * entry)

    def _attributes(self, address: int, kind: PythonType) -> int:
        """The values that 3.11 and 3.12 keep beside an object; later they lie in it.

        In 3.12 the word that is three before it points to them if it is odd, else to a dict, which is counted
        by itself; in 3.11, which knows no managed weak references, that which is four before it does.
        """
        fourth, third = struct.unpack("<QQ", self._read(address - 32, 16))
        values = third if third & 1 else 0 if kind.flags & _MANAGED_WEAKREF else fourth
        return self._pooled(values) if values >> 16 and not values >> 47 else 0


def _checked(room: int, *used: int) -> int:
    """The room of a container, which holds no more than it has room for."""
    if room > _LIMIT or max(used) > room:
        raise ValueError("invalid container: it holds more than it has room for")
    return room


def _power_of_two(number: int) -> int:
    if number & (number - 1):
        raise ValueError(f"invalid set: room for {number} entries, expected a power of two")
    return number
