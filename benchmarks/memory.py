"""What the daemon keeps resident: at its start, after 100 captures, and whether it goes on growing.

    python benchmarks/memory.py --captures 140

A real daemon with the default rules beside the one that fires here, on a machine of about 100 processes.
Every three seconds another process spikes, each a new target, so that one capture follows the other: four in
five are Python (py-spy), the fifth a shell (perf). A capture takes one second instead of ten; what profilers
read is parsed in child processes, so its length hardly matters. Figures are resident bytes of smaps_rollup.

Only what comes after the warm-up is a slope. Ticks are a second apart, and what looks back over five or ten
minutes (the ring, the rules of growth) looks back 150 ticks here, as the ring does by default: full after 50
captures. On a machine too busy for a capture every
three seconds it ends after eight minutes, with what there is by then.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pass_cost import farm
from recording import (
    HERE,
    ROOT,
    Recording,
    Row,
    command_of,
    load,
    memory_of,
    parser,
    recording,
    show,
    start_burner,
)

BUDGET_MIB = 50.0  # of 1,024 KiB, as ps, top and systemd count, and as the budget was reckoned
SLOPE_BUDGET_MIB = 0.5
SETTLED = 80  # captures
LONGEST_S = 480.0
PROCESSES = 100
SPIKE_EVERY_S = 3.0
SPIKE_S = 10.0
RULES = (ROOT / "monitord" / "default_rules.toml").read_text().replace("window_s = 600", "window_s = 150")
CONFIG = f"""\
[sampling]
interval_s = 1
ring_s = 150
[capture]
duration_s = 1
max_per_hour = 1000
[retention]
min_free_disk_mb = 0
[[rules]]
name = "bench-cpu"
metric = "cpu"
above = 5
window_s = 2
clear_below = 2
captures_per_hour = 1000
match.names = ["bench-spike"]
{RULES}
"""


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "farm")
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", program, HERE / "farm.c"], check=True)
        with (
            farm(program, PROCESSES, 0) as processes,
            glances(Path(folder)) as peer,
            recording(CONFIG) as daemon,
        ):
            curve, glances_bytes = watch(daemon, arguments.captures, peer)
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(curve) + "\n")
    show(rows(curve, glances_bytes, processes), arguments.rows)


def watch(daemon: Recording, captures: int, peer: int | None) -> tuple[list[tuple[int, float]], int | None]:
    """(captures so far, resident MiB) at each new capture; and what glances holds at the hundredth."""
    from monitord.storage.queries import RecentFilter, StoreReader

    curve = [(0, _resident_mib(daemon.pid))]
    print(f"at the start: {curve[0][1]:.1f} MiB", flush=True)
    spikes: list[subprocess.Popen[bytes]] = []
    glances_bytes, next_s, started = None, time.monotonic(), 0
    deadline_s = next_s + LONGEST_S
    try:
        while curve[-1][0] < captures and time.monotonic() < deadline_s:
            if time.monotonic() >= next_s:
                spikes = [spike for spike in spikes if spike.poll() is None]
                spikes.append(_spike(started))
                next_s, started = next_s + SPIKE_EVERY_S, started + 1
            time.sleep(0.5)
            with StoreReader(daemon.data_dir) as reader:
                recent = reader.recent(RecentFilter(limit=None))
            count = sum(row.role != "context" and row.status.has_evidence for row in recent)
            if count > curve[-1][0]:
                curve.append((count, _resident_mib(daemon.pid)))
                if count % 10 == 0 or count == 1:
                    print(f"{count} captures of {started} spikes: {curve[-1][1]:.1f} MiB", flush=True)
            if peer is not None and glances_bytes is None and count >= min(100, captures):
                glances_bytes = memory_of(peer)["Rss"]
        if peer is not None and glances_bytes is None:
            glances_bytes = memory_of(peer)["Rss"]
    finally:
        for spike in spikes:
            spike.kill()
            spike.wait()
    return curve, glances_bytes


def _spike(number: int) -> subprocess.Popen[bytes]:
    """Four in five are Python; both kinds call themselves bench-spike."""
    if number % 5 == 4:
        words = "printf bench-spike > /proc/$$/comm; i=0; while [ $i -lt 8000000 ]; do i=$((i+1)); done"
        return subprocess.Popen(["sh", "-c", words])
    return start_burner(SPIKE_S, 40)


def _resident_mib(pid: int) -> float:
    return memory_of(pid)["Rss"] / 2**20


@contextmanager
def glances(folder: Path) -> Iterator[int | None]:
    """The pid of a glances that looks as often as we do, or None where it is not installed."""
    program = shutil.which("glances") or shutil.which("glances", path=str(Path(sys.executable).parent))
    if program is None:
        yield None
        return
    words = [program, "-q", "-t", "2", "--disable-check-update", "--export", "csv"]
    process = subprocess.Popen(
        [*words, "--export-csv-file", folder / "glances.csv"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def growth_mib(curve: list[tuple[int, float]], since: int, until: int) -> float | None:
    """What was gained between two numbers of captures, by the least squares line through all points."""
    part = [(count, mib) for count, mib in curve if since <= count <= until]
    if len(part) < (until - since) / 2:
        return None
    return statistics.linear_regression(*zip(*part, strict=True)).slope * (until - since)


def rows(curve: list[tuple[int, float]], glances_bytes: int | None, processes: int) -> list[Row]:
    command = command_of(__file__)
    first = curve[0][1]
    last = curve[-1][0]
    after, highest = curve[-1][1], max(mib for _, mib in curve)
    is_whole = last >= 100  # fewer say something only when they are too many already
    beside = "glances missing" if glances_bytes is None else f"glances {glances_bytes / 2**20:.1f} MiB"
    found = [
        Row(
            f"daemon's memory, {processes} processes, at the start / after {last} captures",
            f"{first:.1f} / {after:.1f} MiB RSS (highest {highest:.1f})",
            beside,
            f"≤ {BUDGET_MIB:g} MiB",
            highest <= BUDGET_MIB if is_whole or highest > BUDGET_MIB else None,
            command,
        )
    ]
    gain = growth_mib(curve, SETTLED, last) if last >= SETTLED + 30 else None
    if gain is not None:
        found.append(
            Row(
                f"growth from capture {SETTLED} to {last}, by least squares",
                f"{gain:+.2f} MiB",
                "what looks back is full by then",
                f"slope 0 (noise ≤ {SLOPE_BUDGET_MIB:g} MiB)",
                gain <= SLOPE_BUDGET_MIB,
                command,
            )
        )
    print(f"load {load()}")
    return found


def _arguments() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--captures", type=int, default=140)
    options.add_argument("-o", "--output", help="where to write the curve as JSON")
    return options.parse_args()


if __name__ == "__main__":
    main()
