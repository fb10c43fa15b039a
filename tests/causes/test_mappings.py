"""Which mapping holds memory: told by kind, bounded however many there are, names of files cut."""

from __future__ import annotations

import os
from typing import Any

import pytest

from monitord.causes import mappings
from tests.causes.programs import facts, python

SMAPS = b"""\
5600-5700 rw-p 00000000 00:00 0                          [heap]
Size:                  4 kB
Rss:                 120 kB
Private_Dirty:       120 kB
Swap:                 30 kB
AnonHugePages:        16 kB
VmFlags: rd wr mr mw me ac
7f00-7f10 rw-p 00000000 00:00 0
Rss:                  40 kB
7f10-7f20 rw-p 00000000 00:00 0                          [anon:planted: name]
Rss:                   8 kB
7f20-7f30 r--s 00000000 fd:01 17                         /srv/a b:c\\012d (deleted)
Rss:                   4 kB
7f30-7f40 rw-p 00000000 fd:01 18                         /usr/lib/libx.so
Rss:                   4 kB
7f40-7f50 rw-s 00000000 00:01 19                         /memfd:planted (deleted)
Rss:                  12 kB
7f50-7f60 rw-p 00000000 00:0f 20                         /dev/hugepages/pool
Rss:                   0 kB
Private_Hugetlb:    2048 kB
7ff0-7fff rw-p 00000000 00:00 0                          [stack]
Rss:                  16 kB
"""


def test_each_mapping_is_of_a_kind() -> None:
    found = {one.kind: one.resident_bytes // 1024 for one in mappings.regions(SMAPS)}
    assert found == {
        "the heap": 120, "anonymous memory": 40, "anonymous memory (planted: name)": 8,
        "the file /srv/a b:c\\012d (deleted)": 4, "the file /usr/lib/libx.so (private)": 4,
        "shared memory /memfd:planted (deleted)": 12, "reserved huge pages": 2048, "the stack": 16,
    }  # fmt: skip


def test_swapped_memory_counts_and_huge_pages_are_told() -> None:
    kept = mappings.summed(list(mappings.regions(SMAPS)))
    assert kept["kinds"]["the heap"] == (150 * 1024, 1)
    assert kept["huge"] == 16 * 1024


@pytest.mark.parametrize("cut", [1, 100, 333, 500, len(SMAPS) - 3])
def test_a_text_that_is_cut_gives_what_is_whole(cut: int) -> None:
    whole = [one.begin for one in mappings.regions(SMAPS)]
    found = [one.begin for one in mappings.regions(SMAPS[:cut])]
    assert found == whole[: len(found)]


def test_a_long_path_is_cut() -> None:
    line = b"7f20-7f30 r--s 00000000 fd:01 17      /" + b"x" * 4000 + b"\nRss: 4 kB\n"
    (found,) = mappings.regions(line)
    assert len(found.kind) < 160


MANY = """
import ctypes, mmap
library = ctypes.CDLL(None)
library.mmap.restype = ctypes.c_void_p
library.mmap.argtypes = [ctypes.c_void_p] + [ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
library.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
count = 60_000
at = library.mmap(None, count * 4096, 3, 0x22, -1, 0)
made = sum(library.mprotect(at + n * 4096, 4096, 1) == 0 for n in range(0, count, 2))
step()
kept = b"x" * (50 << 20)
"""


def test_of_tens_of_thousands_of_mappings_the_kernels_sums_are_told() -> None:
    """A bounded part is read; that memory grew, and of what kind, is known all the same."""
    with python(MANY) as program:
        before = program.observe()
        program.go_on()
        after = program.observe()
    assert after["mappings"]["count"] < 20_000
    assert not after["mappings"]["is_whole"]
    total, gained = mappings.gains(before, after)
    assert total == pytest.approx(50 << 20, rel=0.05)
    assert gained[0][0] == "anonymous memory"
    assert facts(before, after).after is not None


def seen(**kinds: int) -> dict[str, Any]:
    return {"mappings": {"kinds": {name: [size, 1] for name, size in kinds.items()}, "groups": dict(kinds)}}


def test_what_one_mapping_lost_is_no_gain_of_another() -> None:
    total, gained = mappings.gains(seen(heap=100, stack=50), seen(heap=180, stack=10))
    assert total == 40
    assert gained == [("heap", 80)]


def test_the_own_mappings_are_read() -> None:
    regions, kept = mappings.read(os.getpid())
    assert kept["is_whole"]
    assert sum(one.resident_bytes for one in regions) > 0
    assert kept["sums"]["anonymous memory"] > 0
