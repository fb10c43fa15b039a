"""What asking costs, whole process: `monitord recent` over 10,000 stored captures, and `monitord --help`.

    python benchmarks/asking.py --captures 10000

Beside an interpreter that does nothing, and one that only loads the command-line library. Timed by
hyperfine where it is installed, else here: median of 20 runs after three that do not count.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recording import ROOT, Row, command_of, judged, load, parser, show

RUNS = 20
WARM_UP = 3
MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
BUDGETS_MS = {"recent": 300.0, "help": 200.0}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--captures", type=int, default=10_000)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as folder:
        data_dir = Path(folder, "data")
        # Filled in memory, where an fsync costs nothing, and copied: the saves are not what is measured.
        with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as made:
            fill(Path(made, "data"), arguments.captures)
            shutil.copytree(Path(made, "data"), data_dir)
        monitord = [sys.executable, "-m", "monitord"]
        asked = {
            "recent": [*monitord, "recent", "--data-dir", str(data_dir)],
            "recent -n 10000 -o json": [
                *monitord, "recent", "-n", "10000", "-o", "json", "--data-dir", str(data_dir)
            ],
            "help": [*monitord, "--help"],
            "pass": [sys.executable, "-c", "pass"],
            "typer": [sys.executable, "-c", "import typer"],
        }  # fmt: skip
        took = timed(asked)
    beside = f"`python -c pass` {took['pass']:.0f} ms, `import typer` {took['typer']:.0f} ms"
    command = command_of(__file__)
    print(f"load {load()}")
    show(
        [
            _row(
                f"`monitord recent`, {arguments.captures:,} captures stored", took["recent"], "recent", beside
            ),
            _row("`monitord --help`", took["help"], "help", beside),
            Row(
                "`monitord recent -n 10000 -o json` (all of them)",
                f"{took['recent -n 10000 -o json']:.0f} ms",
                beside,
                "–",
                None,
                command,
            ),
        ],
        arguments.rows,
    )


def _row(what: str, took_ms: float, budget: str, beside: str) -> Row:
    limit_ms = BUDGETS_MS[budget]
    return Row(
        what,
        f"{took_ms:.0f} ms",
        beside,
        f"≤ {limit_ms:g} ms",
        judged(took_ms <= limit_ms),
        command_of(__file__),
    )


def timed(commands: dict[str, list[str]]) -> dict[str, float]:
    """Median wall milliseconds of each command."""
    if shutil.which("hyperfine"):
        return {name: _hyperfine(words) for name, words in commands.items()}
    print("hyperfine is not installed: timed here")
    return {name: _own_timing(words) for name, words in commands.items()}


def _hyperfine(words: list[str]) -> float:
    with tempfile.NamedTemporaryFile(suffix=".json") as results:
        subprocess.run(
            [
                "hyperfine", "-N", "--style", "none", "--warmup", str(WARM_UP), "--runs", str(RUNS),
                "--export-json", results.name, shlex.join(words),
            ],
            cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        return float(json.load(results)["results"][0]["median"]) * 1e3


def _own_timing(words: list[str]) -> float:
    times = []
    for _ in range(WARM_UP + RUNS):
        began_s = time.perf_counter()
        subprocess.run(words, cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began_s)
    return statistics.median(times[WARM_UP:]) * 1e3


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def fill(data_dir: Path, captures: int) -> None:
    """A store of that many incidents, each with one capture that has its evidence and ten hotspots."""
    from monitord.storage import open_store

    began_s = time.monotonic()
    store = open_store(data_dir)
    try:
        for number in range(captures):
            store.save_incident(an_incident(number))
            if number % 1000 == 999:
                print(f"stored {number + 1} of {captures}", file=sys.stderr, flush=True)
    finally:
        store.close()
    print(f"filled in {time.monotonic() - began_s:.0f} s", file=sys.stderr)


def an_incident(number: int):
    from monitord.model import (
        Alert,
        Capture,
        CaptureStatus,
        Hotspot,
        Incident,
        ProcessKey,
        Threshold,
        TriggerMetric,
    )
    from monitord.storage import new_correlation_id

    at = datetime.now(UTC) - timedelta(seconds=20 * number)
    target, name = ProcessKey(1000 + number % 30_000, 100_000 + number), f"worker-{number % 40}"
    hotspots = tuple(Hotspot(f"step_{i}", f"app/part_{i}.py", 10 + i, 0.1, 0.1 * i) for i in range(1, 11))
    return Incident(
        correlation_id=new_correlation_id(),
        alert=Alert(
            rule="cpu-hog", metric=TriggerMetric.CPU, value=97.0, threshold=Threshold(90.0, "percent"),
            window_s=10.0, crossed_at=at - timedelta(seconds=10), raised_at=at, target=target,
            process_name=name, reason=f"{name} used 97 % of one core", severity=1.08,
        ),
        process=None,
        captures=(
            Capture(
                role="profile", profiler="py-spy", status=CaptureStatus.OK, started_at=at, duration_s=10.0,
                target=target, format="folded", payload=b"main;work 1000\n" * 20, rate_hz=100,
                sample_count=1000, target_cpu_percent=97.0, hotspots=hotspots,
            ),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
