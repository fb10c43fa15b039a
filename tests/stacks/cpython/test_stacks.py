"""Stacks of real interpreters are exactly those that the programs themselves tell."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monitord.stacks.cpython import Interpreter, NotPythonError, UnknownLayoutError, UnreadableError
from monitord.stacks.cpython.interpreter import TRUNCATED
from tests.stacks.cpython.pythons import OTHERS, TOLD, VERSIONS, found, holding, line_of, python, started

# Free-threaded builds have no packages: they are tried where somebody built them, else by test_free_threaded.py alone.
OTHERS_HERE = [version for version in OTHERS if version in found()]
PROGRAMS = {
    "functions": """
def outer(number):
    def inner(number):
        return (lambda: hold())() if number else None
    return inner(number + 1)
outer(1)
""",
    "methods": """
class Order:
    def __init__(self, depth):
        self.total = self.price(depth)
    @property
    def value(self):
        return hold()
    @staticmethod
    def nothing(): pass
    def price(self, depth):
        return self.value if depth == 3 else Order(depth + 1) if depth else 0
for _ in range(300): Order(0)
Order(1)
""",
    "through C": """
def key(one):
    return hold() if one == 3 else one
def run(values):
    return sorted(map(lambda one: one, values), key=key)
max([5], key=lambda one: run([1, 2, 3]))
""",
    "generators": """
def leaf():
    yield 1
    hold()
def middle():
    yield from leaf()
class Rows:
    def __iter__(self):
        for row in middle(): yield row
def use():
    return [row for row in Rows()]
use()
""",
    "coroutines": """
import asyncio
async def fetch():
    await asyncio.sleep(0)
    hold()
async def rows():
    yield 1
    await fetch()
async def handler():
    async for row in rows(): pass
async def main():
    await asyncio.gather(handler())
asyncio.run(main())
""",
    "names in other letters": """
def überprüfe(): return 变量()
def 变量(): return 𠀀()
def 𠀀(): return hold()
überprüfe()
""",
    "deep": """
import sys
sys.setrecursionlimit(2000)
def down(number):
    if number: return down(number - 1)
    return hold()
down(900)
""",
    "far down": """
def down(number):
    if number: return down(number - 1)
    return hold()
down(500)
""",
    "large frames": """
names = [f"v{number}" for number in range(1000)]
exec("def wide(depth):\\n " + "; ".join(f"{name} = depth" for name in names) + "\\n return wide(depth - 1) if depth else hold()\\n")
wide(5)
""",
    "code that died": """
for number in range(300):
    exec(compile(f"def made_{number}(): return {number}\\nmade_{number}()", f"<made {number}>", "exec"))
exec(compile("def last():\\n\\n return hold()\\nlast()", "<last>", "exec"))
""",
    "long lines and far ones": "\n" * 3000
    + """
def far(
    one, two=[number
              for number in range(3)],
):
    return (
        one and
        hold(
        )
    )
far(
    far and
    1)
""",
    "handlers": """
def raises(): raise ValueError
def handles():
    try:
        raises()
    except ValueError:
        try:
            hold()
        finally:
            pass
with open(__file__):
    handles()
""",
}


@pytest.mark.parametrize("version", [*VERSIONS, *OTHERS_HERE])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_stack_is_what_the_program_tells(version: str, program: str, tmp_path: Path) -> None:
    """Every function with its qualified name, file and line, from the module to the one that waits."""
    with holding(python(version), tmp_path, PROGRAMS[program]) as (process, told):
        interpreter = Interpreter.attach(process.pid)
        assert interpreter.version == tuple(map(int, version.rstrip("t").split(".")))
        assert interpreter.is_free_threaded == version.endswith("t")
        assert interpreter.stack(process.pid) == tuple(told)
        assert interpreter.stack(process.pid) == tuple(told), "the second time, from what is known"


@pytest.mark.parametrize("version", [*VERSIONS, *OTHERS_HERE])
def test_a_known_stack_costs_two_calls(version: str, tmp_path: Path) -> None:
    """However deep it is: one reads the frames, one asks whether their code is still the same."""
    for program in ("functions", "far down", "coroutines", "through C"):
        with holding(python(version), tmp_path, PROGRAMS[program]) as (process, _):
            interpreter = Interpreter.attach(process.pid)
            for _ in range(3):
                interpreter.stack(process.pid)
            before = interpreter.call_count
            for _ in range(10):
                interpreter.stack(process.pid)
            assert interpreter.call_count - before == 20, program


@pytest.mark.parametrize("version", [*VERSIONS, *OTHERS_HERE])
def test_of_a_stack_too_deep_the_innermost_calls_are_told(version: str, tmp_path: Path) -> None:
    program = "import sys\nsys.setrecursionlimit(9000)\ndef down(number):\n    if number: return down(number - 1)\n    return hold()\ndown(3000)\n"
    with holding(python(version), tmp_path, program) as (process, told):
        stack = Interpreter.attach(process.pid).stack(process.pid)
        assert stack is not None
        assert stack[0] == TRUNCATED
        assert stack[1:] == tuple(told)[-len(stack) + 1 :]
        assert 1000 <= len(stack) <= 1024


THREADS = (
    TOLD
    + """
