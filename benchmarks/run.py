"""Every budget measured beside its peer or limit; what `make bench` runs. Results go to README.md.

    python benchmarks/run.py                  all of them, about 25 minutes
    python benchmarks/run.py --only memory    one of them; the other rows stay as they are

Each benchmark is a file of its own and can be run alone: the last column says how. One that fails or takes
too long is named at the end, and the exit status is 1; the others are measured all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recording import HERE, ROOT, Row, load


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What it measures, and after how many minutes it is ended (twice what it takes on a quiet machine)."""

    what: str
    minutes: float


BENCHMARKS = {
    "memory": Benchmark("resident bytes at the start and after 100 captures, and the slope", 12),
    "first_look": Benchmark("from the first crossing to the first stack", 3),
    "stopping": Benchmark("SIGTERM in mid-capture to the end", 2),
    "notify": Benchmark("a message from the evidence to its receiver, beside a bare POST", 2),
    "fleet": Benchmark("questions to 1,000 hosts beside raw DuckDB; compacting a day; a month on paper", 8),
    "shipping": Benchmark("what a host ships on a day, beside the size of its rows", 4),
    "asking": Benchmark("recent over 10,000 captures, and --help", 3),
    "reports": Benchmark("a report, a bundle and a summary of an incident with a large profile", 4),
    "assistants": Benchmark(
        "a question over MCP at 10,000 incidents, beside the bare SDK; the server's memory", 5
    ),
    "web": Benchmark("the page's first view and answers at 10,000 incidents, its size, its memory", 5),
    "quiet": Benchmark("the whole daemon when nothing happens; its history on disk", 4),
    "black_box": Benchmark(
        "the rings of stacks: their reader quiet and busy, beside perf and py-spy; a target's speed", 6
    ),
    "black_box_spikes": Benchmark("planted spikes of ten kinds, asked for when they are over", 8),
    "python_stacks": Benchmark("Python stacks read from outside: cost and truth, beside py-spy", 6),
    "causes_memory": Benchmark(
        "planted leaks in every CPython here and in C: is what grew named; the CPU of a look at 700 MiB", 12
    ),
    "causes_waits": Benchmark(
        "holders of locks, remote ends, look-alikes: are they told right? And what a look costs", 12
    ),
    "profiles": Benchmark(
        "reading, comparing and writing profiles, beside reading and splitting their lines", 4
    ),
    "events": Benchmark("storing a million events, asking and pruning them, beside raw sqlite3", 5),
    "state": Benchmark("get and set per backend beside the raw client; a million items", 5),
    "capture_cost": Benchmark("one capture: what it costs the target and us", 3),
    "artefacts": Benchmark(
        "storing and retrieving beside the raw clients, the cache, a listing, a GB's memory", 4
    ),
    "retention": Benchmark("retention and a start at 2,000 and 20,000 incidents", 20),
    "scalene": Benchmark("standing by under Scalene, and a script profiled, beside Scalene alone", 6),
    "history": Benchmark("bytes of history a day, by age; commits and bytes written a minute", 5),
    "tiering": Benchmark("a busy machine's hours to the warm tier, and a run without news", 2),
    "query": Benchmark("every template over 30 days of history, beside raw DuckDB", 3),
    "replay": Benchmark("a replay step at 30 days of history, beside a raw SQLite read", 5),
    "pass_cost": Benchmark(
        "a look at 100, 500 and 2,000 processes, beside C, psutil, top, atop, pidstat, Glances", 6
    ),
}
"""To add one: benchmarks/NAME.py and its line here, nothing else. Its `main` takes its options from
`recording.parser`, which knows `--rows FILE`, and ends with `recording.show([Row(…), …], arguments.rows)`.
A Row is one line of the table: the figure, its peer or limit of the same run, the budget, whether it is kept
(None: not judged, because there is no budget or because the machine was too busy for it to mean anything)."""

README = HERE / "README.md"
BEGIN, END = "<!-- results: written by run.py -->", "<!-- end of results -->"
HEADINGS = ("what", "measured", "peer or limit, same run", "budget", "", "alone")
WHOSE_ROW = re.compile(r"`python benchmarks/(\w+)\.py[^|]*\|$")
WHOSE_TIME = re.compile(r"- (\w+): ")


def main() -> None:
    arguments = _arguments()
    failed = []
    for name in arguments.only or BENCHMARKS:
        print(f"\n== {name}: {BENCHMARKS[name].what} (load {load()})", flush=True)
        before, began_s = load(), time.monotonic()
        rows = run(name)
        if rows is None:
            failed.append(name)
            continue
        print(f"took {time.monotonic() - began_s:.0f} s", flush=True)
        around = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, load {before} → {load()}"
        README.write_text(with_results(README.read_text(), name, rows, around))
    print(f"\nresults are in {README.relative_to(ROOT)}")
    if failed:
        sys.exit(f"these could not be measured: {', '.join(failed)}")


def run(name: str) -> list[Row] | None:
    """The rows of one benchmark, measured in a process of its own, or None when it failed."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "rows.json")
        if not ended_well(name, rows) or not rows.exists():
            return None
        return [Row(**row) for row in json.loads(rows.read_text())]


def ended_well(name: str, rows: Path) -> bool:
    """Run it within its time. SIGTERM first: what it started ends with it (`recording.parser`)."""
    process = subprocess.Popen([sys.executable, HERE / f"{name}.py", "--rows", rows], cwd=ROOT)
    try:
        return process.wait(BENCHMARKS[name].minutes * 60) == 0
    except subprocess.TimeoutExpired:
        print(f"{name} takes longer than {BENCHMARKS[name].minutes:g} minutes: ended", flush=True)
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return False


def with_results(text: str, name: str, rows: list[Row], around: str) -> str:
    """README's text with these rows in place of the benchmark's old ones; all others stay as they stand."""
    head, _, rest = text.partition(BEGIN)
    old, _, tail = rest.partition(END)
    times = [line for line in old.splitlines() if line.startswith("- ")]
    table = [line for line in old.splitlines() if line.startswith("|")][2:]
    lines = [BEGIN, "", machine(), ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    lines += exchanged(table, WHOSE_ROW, name, [line_of(row) for row in rows])
    lines += ["", "When, and the load average (1/5/15 minutes) before and after:", ""]
    lines += exchanged(times, WHOSE_TIME, name, [f"- {name}: {around}"])
    return head + "\n".join([*lines, "", END]) + tail


def exchanged(lines: list[str], whose: re.Pattern[str], name: str, new: list[str]) -> list[str]:
    """The lines with `new` where the benchmark's own stood, or behind those of the benchmarks before it."""
    owners = [found[1] if (found := whose.search(line)) else "" for line in lines]
    names = list(BENCHMARKS)
    before = {"", *names[: names.index(name)]}
    place = (
        owners.index(name)
        if name in owners
        else max((n + 1 for n, owner in enumerate(owners) if owner in before), default=0)
    )
    others = [(n, line) for n, line in enumerate(lines) if owners[n] != name]
    return [
        *(line for n, line in others if n < place),
        *new,
        *(line for n, line in others if n >= place),
    ]


def line_of(row: Row) -> str:
    cells = (row.what, row.measured, row.peer, row.budget, row.verdict, f"`{row.command}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def machine() -> str:
    """What it was measured on."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return (
        f"{os.cpu_count()} CPUs ({model}), {memory_gb:.0f} GB, Linux {platform.release()}, "
        f"Python {platform.python_version()}."
    )


def _arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--only", nargs="+", choices=list(BENCHMARKS))
    return options.parse_args()


if __name__ == "__main__":
    main()
