"""An interpreter is found wherever it is: by what is mapped, whatever it is called and wherever its file is now."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.stacks.cpython import Interpreter, UnknownLayoutError, UnreadableError
from monitord.stacks.cpython.codes import Frame
from tests.stacks.cpython.fake_python import BASE, Image, host
from tests.stacks.cpython.pythons import (
    TOLD,
    VERSIONS,
    line_of,
    python,
    started,
    until_it_waits,
)
from tests.strangers import unshared

Tool = Callable[[str], str]
PROGRAM = TOLD + "def outer(): hold()\nouter()\n"
EMBEDS = """
#include <Python.h>
int main(int argc, char **argv) {
    Py_Initialize();
    FILE *file = fopen(argv[1], "r");
    return PyRun_SimpleFileEx(file, argv[1], 1);
}
"""
DEBIAN = "/usr/bin/python3.11"


def frames_of(
    process: subprocess.Popen[bytes], pid: int | None = None
) -> tuple[tuple[Frame, ...] | None, tuple[Frame, ...]]:
    """What is read of it, and what it tells."""
    told = tuple(tuple(frame) for frame in json.loads(line_of(process)))
    until_it_waits(pid or process.pid)
    return Interpreter.attach(pid or process.pid).stack(pid or process.pid), told  # type: ignore[return-value]


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


@pytest.mark.parametrize("later", ["stays", "is deleted", "is replaced"])
def test_a_copy_with_another_name_is_read_whatever_becomes_of_its_file(
    later: str, program: str, tmp_path: Path, require_tool: Tool
) -> None:
    copy = tmp_path / "worker (1)"
    shutil.copy(require_tool(DEBIAN), copy)
    with started([str(copy), program]) as process:
        line = line_of(process)
        if later != "stays":
            copy.unlink()
        if later == "is replaced":
            shutil.copy("/bin/true", copy)
        told = tuple(tuple(frame) for frame in json.loads(line))
        assert Interpreter.attach(process.pid).stack(process.pid) == told


def test_a_library_that_was_deleted_is_read(program: str, tmp_path: Path) -> None:
    for version in VERSIONS:
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            break
    libraries = {
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "/libpython3" in line and line.endswith(".so.1.0")
    }
    if not libraries:
        pytest.skip("this Python has no library of its own: run with a shared build")
    copy = tmp_path / Path(libraries.pop()).name
    shutil.copy(
        next(
            iter(
                [
                    line.split()[-1]
                    for line in Path("/proc/self/maps").read_text().splitlines()
                    if copy.name in line
                ]
            )
        ),
        copy,
    )
    with started([sys.executable, program], env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}) as process:
        line = line_of(process)
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        if str(copy) not in maps:
            pytest.skip("it finds its library by itself: run with a build that does not")
        copy.unlink()
        assert Interpreter.attach(process.pid).stack(process.pid) == tuple(
            tuple(frame) for frame in json.loads(line)
        )


def test_an_interpreter_in_a_mount_namespace_of_its_own_is_read(
    program: str, tmp_path: Path, require_tool: Tool
) -> None:
    """Where another program lies under its path for us."""
    place = tmp_path / "place"
    place.mkdir()
    shutil.copy("/bin/true", place / "app")
    script = (
        f"mount -t tmpfs none {place} && cp {require_tool(DEBIAN)} {place}/app && exec {place}/app {program}"
    )
    with started([*unshared("--mount"), "sh", "-c", script]) as process:
        read, told = frames_of(process)
        assert read == told


def test_threads_of_a_pid_namespace_are_found_by_the_ids_that_they_have_here(tmp_path: Path) -> None:
    """CPython keeps those that they have there."""
    threads = """
