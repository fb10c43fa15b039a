"""What one look costs, in CPU milliseconds, beside a C program and beside other monitors, in the same run.

    python benchmarks/pass_cost.py --processes 100 500 2000 -o results.json

Needs gcc. Methods take turns over several rounds, each with one second between its passes. Our own
methods and the C program clock each pass (two warm-up passes left out, median); peers are whole programs:
(CPU of 6 passes − CPU of 2) / 4 by wait4, so that their start does not count. Read ratios, not absolutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recording import Row, command_of, show

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GAP_S = 1.0
PASSES = 7
WARM_UP = 2
BURNING = 5
QUIET_TICK_S = 2.0

BUDGETS = {"C reader": 1.3, "top": 1 / 3, "atop": 1 / 5, "pidstat": 1 / 5, "glances": 1 / 5}
"""Our pass may cost at most this many times what the other one costs."""

QUIET_BUDGET_PERCENT = 0.1
QUIET_MACHINE_PERCENT = 5.0
"""Above this share of one core in other processes looks can't be skipped: the budget does not apply."""


# ------------------------------------------------------------------------- our own passes (in a child)


def worker(method: str, passes: int, gap_s: float) -> None:
    """Print the CPU milliseconds of each pass, as reader.c does."""
    one_pass = OWN[method]()
    for _ in range(passes):
        before = time.process_time_ns()
        one_pass()
        print((time.process_time_ns() - before) / 1e6, flush=True)
        time.sleep(gap_s)


def _own_pass() -> Callable[[], object]:
    """Tier 2 alone: every process read, rates of those that did something."""
    from monitord.sampling.linux import LinuxProcesses
    from monitord.sampling.process_reader import ReadRequest
    from monitord.sampling.rates import LastTick, process_rates

    reader, ask, tick = LinuxProcesses(), ReadRequest(), LastTick(GAP_S)
    return lambda: [process_rates(seen, tick) for seen in reader.read_all(ask).readings]


def _own_look() -> Callable[[], object]:
    """Both tiers: the machine, every process, and storage I/O of every process."""
    from monitord.model import Demand
    from monitord.sampling import Sampler

    sampler = Sampler(heartbeat_s=0.0)
    return lambda: sampler.look(Demand(cpu_percent=90.0, disk_bytes_per_s=50e6))


def _own_tick() -> Callable[[], object]:
    """Tier 1 alone: a look at a machine on which nothing can matter."""
    from monitord.model import Demand
    from monitord.sampling import Sampler

    sampler = Sampler(heartbeat_s=1e9)
    return lambda: sampler.look(Demand())


def _psutil_pass() -> Callable[[], object]:
    """What most Python monitors do, at its cheapest: CPU times and memory of every process in one shot."""
    import psutil

    return lambda: [process.info for process in psutil.process_iter(["name", "cpu_times", "memory_info"])]


OWN = {
    "monitord pass": _own_pass,
    "monitord look": _own_look,
    "monitord tick": _own_tick,
    "psutil": _psutil_pass,
}


# -------------------------------------------------------------------------------------------- measuring


