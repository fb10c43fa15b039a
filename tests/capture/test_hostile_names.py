"""Files that name code are the target's: whatever is in them, they cost little and name nothing that is not there."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from monitord.capture import perf_maps
from monitord.symbols.files import File
from monitord.symbols.names import Names
from tests.capture import targets as t

_MUTANTS = 400
_READS_CAP = 200  # of one file and twenty questions: headers, notes, and 31 steps of a search


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stripped program."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("elf")
    source, built = folder / "target.c", folder / "target"
    source.write_text(t.NATIVE_BURNER)
    subprocess.run([compiler, "-O1", "-s", "-o", built, source], check=True)
    return built


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all reads."""
    sizes: list[int] = []
    read = os.pread

    def counted(file: int, size: int, offset: int) -> bytes:
        data = read(file, size, offset)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    return sizes


def opened(path: Path) -> File:
    return File(os.open(path, os.O_RDONLY))


def test_a_damaged_program_costs_little_and_names_nothing_behind_the_code_asked_for(
    program: Path, tmp_path: Path, reads: list[int]
) -> None:
    """Headers, notes and table with bytes changed at random: an answer, or none; never more work, never an error."""
    good, chance, answers = program.read_bytes(), random.Random(7), 0
    headers = range(32, 64 + 56 * struct.unpack_from("<H", good, 56)[0])
    table = good.find(b"\x01\x1b\x03\x3b")
    places = [*headers, *range(table, table + 60), *range(0x2E0, 0x3A0)]
    for _ in range(_MUTANTS):
        damaged = bytearray(good)
        for place in chance.sample(places, chance.randint(1, 6)):
            damaged[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        path = tmp_path / "damaged"
        path.write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
        reads.clear()
        file = opened(path)
        for _ in range(20):
            offset = chance.choice((chance.randrange(1 << 14), chance.randrange(1 << 64)))
            start = file.function_at(offset)
            answers += start is not None
            assert start is None or 0 <= start <= offset
            assert len(file.name_at(offset, reads_symbols=True) or "") <= 512
        file.close()
        assert len(reads) <= 20 * _READS_CAP
        assert sum(reads) < 8 * 1024 * 1024
        assert len(file.build_id) <= 8192
        path.unlink()
    assert answers > 0


def test_a_table_that_claims_to_be_huge_is_searched_and_not_read(
    program: Path, tmp_path: Path, reads: list[int]
) -> None:
    """Five hundred million functions in a sparse file cost the steps of one search each."""
    data = bytearray(program.read_bytes())
    at, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    header = next(
        begin
        for begin in range(at, at + 56 * count, 56)
        if struct.unpack_from("<I", data, begin)[0] == 0x6474E550
    )
    struct.pack_into("<Q", data, header + 8, 1 << 20)
    struct.pack_into("<Q", data, header + 32, 1 << 32)
    path = tmp_path / "huge"
    path.write_bytes(data)
    with path.open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"\x01\x1b\x03\x3b" + struct.pack("<II", 0, (1 << 32) // 8))
        file.truncate((1 << 32) + (1 << 20))
    found = opened(path)
    found.function_at(0x1139)
    found.close()
    assert 20 < len(reads) < _READS_CAP
    assert sum(reads) < 64 * 1024


def test_no_more_files_are_open_than_allowed(program: Path, tmp_path: Path) -> None:
    """A program that maps thousands of libraries does not use up our descriptors."""
    names = Names()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(600):
        path = tmp_path / f"lib{number}.so"
        path.hardlink_to(program)
        found = path.stat()
        device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
        where = f"7/7: [0x0(0x6000) @ 0 {device} {found.st_ino} 1]"
        names.note(f"a 0/0 0.0: PERF_RECORD_MMAP2 {where}: r-xp {path}")
        assert "build-id" in names.name("1139", str(path))
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 256
    names.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_names_of_a_map_are_cut_wherever_the_pieces_end(size: int) -> None:
    """perf prints a name for each frame of each sample: one of 32 MB would be gigabytes."""
    text = b"10 5 short\n20 5 " + b"x" * 70_000 + b"\n30 5 last\n40 5 " + b"y" * 5000
    kept, begun = b"", 0
    for at in range(0, len(text), size):
        piece, begun = perf_maps.short_lines(text[at : at + size], begun)
        kept += piece
    cut = perf_maps.LINE_CAP_BYTES
    assert kept == b"\n".join(line[:cut] for line in text.split(b"\n"))
