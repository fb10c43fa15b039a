"""Call frames: what compilers write is followed without frame pointers; damage ends, and is never a frame more."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.symbols.call_frames import RETURN_ADDRESS, STACK_POINTER, Row, ScannedEntries, walked
from monitord.symbols.elf import EH_FRAME, LOAD, Section, segments_of
from monitord.symbols.files import File

PROGRAM = """
#include <string.h>
__attribute__((noinline)) int leaf(char *text, int size) { memset(text, 3, size); return text[1]; }
__attribute__((noinline)) int middle(int size) { char text[size + 1]; return leaf(text, size) + text[0]; }
int main(int count, char **words) { return middle(count * 100); }
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, require_tool: Callable[[str], str]) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "program.c").write_text(PROGRAM)
    command = [require_tool("gcc"), "-O2", "-fomit-frame-pointer", "-o", folder / "program"]
    subprocess.run([*command, folder / "program.c"], check=True)
    return folder / "program"


def rows_of(path: Path) -> list[Row | None]:
    """A row for every sixteenth byte of code."""
    file = File(os.open(path, os.O_RDONLY))
    try:
        loads = [one for one in segments_of(file.descriptor) if one.kind == LOAD]
        return [file.row_at(at) for one in loads for at in range(one.offset, one.offset + one.size, 16)]
    finally:
        file.close()


def test_every_function_says_where_its_caller_is(program: Path) -> None:
    rows = [row for row in rows_of(program) if row is not None and row.base is not None]
    assert len(rows) > 3
    assert all(row.saved.get(RETURN_ADDRESS, -8) in (-8, None) for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_a_damaged_table_ends_soon_and_in_nothing_else(program: Path, tmp_path: Path, seed: int) -> None:
    whole, chance = bytearray(program.read_bytes()), random.Random(seed)
    file = os.open(program, os.O_RDONLY)
    head = next(one for one in segments_of(file) if one.kind == EH_FRAME)
    os.close(file)
    began_s = time.monotonic()
    for _round in range(12):
        damaged = whole[:]
        for _byte in range(chance.randrange(1, 60)):
            damaged[head.offset + 12 + chance.randrange(head.size * 6)] = chance.randrange(256)
        (tmp_path / "damaged").write_bytes(damaged)
        rows_of(tmp_path / "damaged")
    assert time.monotonic() - began_s < 30


def stack_of(*words: int) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


def test_a_way_ends_where_the_stack_was_not_copied_and_where_it_would_go_back() -> None:
    start = {STACK_POINTER: 1000, RETURN_ADDRESS: 5, 6: 7}
    up = Row(STACK_POINTER, 16, {RETURN_ADDRESS: -8})
    assert list(walked(start, stack_of(0, 50, 0, 70), lambda _at: up)) == [5, 49, 69]
    assert list(walked(start, stack_of(0, 50), lambda _at: Row(STACK_POINTER, -8, {RETURN_ADDRESS: 16}))) == [
        5
    ]
    assert list(walked(start, stack_of(0, 50), lambda _at: Row(6, 0, {RETURN_ADDRESS: 0}))) == [5]
    assert list(walked(start, b"", lambda _at: None)) == [5]


def test_a_stack_without_end_is_left_after_so_many_frames() -> None:
    start = {STACK_POINTER: 0, RETURN_ADDRESS: 5}
    up = Row(STACK_POINTER, 8, {RETURN_ADDRESS: -8})
    assert len(list(walked(start, stack_of(*range(9, 500)), lambda _at: up))) == 32


def test_a_register_that_a_function_does_not_give_back_is_not_followed() -> None:
    """The frame of the next is told from a register which the one below has lost."""
    start = {STACK_POINTER: 0, RETURN_ADDRESS: 5, 6: 64}
    rows = [Row(STACK_POINTER, 16, {RETURN_ADDRESS: -8, 6: None}), Row(6, 16, {RETURN_ADDRESS: -8})]
    assert list(walked(start, stack_of(*range(1, 40)), lambda at: rows[0] if at == 5 else rows[1])) == [5, 1]


def test_a_program_whose_functions_share_nothing_is_scanned_soon(tmp_path: Path) -> None:
    """Static ones have no table. Each entry has what is common (CIE) within the one before, and 2 MB long."""
    common = struct.pack("<II", 0x1FFFFF, 0) + b"\1\0\1\x78\x10" + bytes(3)
    body = struct.pack("<QQ", 0x1000, 16) + common
    size, entries = 8 + len(body), [struct.pack("<II", 4 + len(body), 0) + body]
    entries += [struct.pack("<II", size - 4, size - 20) + body] * 50_000
    (tmp_path / "frames").write_bytes(b"".join(entries))
    file = os.open(tmp_path / "frames", os.O_RDONLY)
    began_s = time.thread_time()
    found = ScannedEntries(file, Section(".eh_frame", 1, 0, 0, size * len(entries), 0))
    os.close(file)
    assert found.entry_before(0x1000 + size * 40) is not None
    assert time.thread_time() - began_s < 5, "it took 12 s"