@contextmanager
def farm(program: Path, processes: int, burning: int) -> Iterator[int]:
    """About `processes` processes on the machine, of which `burning` use 5 % each; gives the true number."""
    idle = max(0, processes - count_processes() - burning - 1)
    child = subprocess.Popen(
        [program, str(idle), str(burning)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise SystemExit("the farm could not start: too many processes?")
        yield count_processes()
    finally:
        child.stdin.close()
        child.wait()
        child.stdout.close()
        wait_for_quiet(processes - idle + 20)


def count_processes() -> int:
    return sum(name.isdigit() for name in os.listdir("/proc"))  # noqa: PTH208 - names, not paths


def wait_for_quiet(most: int) -> None:
    """The children of the last farm must be reaped: zombies count too."""
    deadline = time.monotonic() + 60
    while count_processes() > most and time.monotonic() < deadline:
        time.sleep(0.1)


def clocked(command: list[str]) -> float:
    """Median of the passes that a program clocks itself."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return statistics.median([float(line) for line in done.stdout.split()][WARM_UP:])


def peer(command: Callable[[int], list[str]]) -> float:
    """CPU milliseconds per pass of a whole program."""
    return (cpu_of(command(6)) - cpu_of(command(2))) / 4


def cpu_of(command: list[str]) -> float:
    """CPU milliseconds of a program from start to end, with its children."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * 1e3


def peers(folder: Path, glances: str | None) -> dict[str, Callable[[int], list[str]] | None]:
    """How to make each peer do a number of passes one second apart; None: not installed."""
    log = str(folder / "atop.log")

    def atop(passes: int) -> list[str]:
        Path(log).unlink(missing_ok=True)
        return ["atop", "-w", log, "1", str(passes)]

    def glances_csv(passes: int) -> list[str]:
        target = str(folder / "glances.csv")
        Path(target).unlink(missing_ok=True)
        return [
            glances or "glances", "-q", "-t", "1", "--disable-check-update", "--export", "csv",
            "--export-csv-file", target, "--stop-after", str(passes),
        ]  # fmt: skip

    return {
        "top": (lambda n: ["top", "-b", "-d", "1", "-n", str(n)]) if shutil.which("top") else None,
        "atop": atop if shutil.which("atop") else None,
        "pidstat": (lambda n: ["pidstat", "1", str(n)]) if shutil.which("pidstat") else None,
        "glances": glances_csv if glances else None,
    }


def methods(reader: Path, folder: Path, glances: str | None) -> dict[str, Callable[[], float] | None]:
    own = [sys.executable, str(Path(__file__).resolve()), "--worker"]
    table: dict[str, Callable[[], float] | None] = {
        name: (lambda name=name: clocked([*own, name])) for name in OWN
    }
    table["C reader"] = lambda: clocked([str(reader), str(PASSES), str(int(GAP_S * 1000))])
    for name, command in peers(folder, glances).items():
        table[name] = None if command is None else (lambda command=command: peer(command))
    return table


def quiet_cost(seconds: float) -> dict[str, float]:
    """CPU of a sampler ticking every 2 s under the default levels, in percent of one core."""
    command = [sys.executable, str(Path(__file__).resolve()), "--quiet-worker", str(seconds)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def quiet_worker(seconds: float) -> None:
    """Ticks after the first look; the start of the interpreter does not count, sleeping does."""
    from monitord.model import Demand
    from monitord.sampling import Sampler

    sampler = Sampler()
    demand = Demand(
        cpu_percent=40.0, rss_bytes=sampler.take_system().memory_total_bytes // 4, disk_bytes_per_s=50e6
    )
    sampler.look(demand)
    complete = ticks = 0
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    busy_s = sampler.take_system().cpu_busy_s
    while time.monotonic() - began_s < seconds:
        time.sleep(QUIET_TICK_S)
        complete += sampler.look(demand).is_complete
        ticks += 1
    used_s, over_s = time.process_time() - began_cpu_s, time.monotonic() - began_s
    others_s = sampler.take_system().cpu_busy_s - busy_s - used_s
    print(
        json.dumps(
            {
                "percent_of_a_core": 100 * used_s / over_s,
                "others_percent_of_a_core": 100 * max(0.0, others_s) / over_s,
                "ticks": ticks,
                "complete_passes": complete,
                "seconds": over_s,
            }
        )
    )


# --------------------------------------------------------------------------------------------- printing


def report(results: dict[str, object], processes: int, figures: dict[str, list[float] | None]) -> None:
    """One table per size: milliseconds, spread, and our pass as a multiple of the other, with its budget."""
    ours = statistics.median(figures["monitord pass"] or [])
    print(f"\n{processes} processes, CPU ms per pass (median of rounds)")
    print(f"{'method':<16}{'ms':>9}{'min':>9}{'max':>9}{'ours / it':>11}{'budget':>9}")
    rows: dict[str, object] = {}
    for name, values in figures.items():
        if values is None:
            print(f"{name:<16}{'not installed':>16}")
            rows[name] = None
            continue
        middle, budget = statistics.median(values), BUDGETS.get(name)
        ratio = ours / middle if middle else float("inf")
        verdict = "" if budget is None else f"{budget:9.2f} {'kept' if ratio <= budget else 'BROKEN'}"
        print(f"{name:<16}{middle:9.2f}{min(values):9.2f}{max(values):9.2f}{ratio:11.2f}{verdict}")
        rows[name] = {"ms": middle, "rounds": values, "ours_over_it": ratio, "budget": budget}
    results[str(processes)] = rows


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        worker(arguments.worker, PASSES, GAP_S)
        return
    if arguments.quiet_worker:
        quiet_worker(arguments.quiet_worker)
        return
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for program in ("reader", "farm"):
            source = HERE / f"{program}.c"
            subprocess.run(
                ["gcc", "-O2", "-Wall", "-D_GNU_SOURCE", "-o", f"{folder}/{program}", source], check=True
            )
        table = methods(Path(folder, "reader"), Path(folder), arguments.glances)
        for processes in arguments.processes:
            with farm(Path(folder, "farm"), processes, BURNING) as count:
                figures: dict[str, list[float] | None] = {
                    name: None if run is None else [] for name, run in table.items()
                }
                for number in range(arguments.rounds):
                    for name in _rotated(list(table), number):
                        if (run := table[name]) is not None:
                            values = figures[name]
                            assert values is not None
                            values.append(run())
                report(results, count, figures)
        with farm(Path(folder, "farm"), 500, 0) as count:
            quiet = quiet_cost(arguments.quiet_seconds)
    kept = quiet["percent_of_a_core"] <= QUIET_BUDGET_PERCENT
    print(
        f"\nquiet machine, {count} processes, ticks of {QUIET_TICK_S:g} s for {quiet['seconds']:.0f} s: "
        f"{quiet['percent_of_a_core']:.3f} % of one core (budget {QUIET_BUDGET_PERCENT}) "
        f"{'kept' if kept else 'BROKEN'}; "
        f"{quiet['complete_passes']:.0f} of {quiet['ticks']:.0f} looks read every process\n"
        f"(everything else on the machine used {quiet['others_percent_of_a_core']:.1f} % of one core"
        f"{'' if quiet['others_percent_of_a_core'] < QUIET_MACHINE_PERCENT else ': it was NOT quiet'})"
    )
    results["quiet"] = quiet
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=1) + "\n")
    if arguments.rows:
        show(table_rows(results), arguments.rows)


def table_rows(results: dict[str, Any]) -> list[Row]:
    """A row for each size, with every peer; kept if all its budgets are."""
    command, found = command_of(__file__), []
    budget = "≤ 1.3 × C; ≤ ⅓ top; ≤ ⅕ atop, pidstat, Glances"
    for processes, methods_of in results.items():
        if processes == "quiet":
            continue
        others = {name: figures for name, figures in methods_of.items() if not name.startswith("monitord")}
        beside = ", ".join(
            f"{name} missing"
            if figures is None
            else f"{name} {figures['ms']:.1f} (× {figures['ours_over_it']:.2f})"
            for name, figures in others.items()
        )
        judged = [
            figures["ours_over_it"] <= figures["budget"]
            for figures in others.values()
            if figures and figures["budget"]
        ]
        ours = methods_of["monitord pass"]["ms"]
        look, tick = methods_of["monitord look"]["ms"], methods_of["monitord tick"]["ms"]
        found.append(
            Row(
                f"per-process pass, {processes} processes",
                f"{ours:.2f} ms CPU (whole look with storage I/O {look:.2f}; skipped look {tick:.2f})",
                beside,
                budget,
                all(judged),
                command,
            )
        )
    quiet = results["quiet"]
    others_percent = quiet["others_percent_of_a_core"]
    used, looks = quiet["percent_of_a_core"], f"{quiet['complete_passes']:.0f} of {quiet['ticks']}"
    is_judged = used <= QUIET_BUDGET_PERCENT or others_percent <= QUIET_MACHINE_PERCENT
    found.append(
        Row(
            "sampling alone, 500 processes, ticks of 2 s",
            f"{used:.3f} % of one core ({looks} looks read everybody)",
            f"everything else on the machine {others_percent:.0f} % of one core",
            f"≤ {QUIET_BUDGET_PERCENT:g} % on a quiet machine",
            used <= QUIET_BUDGET_PERCENT if is_judged else None,
            command,
        )
    )
    return found


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, nargs="+", default=[100, 500, 2000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quiet-seconds", type=float, default=30.0)
    parser.add_argument("--glances", help="path of a glances program, where one is installed")
    parser.add_argument("--rows", type=Path, help="where to write the rows of the table, as JSON")
    parser.add_argument("-o", "--output", help="where to write the figures as JSON")
    parser.add_argument("--worker", choices=list(OWN), help=argparse.SUPPRESS)
    parser.add_argument("--quiet-worker", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    beside_us = str(Path(sys.executable).parent)
    arguments.glances = (
        arguments.glances or shutil.which("glances") or shutil.which("glances", path=beside_us)
    )
    return arguments


if __name__ == "__main__":
    main()
