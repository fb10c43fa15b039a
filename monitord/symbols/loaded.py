"""Where a loaded program or library offers a name, read from memory: no file is opened. 64-bit.

Its hash table is asked as the dynamic linker asks it (System V ABI, chapter 5; DT_GNU_HASH by binutils).
Everything read is its owner's word: what can't be there, or would take more than a few reads, is not found.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitord.procfs.memory import Memory
from monitord.symbols.elf import LOAD

_DYNAMIC = 2  # elf.h, as all below
_HASH, _STRINGS, _SYMBOLS, _GNU_HASH = 4, 5, 6, 0x6FFFFEF5
_PAGE = 4096
_DYNAMIC_CAP = 4096
_CHAIN_CAP = 64  # names that share a bucket: of Python's library never more than ten
_SYMBOL = struct.Struct("<IBBHQQ")


def defined_in(memory: Memory, begin: int, names: Iterable[str]) -> dict[str, int]:
    """Addresses of those names that are defined by what is mapped from its first byte at `begin`.

    Raises OSError when the process is gone or may not be read.
    """
    try:
        module = _module(memory, begin)
        return {name: at for name in names if (at := module.address_of(name.encode()))} if module else {}
    except (struct.error, ValueError, ZeroDivisionError):
        return {}


@dataclass(frozen=True, slots=True)
class _Module:
    """What the dynamic section says. `bias`: what is added to the file's addresses."""

    memory: Memory
    bias: int
    tables: dict[int, int]

    def address_of(self, name: bytes) -> int | None:
        """Where it is defined."""
        candidates = self._by_gnu_hash(name) if _GNU_HASH in self.tables else self._by_hash(name)
        for index in candidates:
            at = self.tables[_SYMBOLS] + _SYMBOL.size * index
            word, _info, _other, section, value, _size = _SYMBOL.unpack(self._read(at, _SYMBOL.size))
            if section and self._read(self.tables[_STRINGS] + word, len(name) + 1) == name + b"\0":
                return int(self.bias + value)
        return None

    def _by_gnu_hash(self, name: bytes) -> Iterator[int]:
        table, number = self.tables[_GNU_HASH], _gnu_hash(name)
        buckets, first, words, shift = struct.unpack("<4I", self._read(table, 16))
        filtered = self._number(table + 16 + 8 * (number // 64 % words), 8)
        if not filtered >> number % 64 & filtered >> (number >> shift) % 64 & 1:
            return
        bucket_at = table + 16 + 8 * words
        start = self._number(bucket_at + 4 * (number % buckets), 4)
        for index in range(start, start + _CHAIN_CAP) if start >= first else ():
            found = self._number(bucket_at + 4 * (buckets + index - first), 4)
            if found | 1 == number | 1:
                yield index
            if found & 1:
                return

    def _by_hash(self, name: bytes) -> Iterator[int]:
        table = self.tables[_HASH]
        buckets = self._number(table, 4)
        index = self._number(table + 8 + 4 * (_system_v_hash(name) % buckets), 4)
        for _ in range(_CHAIN_CAP):
            if not index:
                return
            yield index
            index = self._number(table + 8 + 4 * (buckets + index), 4)

    def _number(self, address: int, size: int) -> int:
        return int.from_bytes(self._read(address, size), "little")

    def _read(self, address: int, size: int) -> bytes:
        found = self.memory.read_many(((address, size),))[0]
        if found is None:
            raise ValueError("invalid table: expected one that lies in memory")
        return found


def _module(memory: Memory, begin: int) -> _Module | None:
    head = memory.read_many(((begin, _PAGE),))[0]
    if head is None or head[:6] != b"\x7fELF\x02\x01":
        return None
    at, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    if size != 56 or at + size * count > _PAGE:
        return None
    bias, dynamic = None, None
    for place in range(at, at + size * count, size):
        kind, _flags, offset, address, _physical, _in_file, length = struct.unpack_from(
            "<IIQQQQQ", head, place
        )
        if kind == LOAD and bias is None:
            bias = begin - (address - offset) // _PAGE * _PAGE
        elif kind == _DYNAMIC:
            dynamic = address, min(length, _DYNAMIC_CAP) // 16 * 16
    if bias is None or dynamic is None or bias < 0:
        return None
    return _with_tables(memory, bias, memory.read_many(((bias + dynamic[0], dynamic[1]),))[0])


def _with_tables(memory: Memory, bias: int, section: bytes | None) -> _Module | None:
    """glibc adds the bias to these addresses where they lie, musl does not."""
    tables = {
        tag: value if value >= bias else bias + value
        for tag, value in struct.iter_unpack("<QQ", section or b"")
    }
    is_whole = {_STRINGS, _SYMBOLS} <= tables.keys() and (_GNU_HASH in tables or _HASH in tables)
    return _Module(memory, bias, tables) if is_whole else None


def _gnu_hash(name: bytes) -> int:
    number = 5381
    for letter in name:
        number = (number * 33 + letter) & 0xFFFFFFFF
    return number


def _system_v_hash(name: bytes) -> int:
    number = 0
    for letter in name:
        number = (number << 4) + letter
        number = (number ^ (number >> 24 & 0xF0)) & 0x0FFFFFFF
    return number