import threading
def work(number):
    return wait(number) if number % 2 else wait(number)
def wait(number):
    with lock:
        frames[threading.get_native_id()] = told(sys._getframe())
        frames[threading.get_native_id()][-1][2] += 3
        ready.release()
    gate.acquire()
lock, ready, gate, frames = threading.Lock(), threading.Semaphore(0), threading.Semaphore(0), {}
for number in range(int(sys.argv[1])): threading.Thread(target=work, args=(number,), daemon=True).start()
for number in range(int(sys.argv[1])): ready.acquire()
print(json.dumps(frames), flush=True); sys.stdin.read()
"""
)


@pytest.mark.parametrize("version", [*VERSIONS, *OTHERS_HERE])
def test_each_thread_has_its_own_stack(version: str, tmp_path: Path) -> None:
    one = python(version)
    path, name = one.place(tmp_path, "threads.py", THREADS)
    with started(one.command(name, "40")) as process:
        frames = json.loads(line_of(process))
        interpreter = Interpreter.attach(process.pid)
        for thread_id, told in frames.items():
            stack = interpreter.stack(int(thread_id))
            assert stack is not None
            names = [(function, file) for function, file, _ in stack]
            assert names[: len(told)] == [(function, file) for function, file, _ in told]
            assert stack[len(told) - 1][2] == told[-1][2]
        assert interpreter.stack(1 << 22) is None, "a thread that is not there"
    path.unlink()


@pytest.mark.parametrize("version", [*VERSIONS, *OTHERS_HERE])
def test_a_forked_child_and_a_new_thread_are_found(version: str, tmp_path: Path) -> None:
    """A child has its parent's structures; what is known of a process learns of threads that began later."""
    program = "import os, threading\ndef child():\n    hold()\ndef parent():\n    if os.fork() == 0: child()\n    os.wait()\nparent()\n"
    with holding(python(version), tmp_path, program) as (process, told):
        child = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        assert Interpreter.attach(child).stack(child) == tuple(told)
        parent = Interpreter.attach(process.pid).stack(process.pid)
        assert parent is not None
        assert [function for function, _, _ in parent] == ["<module>", "parent"]
        os.kill(child, 9)


def test_what_is_no_python_or_an_old_one_is_refused_by_name(tmp_path: Path) -> None:
    with started(["cat"]) as process, pytest.raises(NotPythonError, match="no CPython"):
        Interpreter.attach(process.pid)
    with pytest.raises(UnreadableError, match="gone"):
        Interpreter.attach(process.pid)
    with pytest.raises(NotPythonError):
        Interpreter.attach(2)  # a thread of the kernel, or nobody


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8", "3.10"])
def test_an_old_python_is_refused_by_name(version: str, tmp_path: Path) -> None:
    paths = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    if not paths:
        pytest.skip(f"Python {version} is missing: run .ci/pythons FOLDER, or install it with pyenv")
    with started(
        [str(paths[0]), "-c", "import sys; print(1); sys.stdout.flush(); sys.stdin.read()"]
    ) as process:
        line_of(process)
        with pytest.raises(UnknownLayoutError, match=r"a Python before 3\.(7|11)"):
            Interpreter.attach(process.pid)
