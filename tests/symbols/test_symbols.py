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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.symbols import names
from monitord.symbols.elf import EH_FRAME, segments_of
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


UNSIZED = ".text\n.globl exported\n.type exported,@function\nexported: ret\n.skip 16,0x90\n"
HIDDEN = """
static __attribute__((noinline)) int first(int n) { volatile int s = 0; while (n--) s += n; return s; }
static __attribute__((noinline)) int second(int n) { volatile int s = 1; while (n--) s *= n; return s; }
int (*table[])(int) = { first, second };
"""


@pytest.mark.parametrize("tables", ["stripped", "without a table of where functions begin"])
def test_a_function_without_a_size_gives_its_name_to_no_other(
    tables: str, tmp_path: Path, require_tool: Tool
) -> None:
    """What is written in assembly often has none. Behind it may come others, whose names were stripped."""
    for name, text in (("a.s", UNSIZED), ("b.c", HIDDEN)):
        (tmp_path / name).write_text(text)
    whole, library = tmp_path / "whole.so", tmp_path / "stripped.so"
    command = [require_tool("gcc"), "-shared", "-fPIC", "-O1", "-w", "-Wl,-z,noexecstack", "-o", whole]
    subprocess.run([*command, tmp_path / "a.s", tmp_path / "b.c"], check=True)
    subprocess.run(["strip", "-o", library, whole], check=True)
    if tables != "stripped":
        file = os.open(library, os.O_RDONLY)
        at = next(number for number, one in enumerate(segments_of(file)) if one.kind == EH_FRAME)
        os.close(file)
        data = bytearray(library.read_bytes())
        struct.pack_into("<I", data, struct.unpack_from("<Q", data, 32)[0] + 56 * at, 0)  # PT_NULL
        library.write_bytes(data)
    symbols, file = symbols_of(whole), opened(library)
    told = {name: file.name_at(at + 1, reads_symbols=True) for name, at in symbols.items()}
    assert file.name_at(symbols["exported"] + 4, reads_symbols=True) == "exported"
    file.close()
    assert told["_fini"] is None, "another section"
    if tables == "stripped":
        assert {name for name, word in told.items() if word} == {"exported"}, told


REPEATED = "_RNvMC1500_" + "a" * 1500 + "T" + "B2_" * 160 + "E3sum"  # a tuple of one type, again and again


@pytest.mark.parametrize("name", [REPEATED, "_Z" + "Th0_" * 500 + "1a"])
def test_a_name_that_repeats_itself_does_not_grow(name: str) -> None:
    """240 kB came of two: each profile that has it would carry them."""
    assert len(readable(name)) <= 2048


sections = st.lists(
    st.tuples(
        st.sampled_from([0, 2, 11, 3, 1]),
        *[st.integers(0, 2**64 - 1) | st.integers(0, 4096)] * 3,
        st.integers(0, 9),
    ),
    max_size=8,
)
segments = st.lists(
    st.tuples(st.sampled_from([1, 4, 0x6474E550]), *[st.integers(0, 2**64 - 1) | st.integers(0, 4096)] * 3),
    max_size=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sections,
    segments,
    st.binary(max_size=900),
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 4096), max_size=6),
)
def test_no_file_of_any_form_raises_or_has_a_long_name(
    tmp_path: Path,
    sections: list[tuple[int, ...]],
    segments: list[tuple[int, ...]],
    rest: bytes,
    asked: list[int],
) -> None:
    """Headers that are sound around anything at all: tables, notes, call frames that overlap, lie outside, or are huge."""
    heads = b"".join(
        struct.pack("<IIQQQQQQ", kind, 0, at, to, 0, size, size, 0) for kind, at, to, size in segments
    )
    table_at = 64 + len(heads)
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, kind, 0, to, at, size, link, 0, 0, 24)
        for kind, at, to, size, link in sections
    )
    head = (
        b"\x7fELF\2\1"
        + bytes(26)
        + struct.pack("<QQIHHHHHH", 64, table_at, 0, 64, 56, len(segments), 64, len(sections), 0)
    )
    path = tmp_path / "any"
    path.write_bytes(head + heads + table + rest)
    file = opened(path)
    for offset in (*asked, *range(0, 4096, 512)):
        assert len(file.name_at(offset, reads_symbols=True) or "") <= 2048
        file.function_at(offset)
        file.row_at(offset)
    assert len(file.build_id) <= 8192
    file.close()
