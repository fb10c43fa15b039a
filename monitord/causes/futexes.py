"""What a futex word says of its owner: pthread mutexes (glibc's nptl), priority-inheriting ones, or nothing.

Layouts: struct __pthread_mutex_s in glibc's sysdeps/nptl/bits/struct_mutex.h, the same since 2.3 on
machines of 64 bits; FUTEX_LOCK_PI in futex(2). An owner is told where every field fits: a word alone says
nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2 = 0, 6, 9, 11, 13
PRIVATE = 128
_COMMAND = 0x7F
_TID, _OWNER_DIED = 0x3FFFFFFF, 0x40000000
_MUTEX = struct.Struct("=iIiIi")  # lock, count, owner, number of users, kind
MUTEX_BYTES = _MUTEX.size
_CONTENDED = 2
_KINDS = 0x3F3  # types 0 to 3, robust, inheriting, protected, shared, elision and its opposite
_ROBUST = 0x10
_MOST_USERS = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of a futex call that waits."""

    address: int
    command: int
    expected: int
    is_private: bool
    is_timed: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """`kind` is "mutex", "PI mutex", "thread id", "semaphore" or "futex"; `owner` is a thread id.

    "thread id": the word is the id of a thread, which is how a join waits, and how some locks do.
    """

    kind: str
    owner: int | None = None


def call_of(arguments: tuple[int, ...]) -> Call | None:
    """The call with these arguments; None for one that does not wait."""
    if len(arguments) < 4 or arguments[1] & _COMMAND not in (WAIT, LOCK_PI, WAIT_BITSET, LOCK_PI2):
        return None
    address, operation, expected, timeout = arguments[:4]
    command, is_private = operation & _COMMAND, bool(operation & PRIVATE)
    return Call(address, command, expected & 0xFFFFFFFF, is_private, bool(timeout))


def judge(call: Call, memory: bytes, waiters: int, threads: Mapping[int, int]) -> Judged:
    """Say what a word is, by the 20 bytes from it on, how many wait for it, and the living thread ids."""
    if len(memory) < 4:
        return Judged("futex")
    word = int(struct.unpack_from("=I", memory)[0])
    if call.command in (LOCK_PI, LOCK_PI2):
        is_held = bool(word & _TID) and not word & _OWNER_DIED
        return Judged("PI mutex", word & _TID) if is_held else Judged("futex")
    if (owner := _mutex_owner(call, memory)) is not None:
        return Judged("mutex", owner)
    if word == call.expected and word in threads:
        return Judged("thread id", word)
    # struct new_sem: the value, then how many wait. Nobody else counts its waiters right behind a zero.
    is_zero = len(memory) >= 8 and word == call.expected == 0 and call.command == WAIT_BITSET
    is_semaphore = is_zero and struct.unpack_from("=I", memory, 4)[0] == waiters
    return Judged("semaphore" if is_semaphore else "futex")


def _mutex_owner(call: Call, memory: bytes) -> int | None:
    if len(memory) < MUTEX_BYTES:
        return None
    lock, _count, owner, users, kind = _MUTEX.unpack_from(memory)
    if owner <= 0 or not 1 <= users <= _MOST_USERS or kind & ~_KINDS:
        return None
    if kind & _ROBUST:
        return owner if lock & _TID == owner and call.expected == lock & 0xFFFFFFFF else None
    return owner if lock == call.expected == _CONTENDED else None
