"""Names from a program's own file: those that nm tells, those of Go, and none of what only looks like one."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.symbols import names
from monitord.symbols.files import File
from monitord.symbols.function_table import readable
from tests.capture import targets as t
from tests.capture.targets import Targets

Tool = Callable[[str], str]
GO = """package main

//go:noinline
func plantedHot(seed uint64) uint64 {
	for i := 0; i < 4000000; i++ {
		seed = seed*6364136223846793005 + (seed >> 7)
	}
	return seed
}

func main() {
	for seed := uint64(1); seed != 0; {
		seed = plantedHot(seed) | 1
	}
}
"""


@pytest.fixture
def targets(tmp_path: Path) -> Targets:
    """Compiles programs; nothing is started here."""
    return Targets(tmp_path / "targets")


def opened(path: Path) -> File:
    return File(os.open(path, os.O_RDONLY))


def offset_in(path: Path, address: int) -> int:
    """Where in the file the code at an address lies, by readelf."""
    text = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["LOAD"]:
            offset, start, size = int(fields[1], 16), int(fields[2], 16), int(fields[4], 16)
            if start <= address < start + size:
                return address - start + offset
    raise AssertionError(f"{address:x} is in no segment")


def symbols_of(path: Path) -> dict[str, int]:
    text = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3 and row[1] in "tT"}


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Go program with its symbols."""
    compiler = shutil.which("go")
    if compiler is None:
        pytest.skip("go is not installed")
    folder = tmp_path_factory.mktemp("go")
    (folder / "hot.go").write_text(GO)
    environment = {**os.environ, "GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
    for mode in ("exe", "pie"):
        command = [compiler, "build", f"-buildmode={mode}", "-o", f"{folder}/{mode}", f"{folder}/hot.go"]
        subprocess.run(command, check=True, cwd=folder, env=environment)
        subprocess.run(["strip", "-o", f"{folder}/{mode}-stripped", f"{folder}/{mode}"], check=True)
    return folder


def test_symbols_are_those_that_nm_tells(targets: Targets, require_tool: Tool) -> None:
    """Every function of a program, at its first byte; nothing where there is none."""
    program = targets.program(require_tool("gcc"), t.NATIVE_BURNER)
    file = opened(program)
    for name in ("hot_leaf", "middle", "main", "_start"):
        at = offset_in(program, symbols_of(program)[name])
        assert file.name_at(at, reads_symbols=True) == name
    assert file.name_at(0, reads_symbols=True) is None
    assert file.name_at(1 << 40, reads_symbols=True) is None
    file.close()


@pytest.mark.parametrize("mode", ["exe", "pie"])
def test_a_stripped_go_program_has_the_names_that_nm_told_before(go_program: Path, mode: str) -> None:
    """All functions of the runtime and of ours, each at its first and at its second byte."""
    symbols = symbols_of(go_program / mode)
    stripped = opened(go_program / f"{mode}-stripped")
    asked = [name for name in symbols if name.startswith(("main.", "runtime.")) and " " not in name]
    told = {}
    for name in ("main.plantedHot", *random.Random(3).sample(asked, 40)):
        at = offset_in(go_program / mode, symbols[name]) + 1
        told[name.removesuffix(".abi0")] = stripped.name_at(at, reads_symbols=False)
    stripped.close()
    marks = {"runtime.text", "runtime.etext"}
    assert {name: word for name, word in told.items() if word != name and name not in marks} == {}


@pytest.mark.parametrize("place", ["version", "zeros", "pointer", "count", "text", "names", "functions"])
def test_a_go_table_that_is_not_known_names_nothing(go_program: Path, tmp_path: Path, place: str) -> None:
    """Another version, another width, no beginning of the code, or parts that lie outside."""
    data = bytearray((go_program / "exe-stripped").read_bytes())
    at = data.find(struct.pack("<IHBB", 0xFFFFFFF0, 0, 1, 8))
    assert at > 0, "another version of Go than is known here"
    where, value = {
        "version": (0, b"\xf2"), "zeros": (4, b"\x01"), "pointer": (7, b"\x04"), "count": (8, b"\xff" * 8),
        "text": (24, bytes(8)), "names": (32, b"\xff" * 8), "functions": (64, b"\xff" * 8),
    }[place]  # fmt: skip
    data[at + where : at + where + len(value)] = value
    (tmp_path / "damaged").write_bytes(data)
    offset = offset_in(go_program / "exe", symbols_of(go_program / "exe")["main.plantedHot"])
    file = opened(tmp_path / "damaged")
    assert file.name_at(offset, reads_symbols=False) is None
    file.close()


def test_damaged_tables_of_go_end_in_an_answer(go_program: Path, tmp_path: Path) -> None:
    """Bytes changed at random in the header, the functions and their names: a short name or none, no error."""
    good, chance = (go_program / "exe-stripped").read_bytes(), random.Random(11)
    at = good.find(struct.pack("<IHBB", 0xFFFFFFF0, 0, 1, 8))
    functions = at + struct.unpack_from("<Q", good, at + 64)[0]
    for _ in range(200):
        damaged = bytearray(good)
        for _change in range(chance.randint(1, 8)):
            place = chance.choice((at + chance.randrange(72), functions + chance.randrange(20_000)))
            damaged[place] = chance.randrange(256)
        (tmp_path / "damaged").write_bytes(damaged)
        file = opened(tmp_path / "damaged")
        for _question in range(20):
            name = file.name_at(chance.randrange(len(good)), reads_symbols=True)
            assert len(name or "") <= 2048
            assert (name or "").isprintable()
        file.close()


def test_of_many_huge_tables_only_some_are_read(
    targets: Targets, tmp_path: Path, require_tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program can't use up the reader's time by the sizes of its tables: then the rest keeps offsets."""
    program = targets.program(require_tool("gcc"), t.NATIVE_BURNER)
    monkeypatch.setattr(names, "_SYMBOLS_CAP", 3)
    at, given, told = offset_in(program, symbols_of(program)["hot_leaf"]), {}, []
    for number in range(3):
        copy = tmp_path / f"lib{number}.so"
        shutil.copy(program, copy)
        given[f"/nowhere/lib{number}.so"] = os.open(copy, os.O_RDONLY)
    reader = names.Names(given)
    for path, file in given.items():
        where = f"7/7: [0x0(0x6000) @ 0 00:00 {os.fstat(file).st_ino} 0]"
        reader.note(f"a 0/0 0.0: PERF_RECORD_MMAP2 {where}: r-xp {path}")
        told.append(reader.name(f"{at:x}", path).partition(" ")[0])
        os.close(file)
    reader.close()
    assert told == ["hot_leaf", f"function_at_0x{at:x}", f"function_at_0x{at:x}"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("_ZN3app3hotE", "app::hot"),
        ("_ZN4main10plantedHot17h0123456789abcdefE", "main::plantedHot"),
        ("_ZNK3app4Task3runEv", "app::Task::run"),
        ("_ZN999aE", "_ZN999aE"),
        ("_ZN3appIiE", "_ZN3appIiE"),
        ("plain", "plain"),
        ("", ""),
    ],
)  # fmt: skip
def test_nested_names_are_readable(name: str, words: str) -> None:
    assert readable(name) == words
