"""Records of page faults: as the kernel writes them they are read, and anything else ends in nothing."""

from __future__ import annotations

import random
import struct

from monitord.perf_events.faults import PERIODS, THREADS_AT_MOST, faults_in, followed_at_most


def record(stack: bytes = bytes(24), copied: int | None = None, abi: int = 2) -> bytes:
    registers = struct.pack("=17Q", *range(100, 117))
    body = struct.pack("=IIQQQ", 7, 8, 1234, 0x5000, abi) + registers + struct.pack("=Q", len(stack)) + stack
    body += struct.pack("=Q", len(stack) if copied is None else copied)
    return struct.pack("=IHH", 9, 0, 8 + len(body)) + body


def test_registers_have_the_numbers_that_call_frames_use() -> None:
    (found,) = faults_in(record(b"abcdefgh"), 7)
    assert (found.at_ns, found.address, found.stack) == (1234, 0x5000, b"abcdefgh")
    # rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp and the place in code, as perf orders them: ax bx cx dx si di bp sp ip
    assert [found.registers[one] for one in (0, 1, 2, 3, 4, 5, 6, 7, 16)] == [
        100, 103, 102, 101, 104, 105, 106, 107, 108,
    ]  # fmt: skip
    assert [found.registers[one] for one in range(8, 16)] == list(range(109, 117))


def test_of_the_stack_only_what_was_copied_counts() -> None:
    (found,) = faults_in(record(bytes(64), copied=16), 7)
    assert len(found.stack) == 16
    assert list(faults_in(record(abi=1), 7)) == []


def test_whatever_the_bytes_it_ends_within_them() -> None:
    chance = random.Random(3)
    whole = record(bytes(1016)) * 3
    for _round in range(300):
        damaged = bytearray(whole[: chance.randrange(len(whole))])
        for _byte in range(chance.randrange(20)):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert all(len(one.stack) <= len(damaged) for one in faults_in(bytes(damaged), 7))


def test_faults_of_another_process_are_not_the_targets() -> None:
    """The number of a thread that ended may be another's by the time its event is opened."""
    assert list(faults_in(record() + record(), 6)) == []


def test_a_thread_that_is_started_while_followed_costs_little_on_any_machine() -> None:
    """It inherits an event of each period and CPU, 1.4 kB that no control group counts."""
    for cpus in range(1, 1025):
        most = followed_at_most(cpus)
        assert 0 <= most <= THREADS_AT_MOST
        assert most * len(PERIODS) * cpus <= 128
        assert not most or len(PERIODS) * cpus * 1.4 <= 45
    assert [followed_at_most(cpus) for cpus in (1, 2, 4, 8, 16, 17, 256)] == [16, 16, 16, 8, 4, 0, 0]
