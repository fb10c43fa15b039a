"""What standing by under Scalene costs a script, and what `monitord profile` adds to Scalene itself.

    python benchmarks/scalene.py --rounds 11

Two scripts do a fixed amount of work and say how much CPU that took them: records (JSON, dicts, strings), and
nothing but integers. Each bare, and under `monitord profile --standby` (never switched on). Beside that, bare
after `import sqlalchemy`: the garbage collector walks over whatever is loaded, and the allocator's blocks lie
elsewhere; and standing by with `gc.freeze()` as the script's first words, which spares that walk.
Then a short script under `scalene run` and under `monitord profile`: wall clock and CPU of all that was
started, and whether both name the same hottest lines. Methods take turns; medians count.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recording import ROOT, Row, command_of, load, parser, show

TIMED = """
import sys, time
{work}
began = time.process_time()
for _ in range(int(sys.argv[1])):
    work()
print("cpu", time.process_time() - began, flush=True)
"""
INTEGERS = """
def inner(count):
    total = 0
    for number in range(count):
        total += number * number
    return total
def work():
    inner(20000)
"""
RECORDS = """
import json, re
def order(n):
    return {"id": n, "price": n % 89 / 7, "sku": f"sku-{n % 977}", "tags": [str(n % 7), "x"]}
def prices(rows):
    by_sku = {}
    for row in rows:
        by_sku.setdefault(row["sku"], []).append(row["price"])
    return sorted((sum(prices), sku) for sku, prices in by_sku.items())
def work():
    found = prices(json.loads(json.dumps([order(n) for n in range(2000)])))
    return len(re.findall(r"sku-[0-9]+", " ".join(sku for _, sku in found)))
"""
WORKS = {"records": (RECORDS, 300), "integers": (INTEGERS, 2500)}
LOADED, FROZEN = "import sqlalchemy", "import gc; gc.freeze()"
MOST_OVERHEAD_PERCENT, MOST_ADDED_S = 2.0, 0.5


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as name:
        folder = Path(name)
        found = [standing_by(folder, work, arguments.rounds) for work in WORKS]
        (folder / "script.py").write_text(TIMED.format(work=INTEGERS))
        scalene, ours = interleaved(arguments.rounds, lambda: by_scalene(folder), lambda: by_monitord(folder))
        found += profiling(scalene, ours)
    print(f"load {load()}")
    show(found, arguments.rows)


def standing_by(folder: Path, name: str, rounds: int) -> Row:
    """The script's own CPU beside itself bare, with another library loaded, and with the collector spared."""
    work, times = WORKS[name]
    (folder / "script.py").write_text(TIMED.format(work=work))
    for other, first in (("loaded", LOADED), ("frozen", FROZEN)):
        (folder / f"{other}.py").write_text(TIMED.format(work=f"{first}\n{work}"))
    bare, off, loaded, frozen = (
        statistics.median(each)
        for each in interleaved(
            rounds,
            lambda: own_cpu_s(folder, [sys.executable, "script.py", str(times)]),
            lambda: own_cpu_s(folder, monitord("profile", "--standby", "script.py", "--", str(times))),
            lambda: own_cpu_s(folder, [sys.executable, "loaded.py", str(times)]),
            lambda: own_cpu_s(folder, monitord("profile", "--standby", "frozen.py", "--", str(times))),
        )
    )
    overhead, beside, spared = (100 * (each / bare - 1) for each in (off, loaded, frozen))
    return Row(
        f"Scalene standing by, switched off, {rounds} runs of a script of {name}: its own CPU",
        f"{overhead:+.1f} % ({off:.2f} s)",
        f"bare: {bare:.2f} s; bare after `{LOADED}`: {beside:+.1f} %; with `gc.freeze()`: {spared:+.1f} %",
        f"≤ {MOST_OVERHEAD_PERCENT:.0f} %",
        overhead <= MOST_OVERHEAD_PERCENT,
        command_of(__file__),
    )


def interleaved(rounds: int, *methods: Callable[[], Any]) -> tuple[list[Any], ...]:
    """What each method gave, taking turns, the one that begins changing."""
    found: tuple[list[Any], ...] = tuple([] for _ in methods)
    for number in range(rounds):
        for turn in range(len(methods)):
            index = (number + turn) % len(methods)
            found[index].append(methods[index]())
        print(*(each[-1] for each in found), flush=True)
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


def profiling(
    scalene: Sequence[tuple[float, float, list[int]]], ours: Sequence[tuple[float, float, list[int]]]
) -> list[Row]:
    wall, cpu = (
        [statistics.median(one[column] for one in some) for some in (scalene, ours)] for column in (0, 1)
    )
    same = sum(a[2] == b[2] for a, b in zip(scalene, ours, strict=True))
    command = command_of(__file__)
    return [
        Row("`monitord profile` of a short script", f"{wall[1]:.2f} s ({cpu[1]:.2f} s of CPU)",
            f"`scalene run`: {wall[0]:.2f} s ({cpu[0]:.2f} s of CPU)", f"≤ {MOST_ADDED_S} s more",
            wall[1] - wall[0] <= MOST_ADDED_S, command),
        Row("the two hottest lines are the same", f"{same} of {len(ours)} runs", "`scalene run`", "all",
            same == len(ours), command),
    ]  # fmt: skip


def _arguments():
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=11)
    return options.parse_args()


if __name__ == "__main__":
    main()