import threading
def work(number): gate.acquire()
gate = threading.Lock(); gate.acquire()
for number in range(5): threading.Thread(target=work, args=(number,), daemon=True).start()
def outer(): hold()
outer()
"""
    (tmp_path / "program.py").write_text(TOLD + threads)
    with started(
        [*unshared("--pid", "--fork", "--kill-child"), sys.executable, str(tmp_path / "program.py")]
    ) as process:
        line = line_of(process)
        pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        until_it_waits(pid)
        interpreter = Interpreter.attach(pid)
        stacks = {
            int(task.name): interpreter.stack(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()
        }
        assert stacks.pop(pid) == tuple(tuple(frame) for frame in json.loads(line))
        assert [stack[-1][0] for stack in stacks.values() if stack] == ["work"] * 5
        assert interpreter.stack(1) is None


def embedding(folder: Path, gcc: str, *linked: str) -> Path:
    """A program of its own with a Python in it."""
    (folder / "embeds.c").write_text(EMBEDS)
    includes = subprocess.run(
        [DEBIAN, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    if not Path(includes.stdout.strip(), "Python.h").exists():
        pytest.skip("Python.h is missing: install libpython3-dev")
    command = [gcc, "-o", folder / "server", folder / "embeds.c", f"-I{includes.stdout.strip()}", *linked]
    subprocess.run(command, check=True)
    return folder / "server"


ARCHIVE = f"/usr/lib/python3.11/config-3.11-{os.uname().machine}-linux-gnu/libpython3.11.a"
STATIC = ("-no-pie", ARCHIVE, "-lm", "-lz", "-lexpat", "-ldl", "-lutil", "-lpthread")


@pytest.mark.parametrize(
    "linked",
    [("-lpython3.11",), (*STATIC, "-rdynamic"), STATIC],
    ids=["shared", "static", "static without names for others"],
)
def test_an_interpreter_in_another_program_is_read(
    linked: tuple[str, ...], program: str, tmp_path: Path, require_tool: Tool
) -> None:
    if ARCHIVE in linked and not Path(ARCHIVE).exists():
        pytest.skip("libpython3.11.a is missing: install libpython3-dev")
    server = embedding(tmp_path, require_tool("gcc"), *linked)
    with started([str(server), program]) as process:
        read, told = frames_of(process)
        assert read == told
        assert read is not None


def test_a_program_with_a_runtime_in_a_section_alone_is_found(tmp_path: Path, require_tool: Tool) -> None:
    """As a stripped one has that shows no names: told by the version that it publishes."""
    (tmp_path / "host.c").write_text(
        '#include <stdio.h>\n#include <unistd.h>\n__attribute__((section(".PyRuntime"), used)) static unsigned long all[200] = {0x7970677562656478, 0x031900f0};\n'
        'int main(void) { puts("ready"); fflush(stdout); pause(); return (int)all[2]; }\n'
    )
    subprocess.run([require_tool("gcc"), "-s", "-o", tmp_path / "host", tmp_path / "host.c"], check=True)
    with started([str(tmp_path / "host")]) as process:
        line_of(process)
        with pytest.raises(UnknownLayoutError, match=r"Python 3\.25\.0"):
            Interpreter.attach(process.pid)


INSIDE = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = sys.argv[1] if len(sys.argv) > 1 else open(__file__ + ".inside").read()
def outer(number):
    number = interpreters.create()
    run(number)
def run(number):
    interpreters.run_string(number, code)
outer(0)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_what_runs_in_a_sub_interpreter_is_read(version: str, tmp_path: Path) -> None:
    """Of a thread that works for two interpreters the stack in the newer one: that is where it is."""
    one = python(version)
    inner = TOLD + "def inner(): hold()\ninner()\n"
    path, name = one.place(tmp_path, "program.py", TOLD + INSIDE)
    with started(one.command(name, inner)) as process:
        read, told = frames_of(process)
        assert read == told
        assert [function for function, _, _ in told] == ["<module>", "inner", "hold"]
    path.unlink()


def test_an_interpreter_that_is_not_ready_yet_is_refused_so(tmp_path: Path, require_tool: Tool) -> None:
    """To be asked again: it has loaded the library, and initialises nothing."""
    source = '#include <stdio.h>\n#include <unistd.h>\nextern int Py_IsInitialized(void);\nint main(void) { printf("%d\\n", Py_IsInitialized()); fflush(stdout); pause(); }\n'
    (tmp_path / "loads.c").write_text(source)
    done = subprocess.run(
        [require_tool("gcc"), "-o", tmp_path / "loads", tmp_path / "loads.c", "-lpython3.11"],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("libpython3.11.so is missing: install libpython3-dev")
    with started([str(tmp_path / "loads")]) as process:
        assert line_of(process) == b"0\n"
        with pytest.raises(UnreadableError, match="not initialised"):
            Interpreter.attach(process.pid)


def test_libraries_that_were_imported_are_not_asked_before_pythons_own(tmp_path: Path) -> None:
    """With hundreds of them attaching took three times as long."""
    many = "import _asyncio, _bz2, _csv, _ctypes, _decimal, _hashlib, _json, _lzma, _pickle, _sqlite3, _ssl, array\n"
    calls = []
    for number, imports in enumerate(("", many)):
        path = tmp_path / f"program{number}.py"
        path.write_text(imports + PROGRAM)
        with started([sys.executable, str(path)]) as process:
            line_of(process)
            calls.append(Interpreter.attach(process.pid).call_count)
    assert calls[1] < 3 * calls[0], calls  # some of them lie in gaps above; it were seven times as many


def test_a_runtime_in_a_program_of_musl_is_found(tmp_path: Path, require_tool: Tool) -> None:
    """As Alpine has it: its dynamic linker keeps tables of names in another form."""
    with host(tmp_path, require_tool, "musl-gcc") as one:
        made = Image()
        codes = [made.code(name, "/app/main.py", 1) for name in ("main", "work")]
        made.threads([one.pid], made.stack(codes, BASE + 4096 * 100))
        one.become(made)
        stack = Interpreter.attach(one.pid).stack(one.pid)
        assert stack == (("main", "/app/main.py", 1), ("work", "/app/main.py", 1))
