"""Names from a program's own file: of containers, of Go, and of nothing that only looks like one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.capture import ProfileCaptureService
from monitord.capture.profilers import perf
from monitord.capture.profilers.perf import Perf, record_command
from monitord.capture.target import Target
from monitord.capture.tool_runner import Runner, ToolRun
from monitord.capture.tools import Toolbox
from monitord.model import CaptureStatus
from monitord.symbols import opening
from monitord.symbols.opening import opened_code
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, look_at, take, wait_for
from tests.patience import PATIENCE_S
from tests.strangers import let_in, unshared

Tool = Callable[[str], str]


def until_it_works(process: subprocess.Popen[bytes], program: str) -> None:
    """An exec is over only when the program itself has used CPU."""
    wait_for(lambda: t.executable(process.pid).endswith(program), "the program to be executed")
    ticks = int(t.stat_fields(process.pid)[11])
    wait_for(lambda: int(t.stat_fields(process.pid)[11]) > ticks + 1, "it to work")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two seconds in which a target's files are opened are for one that hangs, not for a slow machine."""
    monkeypatch.setattr(opening, "_LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(perf, "_HURRIED_OPENING_S", PATIENCE_S)


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
    rooted = f'exec "$(PATH=$PATH:/usr/sbin command -v chroot)" {inside} {name}'
    words = [*unshared("--mount"), "sh", "-c", script if how == "mount namespace" else rooted]
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
    let_in(program.parent)
    program.chmod(0o711)
    process = targets.start("setpriv", "--reuid=65534", "--clear-groups", "--regid=65534", str(program))
    until_it_works(process, str(program))
    with Target(key_of(process)) as target, opened_code(target) as files:
        assert str(program) not in files
    program.chmod(0o755)
    with Target(key_of(process)) as target, opened_code(target) as files:
        assert str(program) in files


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
