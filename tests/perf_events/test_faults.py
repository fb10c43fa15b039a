"""Records of page faults: as the kernel writes them they are read, and anything else ends in nothing."""

from __future__ import annotations

import random
import struct

from monitord.perf_events.faults import faults_in


def record(stack: bytes = bytes(24), copied: int | None = None, abi: int = 2) -> bytes:
    registers = struct.pack("=17Q", *range(100, 117))
    body = struct.pack("=IIQQQ", 7, 8, 1234, 0x5000, abi) + registers + struct.pack("=Q", len(stack)) + stack
    body += struct.pack("=Q", len(stack) if copied is None else copied)
    return struct.pack("=IHH", 9, 0, 8 + len(body)) + body


def test_registers_have_the_numbers_that_call_frames_use() -> None:
    (found,) = faults_in(record(b"abcdefgh"))
    assert (found.at_ns, found.address, found.stack) == (1234, 0x5000, b"abcdefgh")
    # rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp and the place in code, as perf orders them: ax bx cx dx si di bp sp ip
    assert [found.registers[one] for one in (0, 1, 2, 3, 4, 5, 6, 7, 16)] == [
        100, 103, 102, 101, 104, 105, 106, 107, 108,
    ]  # fmt: skip
    assert [found.registers[one] for one in range(8, 16)] == list(range(109, 117))


def test_of_the_stack_only_what_was_copied_counts() -> None:
    (found,) = faults_in(record(bytes(64), copied=16))
    assert len(found.stack) == 16
    assert list(faults_in(record(abi=1))) == []


def test_whatever_the_bytes_it_ends_within_them() -> None:
    chance = random.Random(3)
    whole = record(bytes(1016)) * 3
    for _round in range(300):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _byte in range(chance.randrange(20)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert all(len(one.stack) <= len(damaged) for one in faults_in(bytes(damaged)))
