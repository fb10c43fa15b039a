"""What a Python stack costs that is read from outside, and whether it is true, beside `py-spy dump`.

    python benchmarks/python_stacks.py --reads 2000

The program's calls change as fast as they can, and which function calls which is known: a stack that is told
must be a path of that graph from its root. A stack that does not hold together is refused; what is refused is
counted. Cost is CPU of the reading thread. Every version of CPython that is found here is tried.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recording import HERE, Row, command_of, judged, load, parser, show

from monitord.stacks.cpython import Frame, ImpossibleStackError, Interpreter, StackError, UnreadableError

PROGRAM = HERE / "programs/known_calls.py"
CALLS = {"<module>": {"main"}, "main": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"a"}}
SHALLOW, DEEP = 1, 67  # times three functions
IMPOSSIBLE_BUDGET_PERCENT, UNREADABLE_BUDGET_PERCENT, SPEED_BUDGET = 0.2, 1.0, 0.99
PAUSE_S = 0.002
DUMPS, PAIRS, ROUND_S, RATE_HZ = 10, 7, 1.5, 100
COMMAND = command_of(__file__)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--reads", type=int, default=2000)
    arguments = options.parse_args()
    rows = [row for version, python in pythons().items() for row in rows_of(version, python, arguments.reads)]
    rows.append(speed(sys.executable))
    print(f"load {load()}")
    show(rows, arguments.rows)


def pythons() -> dict[str, list[str]]:
    """Commands by version: of pyenv, of this machine, and of the root folder that CI has."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": [sys.executable]}
    root = Path("/opt/monitord-pythons")
    for version in ("3.11", "3.12", "3.13", "3.14", "3.15"):
        for path in (
            *Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"),
            *root.glob(f"usr/bin/python{version}"),
        ):
            inside = path.is_relative_to(root)
            found.setdefault(
                version, ["chroot", str(root), f"/usr/bin/python{version}"] if inside else [str(path)]
            )
    return dict(sorted(found.items()))


@contextmanager
def running(python: list[str], seconds: float, depth: int) -> Iterator[subprocess.Popen[str]]:
    program = str(PROGRAM)
    if python[0] == "chroot":
        program = "/tmp/known_calls.py"  # noqa: S108 - of a root folder of its own
        shutil.copy(PROGRAM, python[1] + program)
    with subprocess.Popen(
        [*python, program, str(seconds), str(depth)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def attached(pid: int) -> Interpreter:
    """Once the program is in its loop."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        try:
            interpreter = Interpreter.attach(pid)
            if any(frame[0] == "main" for frame in interpreter.stack(pid) or ()):
                return interpreter
        except StackError:  # it has not begun yet
            pass
        time.sleep(0.05)
    raise SystemExit("cannot read the program's stack")


def rows_of(version: str, python: list[str], reads: int) -> Iterator[Row]:
    seconds = 120.0
    for depth, words in ((SHALLOW, "shallow"), (DEEP, "up to two hundred calls")):
        with running(python, seconds, depth) as process:
            interpreter = attached(process.pid)
            refused, wrong, total, each_s = read(interpreter, process.pid, reads)
            spied = py_spy(process.pid)
        calls = total / max(1, reads - sum(refused.values()))
        yield Row(
            f"CPython {version}, a stack of calls that change all the time, {words} ({calls:.0f} on average)",
            f"{1e6 * each_s:.0f} µs of CPU",
            spied,
            "–",
            None,
            COMMAND,
        )
        if depth == DEEP:
            yield worst_case(version, refused, wrong, reads)


def worst_case(version: str, refused: Counter[str], wrong: int, reads: int) -> Row:
    impossible, unreadable = (
        100 * refused[kind] / reads for kind in ("ImpossibleStackError", "UnreadableError")
    )
    kept = wrong == 0 and impossible <= IMPOSSIBLE_BUDGET_PERCENT and unreadable <= UNREADABLE_BUDGET_PERCENT
    return Row(
        f"CPython {version}, the same of {reads} stacks: told though they can't be; refused",
        f"{wrong} told; {impossible:.2f} % impossible, {unreadable:.2f} % unreadable",
        "py-spy stops the process",
        f"0; ≤ {IMPOSSIBLE_BUDGET_PERCENT} %, ≤ {UNREADABLE_BUDGET_PERCENT} %",
        judged(kept),
        COMMAND,
    )


def read(interpreter: Interpreter, pid: int, reads: int) -> tuple[Counter[str], int, int, float]:
    """What was refused, how many stacks were told that can't be, frames in all, CPU of each."""
    refused: Counter[str] = Counter()
    wrong = total = 0
    used_s = 0.0
    for _ in range(reads):
        time.sleep(PAUSE_S)
        began_s = time.thread_time()
        stack: tuple[Frame, ...] = ()
        try:
            stack = interpreter.stack(pid) or ()
        except (ImpossibleStackError, UnreadableError) as error:
            refused[type(error).__name__] += 1
        used_s += time.thread_time() - began_s
        total += len(stack)
        wrong += bool(stack) and not is_path([frame[0] for frame in stack])
    return refused, wrong, total, used_s / reads


def is_path(functions: list[str]) -> bool:
    """From the root, each calling the next."""
    pairs = itertools.pairwise(functions)
    return functions[0] == "<module>" and all(called in CALLS[function] for function, called in pairs)


def py_spy(pid: int) -> str:
    """CPU of one dump, and of the time in which it stops the process."""
    tool = Path(sys.executable).with_name("py-spy")
    if not tool.exists():
        return "py-spy missing"
    before = os.times()
    for _ in range(DUMPS):
        subprocess.run([tool, "dump", "--json", "-p", str(pid)], stdout=subprocess.DEVNULL, check=False)
    after = os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    return f"`py-spy dump` {1e6 * used_s / DUMPS:,.0f} µs, and it stops the process"


def speed(python: str) -> Row:
    """Rounds that the program makes a second of its CPU while it is read, beside those while it is not."""
    ratios = []
    for _ in range(PAIRS):
        rounds = [rounds_of(python, is_read=is_read) for is_read in (False, True, False)]
        ratios.append(rounds[1] / ((rounds[0] + rounds[2]) / 2))
    ratio = statistics.median(ratios)
    return Row(
        f"a program's speed while its stack of up to two hundred calls is read {RATE_HZ} times a second",
        f"{ratio:.3f} (median of {PAIRS}; {min(ratios):.3f} to {max(ratios):.3f})",
        "1 without",
        f"≥ {SPEED_BUDGET}",
        judged(ratio >= SPEED_BUDGET),
        COMMAND,
    )


def rounds_of(python: str, *, is_read: bool) -> float:
    with running([python], ROUND_S, DEEP) as process:
        interpreter = attached(process.pid)
        while is_read and process.poll() is None:
            try:
                interpreter.stack(process.pid)
            except (ImpossibleStackError, UnreadableError):
                pass
            time.sleep(1 / RATE_HZ)
        assert process.stdout is not None
        return float(json.loads(process.stdout.readline()))


if __name__ == "__main__":
    main()
