"""py-spy, which stops the process, tells the same frames of the same process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monitord.stacks.cpython import Interpreter
from tests.stacks.cpython.pythons import VERSIONS, holding, python
from tests.stacks.cpython.test_stacks import PROGRAMS

# py-spy takes what CPython puts around a call of a class for a function, from 3.13 on: the programs themselves don't.
AROUND_A_CALL = ("__init__", "__init__", 0)
COMPARED = ("methods", "through C", "generators", "coroutines", "deep", "code that died", "handlers")


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_are_those_of_py_spy(version: str, tmp_path: Path) -> None:
    tool = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    assert tool is not None, "monitord depends on it"
    for program in COMPARED:
        with holding(python(version), tmp_path, PROGRAMS[program]) as (process, _):
            stack = Interpreter.attach(process.pid).stack(process.pid)
            dump = subprocess.run(
                [tool, "dump", "--json", "--pid", str(process.pid)], capture_output=True, check=True
            )
        threads = {thread["os_thread_id"]: thread["frames"] for thread in json.loads(dump.stdout)}
        frames = [(frame["name"], frame["filename"], frame["line"]) for frame in threads[process.pid]]
        assert stack == tuple(one for one in reversed(frames) if one != AROUND_A_CALL), program
