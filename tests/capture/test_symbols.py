"""Names from a program's own file: of containers, of Go, and of nothing that only looks like one."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.capture import ProfileCaptureService
from monitord.capture.profilers import perf
from monitord.capture.profilers.perf import Perf, record_command
from monitord.capture.symbols import names, opening
from monitord.capture.symbols.files import File
from monitord.capture.symbols.opening import opened_code
from monitord.capture.symbols.tables import readable
from monitord.capture.target import Target
from monitord.capture.tool_runner import Runner, ToolRun
from monitord.capture.tools import Toolbox
from monitord.model import CaptureStatus
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, look_at, take, wait_for
from tests.patience import PATIENCE_S

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


def until_it_works(process: subprocess.Popen[bytes], program: str) -> None:
    """An exec is over only when the program itself has used CPU."""
    wait_for(lambda: t.executable(process.pid).endswith(program), "the program to be executed")
    ticks = int(t.stat_fields(process.pid)[11])
    wait_for(lambda: int(t.stat_fields(process.pid)[11]) > ticks + 1, "it to work")


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
            assert len(name or "") <= 512
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


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two seconds in which a target's files are opened are for one that hangs, not for a slow machine."""
    monkeypatch.setattr(opening, "_LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(perf, "_HURRIED_OPENING_S", PATIENCE_S)


@pytest.mark.root
@pytest.mark.parametrize("here", ["nothing", "another program"])
@pytest.mark.parametrize("how", ["mount namespace", "root of its own"])
def test_a_program_that_exists_in_a_container_only_has_its_names(
    here: str,
    how: str,
    targets: Targets,
    service: ProfileCaptureService,
    folder: Path,
    tmp_path: Path,
    require_tool: Tool,
) -> None:
    """In the profile and in the first look those of its own file; never those of what has its path here."""
    require_tool("perf")
    gcc, code = require_tool("gcc"), targets.script(t.NATIVE_BURNER, "inner.c")
    outside, inside = tmp_path / "place", tmp_path / "inside"
    (inside / "place").mkdir(parents=True)
    outside.mkdir()
    built = inside / "place" / "app"
    subprocess.run([gcc, "-O1", "-static", "-fno-omit-frame-pointer", "-o", built, code], check=True)
    if here != "nothing":
        wrong = targets.program(
            gcc, t.NATIVE_BURNER.replace("hot_leaf", "wrong_leaf").replace("middle", "wrong")
        )
        shutil.copy(wrong, outside / "app")
    name = str(outside / "app") if how == "mount namespace" else "/place/app"
    script = f"mount -t tmpfs none {outside} && cp {built} {outside}/app && exec {outside}/app"
    words = (
        ["unshare", "-m", "sh", "-c", script] if how == "mount namespace" else ["chroot", str(inside), name]
    )
    process = targets.start(*words)
    until_it_works(process, "/app")
    capture = take(Perf(), process, folder, Toolbox())
    assert capture.status is CaptureStatus.OK, capture.reason
    assert capture.hotspots[0].function == "hot_leaf", capture.hotspots
    assert capture.path is not None
    assert "wrong" not in capture.path.read_text()
    look = service.read(look_at(service, process, folder, "perf"), folder)
    assert look.hotspots[0].function == "hot_leaf", (look.reason, look.hotspots)
    assert b"wrong" not in (look.payload or b"")


@pytest.mark.parametrize("place", ["plain", "in (brackets)"])
@pytest.mark.parametrize("later", ["stays", "replaced", "deleted"])
def test_a_program_has_its_names_after_its_file_was_replaced(
    place: str, later: str, targets: Targets, folder: Path, tmp_path: Path, require_tool: Tool
) -> None:
    """An upgrade while it runs, whatever its path holds: the names are those of the file that runs."""
    require_tool("perf")
    built, home = targets.program(require_tool("gcc"), t.NATIVE_BURNER), tmp_path / place
    home.mkdir()
    program = home / "app"
    shutil.copy(built, program)
    process = targets.start(str(program))
    until_it_works(process, str(program))
    if later != "stays":
        program.unlink()
    if later == "replaced":
        shutil.copy(targets.program("gcc", t.NATIVE_BURNER.replace("hot_leaf", "wrong_leaf")), program)
    capture = take(Perf(), process, folder, Toolbox())
    assert capture.status is CaptureStatus.OK, capture.reason
    assert (capture.hotspots[0].function, capture.hotspots[0].module) == ("hot_leaf", str(program))


@pytest.mark.root
def test_what_is_opened_for_the_reader_is_what_is_mapped(
    targets: Targets, folder: Path, tmp_path: Path, require_tool: Tool
) -> None:
    """A file put in the place of a mapped one is not opened; the child holds the numbers that it is told."""
    program = targets.program(require_tool("gcc"), t.NATIVE_BURNER)
    process = targets.start(str(program))
    until_it_works(process, str(program))
    with Target(key_of(process)) as target, opened_code(target) as files:
        assert os.path.samestat(os.fstat(files[str(program)]), program.stat())
        numbers = tuple(files.values())
        script = "import os, sys; print(*(os.fstat(int(one)).st_ino for one in sys.argv[1:]), sorted(os.listdir('/proc/self/fd'), key=int)[3:-1])"
        argv = ("/usr/bin/python3", "-c", script, *map(str, numbers))
        outcome = Runner().run(ToolRun(argv, folder, 20.0, descriptors=numbers))
        inodes = " ".join(str(os.fstat(one).st_ino) for one in numbers)
        assert outcome.stdout.decode().startswith(f"{inodes} "), outcome
    assert all(not Path(f"/proc/self/fd/{one}").exists() for one in numbers)
    program.rename(program.with_name("moved"))
    program.write_bytes(b"another file")
    with Target(key_of(process)) as target, opened_code(target) as files:
        assert all(os.fstat(one).st_ino != program.stat().st_ino for one in files.values())


@pytest.mark.root
def test_a_program_that_its_user_may_only_execute_is_not_read_for_him(
    targets: Targets, tmp_path: Path, require_tool: Tool
) -> None:
    """What is read on behalf of a target is what its own user may read."""
    program = targets.program(require_tool("gcc"), t.NATIVE_BURNER)
    for place in (program, *program.parents[:3]):
        place.chmod(0o711)
    process = targets.start("setpriv", "--reuid=65534", "--clear-groups", "--regid=65534", str(program))
    until_it_works(process, str(program))
    with Target(key_of(process)) as target, opened_code(target) as files:
        assert str(program) not in files
    program.chmod(0o755)
    with Target(key_of(process)) as target, opened_code(target) as files:
        assert str(program) in files


@pytest.mark.root
def test_of_mappings_with_a_build_id_the_file_that_has_it_gives_the_names(
    targets: Targets, folder: Path, require_tool: Tool
) -> None:
    """As perf tells them where it was asked to: by the mapped file's id, whatever lies under the path by now."""
    perf, gcc = require_tool("perf"), require_tool("gcc")
    program = targets.program(gcc, t.NATIVE_BURNER)
    process = targets.start(str(program))
    until_it_works(process, str(program))
    record = record_command(perf, process.pid, 99, 1.0)
    subprocess.run([*record[:2], "--buildid-mmap", *record[2:]], cwd=folder, check=True, timeout=PATIENCE_S)
    told = subprocess.run(
        [perf, "script", "--show-mmap-events", "-i", "perf.data"], cwd=folder, capture_output=True, text=True
    ).stdout
    assert f"{build_id_of(program)}>]: r-xp {program}" in told, told[:2000]
    with Target(key_of(process)) as target, opened_code(target) as files:
        wrong = targets.program(gcc, t.NATIVE_BURNER.replace("hot_leaf", "wrong_leaf"))
        assert build_id_of(wrong) != build_id_of(Path(f"/proc/{process.pid}/exe"))
        for given in (files, {}):
            (folder / "files").write_text(json.dumps(dict(given)))
            words = [sys.executable, "-m", "monitord.capture.perf_fold", perf, "perf.data", "out", "files"]
            path = {"PYTHONPATH": os.pathsep.join(str(Path(one).absolute()) for one in sys.path)}
            done = subprocess.run(words, cwd=folder, pass_fds=tuple(given.values()), env=path, check=False)
            assert done.returncode == 0
            text = (folder / "out").read_text()
            assert "wrong" not in text
            assert ("hot_leaf" in text) is bool(given), text


def build_id_of(program: Path) -> str:
    notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True, check=True).stdout
    return notes.partition("Build ID: ")[2].split()[0]
