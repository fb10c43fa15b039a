"""Who holds a `threading.RLock` that a thread waits for: CPython 3.8 to 3.15 on x86-64.

struct rlockobject in Modules/_threadmodule.c, struct wait_entry in Python/parking_lot.c, and struct pthread
of glibc and of musl. A plain `threading.Lock` keeps no owner. What is read is the target's word: a lock is
one only if its type says so, and its owner only if it is a living thread of the process.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Collection, Iterator

from monitord import procfs
from monitord.procfs.memory import Memory

_STACK_BYTES = 16 * 1024  # from the awaited call up: the functions that take a lock hold it there
_TYPE_NAME = b"_thread.RLock\0"
_NAME_AT = (24, 40)  # in a type, with and without a global lock
_HEAD_BYTES = (16, 32)  # of an object, in the same order
_LOWEST, _HIGHEST = 1 << 16, 1 << 47
_ID_AT = (720, 48)  # of a thread's id in its struct pthread: glibc, musl; x86-64
_MOST_TIMES = 1 << 20
_WORD = struct.Struct("<Q")
_OWNED = struct.Struct("<QQ")  # owner, how often it took it


def held(memory: Memory, awaited: int, stack_at: int, threads: Collection[int]) -> tuple[int, int] | None:
    """Where the lock lies, and its owner as the process numbers its threads; None: it is another lock."""
    for owner_at in _owners(memory, awaited, stack_at):
        try:
            owner, times = _OWNED.unpack(memory.read(owner_at, _OWNED.size))
            if times <= _MOST_TIMES and (thread := _thread_of(memory, owner, threads)):
                return owner_at, thread
        except OSError:
            continue
    return None


def _owners(memory: Memory, awaited: int, stack_at: int) -> Iterator[int]:
    """Where owners may stand of locks that the awaited word belongs to."""
    # Since 3.14: the word lies behind the address of the lock's byte, in what its waiter keeps.
    if (byte := _word(memory, awaited - 8)) and _is_type_of(memory, byte):
        yield byte + 8
    for pointer in _pointers(memory, stack_at):
        for head in _HEAD_BYTES:
            if _word(memory, pointer + head) == awaited and _is_type_of(memory, pointer + head):
                yield pointer + head + 8


def _is_type_of(memory: Memory, content: int) -> bool:
    """Whether an RLock's fields begin there: right behind the pointer to their object's type."""
    try:
        kind = memory.word(content - 8)
        names = (memory.word(kind + at) for at in _NAME_AT)
        return any(_is_name(memory, at) for at in names)
    except OSError:
        return False


def _is_name(memory: Memory, address: int) -> bool:
    try:
        return memory.read(address, len(_TYPE_NAME)) == _TYPE_NAME
    except OSError:
        return False


def _pointers(memory: Memory, stack_at: int) -> list[int]:
    """What may point to objects, on the stack of who waits."""
    words: array[int] = array("Q")
    for begin in range(stack_at & ~7, (stack_at & ~7) + _STACK_BYTES, procfs.PAGE_BYTES):
        try:
            words.frombytes(memory.read(begin, procfs.PAGE_BYTES))
        except OSError:
            break
    return [*dict.fromkeys(one for one in words if _LOWEST <= one < _HIGHEST and not one % 16)]


def _thread_of(memory: Memory, owner: int, threads: Collection[int]) -> int:
    """The id of the thread whose struct pthread lies there; 0: of none. Raises OSError."""
    if not _LOWEST <= owner < _HIGHEST or memory.word(owner) != owner:
        return 0
    ids = (int.from_bytes(memory.read(owner + at, 4), "little") for at in _ID_AT)
    return next((one for one in ids if one in threads), 0)


def _word(memory: Memory, address: int) -> int:
    try:
        return memory.word(address)
    except OSError:
        return 0
