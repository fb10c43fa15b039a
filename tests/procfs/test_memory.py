"""Memory of another process: exactly what lies there, several ranges in a call, and OSError for all else."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from monitord.procfs.memory import CAP_BYTES, Memory, pack

# Keeps known bytes, with a page behind them that can't be read, and says where.
HOLDER = """
import ctypes, mmap, sys
size = 64 * 4096
place = mmap.mmap(-1, size)
place.write(bytes((number * 7 + number // 256) % 256 for number in range(size)))
at = ctypes.addressof(ctypes.c_char.from_buffer(place))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(at + size - 4096), 4096, 0) == 0
print(at, size, flush=True)
sys.stdin.read()
"""


def content(begin: int, size: int) -> bytes:
    return bytes((number * 7 + number // 256) % 256 for number in range(begin, begin + size))


@pytest.fixture(scope="module")
def holder() -> Iterator[tuple[int, int, int]]:
    """Its pid, where its bytes begin, how many can be read."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        at, size = map(int, process.stdout.readline().split())
        yield process.pid, at, size - 4096
        process.kill()


def test_what_is_read_is_what_lies_there(holder: tuple[int, int, int]) -> None:
    pid, at, size = holder
    memory, chance = Memory(pid), random.Random(5)
    for _ in range(50):
        begin, count = chance.randrange(size // 2), chance.randrange(CAP_BYTES // 2)
        count = min(count, size - begin)
        assert memory.read(at + begin, count) == content(begin, count)
    assert memory.word(at + 8) == int.from_bytes(content(8, 8), "little")


def test_many_ranges_cost_one_call(holder: tuple[int, int, int]) -> None:
    pid, at, size = holder
    memory, chance = Memory(pid), random.Random(6)
    ranges = [(chance.randrange(size - 100), chance.randrange(1, 100)) for _ in range(500)]
    found = memory.read_many([(at + begin, count) for begin, count in ranges])
    assert found == [content(begin, count) for begin, count in ranges]
    assert memory.call_count == 1
    packed = pack([(at + begin, count) for begin, count in ranges])
    assert memory.read_packed(packed, sum(count for _, count in ranges)) == b"".join(map(bytes, found))  # type: ignore[arg-type]
    assert memory.call_count == 2


def test_what_can_not_be_read_is_none_and_hides_nothing_else(holder: tuple[int, int, int]) -> None:
    """Wherever it stands among the ranges; each costs one call more."""
    pid, at, size = holder
    wrong = [(8, 8), (at + size, 8), (at + size - 4, 8), (1 << 63, 8), (-8, 8), (at, -1), (at, CAP_BYTES + 1)]
    chance = random.Random(7)
    for _ in range(50):
        asked = [chance.choice([*wrong, (at, 16), (at + 4096, 16)]) for _ in range(chance.randrange(1, 40))]
        memory = Memory(pid)
        expected = [None if one in wrong else content(one[0] - at, 16) for one in asked]
        assert memory.read_many(asked) == expected
        assert memory.call_count <= len(asked)


def test_more_than_a_call_may_hold_is_read_in_several(holder: tuple[int, int, int]) -> None:
    pid, at, _ = holder
    memory = Memory(pid)
    found = memory.read_many([(at, 4096)] * 100)
    assert found == [content(0, 4096)] * 100
    assert memory.call_count == 4
    memory = Memory(pid)
    assert len(memory.read_many([(at, 1)] * 1500)) == 1500
    assert memory.call_count == 3


@pytest.mark.parametrize(
    ("shift", "size"),
    [(-1, 8), (1 << 60, 8), (0, CAP_BYTES + 1), (0, -1), (63 * 4096, 8), (63 * 4096 - 4, 8)],
)
def test_a_range_that_is_not_there_is_an_error(holder: tuple[int, int, int], shift: int, size: int) -> None:
    pid, at, _ = holder
    address = -8 if shift == -1 else at + shift
    with pytest.raises(OSError, match=os.strerror(errno.EFAULT)):
        Memory(pid).read(address, size)


def test_a_process_that_is_gone_is_an_error_of_its_own() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for read in (
        lambda: Memory(process.pid).read(4096, 8),
        lambda: Memory(process.pid).read_many([(4096, 8)]),
    ):
        with pytest.raises(OSError, match=os.strerror(errno.ESRCH)):
            read()


def test_all_of_ctypes_is_not_loaded_for_it() -> None:
    script = "import os, sys\nfrom monitord.procfs.memory import Memory\ntry: Memory(os.getpid()).read(8, 8)\nexcept OSError: pass\nprint('ctypes' in sys.modules, '_ctypes' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
