"""What standing by under Scalene costs a script, and what `monitord profile` adds to Scalene itself.

    python benchmarks/scalene.py --rounds 7

A script does a fixed amount of work and says how much CPU that took it: bare, and under `monitord profile
--standby` (never switched on). Then a short script under `scalene run` and under `monitord profile`: wall
clock and CPU of everything that was started, and whether both name the same hottest lines. Methods take
turns; medians count.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recording import ROOT, Row, command_of, load, parser, show

SCRIPT = """
import sys, time
def inner(count):
    total = 0
    for number in range(count):
        total += number * number
    return total
began = time.process_time()
for _ in range(int(sys.argv[1])):
    inner(20000)
print("cpu", time.process_time() - began, flush=True)
"""
MOST_OVERHEAD_PERCENT, MOST_ADDED_S = 2.0, 0.5


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as name:
        folder = Path(name)
        (folder / "script.py").write_text(SCRIPT)
        bare, off = interleaved(
            arguments.rounds,
            lambda: own_cpu_s(folder, [sys.executable, "script.py", "1200"]),
            lambda: own_cpu_s(folder, monitord("profile", "--standby", "script.py", "--", "1200")),
        )
        scalene, ours = interleaved(arguments.rounds, lambda: by_scalene(folder), lambda: by_monitord(folder))
    print(f"load {load()}")
    show(rows(bare, off, scalene, ours), arguments.rows)


def interleaved(
    rounds: int, first: Callable[[], Any], second: Callable[[], Any]
) -> tuple[list[Any], list[Any]]:
    """What both gave, taking turns, the one that begins changing."""
    found: tuple[list[Any], list[Any]] = ([], [])
    for number in range(rounds):
        for index in (0, 1) if number % 2 else (1, 0):
            found[index].append((first, second)[index]())
        print(found[0][-1], found[1][-1], flush=True)
    return found


def monitord(*words: str) -> list[str]:
    return [sys.executable, "-m", "monitord", *words]


def run(folder: Path, words: list[str]) -> tuple[str, float, float]:
    """What it printed, its wall clock, and the CPU of all it started."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MONITORD_DATA_DIR": str(folder / "data")}
    began_s, used = time.monotonic(), os.times()
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    now = os.times()
    cpu_s = now.children_user + now.children_system - used.children_user - used.children_system
    return done.stdout, time.monotonic() - began_s, cpu_s


def own_cpu_s(folder: Path, words: list[str]) -> float:
    """What the script says of itself."""
    return float(run(folder, words)[0].split("cpu ")[1].split()[0])


def by_scalene(folder: Path) -> tuple[float, float, list[int]]:
    out = folder / "bare.json"
    words = [sys.executable, "-m", "scalene", "run", "--cpu-only", "-o", str(out), "script.py", "---", "800"]
    _said, wall_s, cpu_s = run(folder, words)
    lines = [line for kept in json.loads(out.read_text())["files"].values() for line in kept["lines"]]
    lines.sort(
        key=lambda line: -(line["n_cpu_percent_python"] + line["n_cpu_percent_c"] + line["n_sys_percent"])
    )
    return wall_s, cpu_s, sorted(line["lineno"] for line in lines[:2])


def by_monitord(folder: Path) -> tuple[float, float, list[int]]:
    said, wall_s, cpu_s = run(folder, monitord("profile", "-o", "json", "script.py", "--", "800"))
    return wall_s, cpu_s, sorted(line["line"] for line in json.loads(said)["lines"][:2])


def rows(
    bare: list[float], off: list[float], scalene: list[tuple[float, float, list[int]]],
    ours: list[tuple[float, float, list[int]]],
) -> list[Row]:  # fmt: skip
    median = statistics.median
    overhead = 100 * (median(off) / median(bare) - 1)
    wall = [median(one[0] for one in some) for some in (scalene, ours)]
    cpu = [median(one[1] for one in some) for some in (scalene, ours)]
    same = sum(a[2] == b[2] for a, b in zip(scalene, ours, strict=True))
    command = command_of(__file__)
    return [
        Row("Scalene standing by, switched off: the script's own CPU",
            f"{overhead:+.1f} % ({median(off):.2f} s)",
            f"bare: {median(bare):.2f} s", f"≤ {MOST_OVERHEAD_PERCENT:.0f} %",
            overhead <= MOST_OVERHEAD_PERCENT, command),
        Row("`monitord profile` of a short script", f"{wall[1]:.2f} s ({cpu[1]:.2f} s of CPU)",
            f"`scalene run`: {wall[0]:.2f} s ({cpu[0]:.2f} s of CPU)", f"≤ {MOST_ADDED_S} s more",
            wall[1] - wall[0] <= MOST_ADDED_S, command),
        Row("the two hottest lines are the same", f"{same} of {len(ours)} runs", "`scalene run`", "all",
            same == len(ours), command),
    ]  # fmt: skip


def _arguments():
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=7)
    return options.parse_args()


if __name__ == "__main__":
    main()
