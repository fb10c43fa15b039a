"""A program's id: the same for the same version, another one for another; of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitord.capture.program import program_id


@contextmanager
def running(*words: str, cwd: Path | None = None) -> Iterator[int]:
    process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it runs what it was told by now
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


def id_of(*words: str, cwd: Path | None = None) -> str | None:
    with running(*words, cwd=cwd) as pid:
        return program_id(pid)


WAITS = "import time\nprint('here', flush=True)\ntime.sleep(60)\n"


def test_one_script_is_one_program_until_it_is_written_anew(tmp_path: Path) -> None:
    """Other arguments, another pid, a relative path: the same. Another text: another program."""
    script = tmp_path / "app.py"
    script.write_text(WAITS)
    first = id_of(sys.executable, str(script))
    assert first is not None
    assert id_of(sys.executable, "-u", str(script), "--port", "80") == first
    assert id_of(sys.executable, "app.py", cwd=tmp_path) == first
    script.write_text(WAITS + "# changed\n")
    assert id_of(sys.executable, str(script)) != first


def test_what_an_interpreter_runs_is_part_of_it(tmp_path: Path) -> None:
    """Two scripts of one Python are two programs, and so are two texts after -c."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(WAITS)
    ids = {id_of(sys.executable, str(tmp_path / name)) for name in ("a.py", "b.py")}
    ids |= {id_of(sys.executable, "-c", WAITS), id_of(sys.executable, "-c", WAITS + "0")}
    assert len(ids) == 4
    assert None not in ids


def test_a_native_program_is_its_executable(require_tool: Callable[[str], str]) -> None:
    """What it was told to do makes no other program of it."""
    sleep = require_tool("sleep")
    ids = []
    for seconds in ("60", "61"):
        process = subprocess.Popen([sleep, seconds])
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        ids.append(program_id(process.pid))
        process.kill()
        process.wait()
    assert ids[0] == ids[1] is not None


def test_a_process_that_is_gone_has_none() -> None:
    """Normal, not an error."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert program_id(process.pid) is None


def test_an_options_value_is_not_the_program(tmp_path: Path) -> None:
    """`-W ignore a.py` and `-W ignore b.py` are two programs; `-W` makes no other one of either."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(WAITS)
    plain = [id_of(sys.executable, name, cwd=tmp_path) for name in ("a.py", "b.py")]
    warned = [id_of(sys.executable, "-W", "ignore", name, cwd=tmp_path) for name in ("a.py", "b.py")]
    assert warned == plain
    assert len(set(plain)) == 2


def test_a_module_belongs_to_the_folder_it_is_looked_for_in(tmp_path: Path) -> None:
    """`-m app` in two folders: two programs that happen to have one name."""
    ids = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "app.py").write_text(WAITS)
        ids.append(id_of(sys.executable, "-m", "app", cwd=tmp_path / folder))
    assert None not in ids
    assert ids[0] != ids[1]


def test_two_java_mains_with_one_class_path_are_two_programs(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """What tells them apart stands behind the class path."""
    for name in ("First", "Second"):
        (tmp_path / f"{name}.java").write_text(
            f"class {name} {{ public static void main(String[] words) throws Exception {{"
            ' System.out.println("here"); Thread.sleep(60000); } }'
        )
    subprocess.run([require_tool("javac"), "First.java", "Second.java"], cwd=tmp_path, check=True)
    java = require_tool("java")
    first, again, second = (
        id_of(java, "-cp", ".", name, cwd=tmp_path) for name in ("First", "First", "Second")
    )
    assert first == again is not None
    assert first != second


@pytest.mark.parametrize("name", ["python3.13t", "nodejs", "Rscript"])
def test_two_scripts_are_two_programs_under_any_name_of_an_interpreter(
    name: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Else they would share one baseline. (A program of that name that only waits stands for it.)"""
    waits = '#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts("here"); fflush(stdout); sleep(60); }\n'
    executable = tmp_path / name
    subprocess.run(
        [require_tool("cc"), "-x", "c", "-o", str(executable), "-"], input=waits.encode(), check=True
    )
    scripts = [tmp_path / "a.x", tmp_path / "b.x"]
    for script in scripts:
        script.write_text("")
    first, second = (id_of(str(executable), str(script)) for script in scripts)
    assert None not in (first, second)
    assert first != second
