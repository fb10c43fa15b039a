"""The types of a Python process, read from its memory: which words are one, how it is called, how large.

The layout of a type up to its flags is the same in CPython 3.8 to 3.15 (Include/cpython/object.h). All that
is read is an attacker's: lengths and counts are bounded, names are capped and printable.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import compress, pairwise
from operator import eq

Read = Callable[[int, int], bytes]
"""Bytes at an address, all of them; raises OSError."""

BROKEN = (OSError, struct.error, ValueError, OverflowError, IndexError)
_HEAD = struct.Struct("<QQQQqq")  # count, type, length, name, size, size of an item
_HEAD_BYTES = 272  # up to tp_dict
_NAME_AT, _FLAGS_AT, _DICT_AT = 24, 168, 264
_FREE_THREADED_SHIFT = 16
_WORD = 8
_NAME_CAP = 80
_SIZE_CAP = 1 << 20
_METATYPES_CAP = 4
HEAP, HAS_GC, TYPE_SUBCLASS = 1 << 9, 1 << 14, 1 << 31
_TEXT_AT = (48, 40)  # where an ASCII text begins: up to 3.11, since 3.12
_KEYS_AT, _KEYS_READ = 32, 1024
_PAIRS_CAP = 48
_MODULE_KEY = b"__module__\0"


class UncountableError(Exception):
    """The objects of a process can't be counted; says why."""


@dataclass(frozen=True, slots=True)
class PythonType:
    """One type: its name as `tp_name` has it, its sizes in bytes and its flags (Py_TPFLAGS_*)."""

    address: int
    name: str
    basic_bytes: int
    item_bytes: int
    flags: int

    @property
    def is_heap(self) -> bool:
        """Made while the program ran, by a class statement or an extension: no built-in one."""
        return bool(self.flags & HEAP)


def find_type_type(data: bytes, address: int, read: Read) -> int | None:
    """The address of `type` in the data of a program: the only object that is its own type.

    Raises UncountableError for a free-threaded build, whose objects have another head.
    """
    words = array("Q", data[: len(data) // _WORD * _WORD])
    for shift in (_WORD, _WORD + _FREE_THREADED_SHIFT):
        own = range(address - shift, address - shift + len(words) * _WORD, _WORD)
        for found in compress(own, map(eq, words, own)):
            name_at = _NAME_AT + shift - _WORD
            try:
                if _text(read, _word(read, found + name_at), 8) != "type":
                    continue
            except BROKEN:
                continue
            if shift != _WORD:
                raise UncountableError("cannot count objects of a free-threaded build of Python")
            return found
    return None


class PythonTypes:
    """Asks of an address whether it is a type; every answer is remembered."""

    def __init__(self, read: Read, type_type: int) -> None:
        self._read, self._type_type = read, type_type
        self._known: dict[int, PythonType | None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def at(self, address: int) -> PythonType | None:
        """Return the type at an address, or None."""
        if address not in self._known:
            self._known[address] = None  # what leads back to itself never ends
            self._known[address] = self._look(address, _METATYPES_CAP)
        return self._known[address]

    def _look(self, address: int, metatypes: int) -> PythonType | None:
        try:
            head = self._read(address, _HEAD_BYTES)
            count, metatype, _length, name_at, basic, item = _HEAD.unpack_from(head)
            if not count or not 0 < basic <= _SIZE_CAP or not 0 <= item <= _SIZE_CAP:
                return None
            if metatype != self._type_type and not self._is_metatype(metatype, metatypes):
                return None
            name = _text(self._read, name_at, _NAME_CAP)
        except BROKEN:
            return None
        flags = struct.unpack_from("<Q", head, _FLAGS_AT)[0]
        return PythonType(address, name, basic, item, flags) if name else None

    def _is_metatype(self, address: int, metatypes: int) -> bool:
        """Whether it is a class of classes, so that what has it as its type is a class."""
        if not metatypes:
            return False
        found = self._known.get(address) or self._look(address, metatypes - 1)
        return found is not None and bool(found.flags & TYPE_SUBCLASS)

    def full_name(self, kind: PythonType) -> str:
        """With its module, where that can be had; built-in types say it themselves."""
        if not kind.is_heap or "." in kind.name:
            return kind.name
        try:
            module = self._module(kind)
        except BROKEN:
            return kind.name
        return f"{module}.{kind.name}" if module and module != "builtins" else kind.name

    def _module(self, kind: PythonType) -> str:
        """The value of `__module__` in the type's own dict: there it is one of the first."""
        keys = _word(self._read, _word(self._read, kind.address + _DICT_AT) + _KEYS_AT)
        words = array("Q", _upto(self._read, keys, _KEYS_READ))
        for number, (key, value) in enumerate(pairwise(words[4:])):
            if number > _PAIRS_CAP:
                break
            if key & 7 or not key >> 16 or key >> 47 or value & 7 or not value >> 16 or value >> 47:
                continue
            for text_at in _TEXT_AT:
                try:
                    if self._read(key + text_at, len(_MODULE_KEY)) == _MODULE_KEY:
                        return _text(self._read, value + text_at, _NAME_CAP)
                except OSError:
                    continue
        return ""


def _word(read: Read, address: int) -> int:
    return int.from_bytes(read(address, _WORD), "little")


def _upto(read: Read, address: int, size: int) -> bytes:
    """What can be had from there, in halves: the rest of it may not be mapped."""
    while size >= _WORD:
        try:
            return read(address, size)
        except OSError:
            size //= 2
    return b""


def _text(read: Read, address: int, cap: int) -> str:
    """Return a C text if it can be shown as it is, else an empty one."""
    data, end, _ = _upto(read, address, cap).partition(b"\0")
    text = data.decode("utf-8", "replace")
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if end else text + "…" * bool(text)


def names(types: PythonTypes, kinds: Iterator[PythonType]) -> dict[int, str]:
    """The full name of each type by its address."""
    return {kind.address: types.full_name(kind) for kind in kinds}
