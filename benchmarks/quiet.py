"""What the whole daemon costs when nothing happens, and what its history takes on disk.

    python benchmarks/quiet.py --minutes 2.5

500 processes, of which none does anything, the default configuration. CPU is what the scheduler counted
for every thread of the daemon after its first half minute. History is what stands in the table after that
stretch, extrapolated to a day. Whoever else uses the machine makes looks necessary that a quiet machine
does not need: their share is printed, and above 5 % of a core the budget is not judged. The parts are clocked
as well, each in CPU time and a second apart (caches are cold then, as in the daemon): what a quiet minute is
made of, whoever else uses the machine.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pass_cost import QUIET_BUDGET_PERCENT, QUIET_MACHINE_PERCENT, farm
from recording import HERE, ROOT, Recording, Row, command_of, load, parser, recording, show

PROCESSES = 500
WARM_UP_S = 30.0
ROUNDS = 7
CONFIG = "[retention]\nmin_free_disk_mb = 0\n"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=2.5)
    options.add_argument("--parts", action="store_true", help="(the child that clocks the parts)")
    arguments = options.parse_args()
    if arguments.parts:
        clock_parts()
        return
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "farm")
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", program, HERE / "farm.c"], check=True)
        with farm(program, PROCESSES, 0) as processes, recording(CONFIG) as daemon:
            found = watch(daemon, arguments.minutes * 60, processes)
            found.append(parts(processes))
    print(f"load {load()}")
    show(found, arguments.rows)


def watch(daemon: Recording, seconds: float, processes: int) -> list[Row]:
    time.sleep(WARM_UP_S)
    began_s, own_s, machine_s = time.monotonic(), scheduled_s(daemon.pid), machine_busy_s()
    time.sleep(seconds)
    over_s = time.monotonic() - began_s
    own = 100 * (scheduled_s(daemon.pid) - own_s) / over_s
    others = max(0.0, 100 * (machine_busy_s() - machine_s) / over_s - own)
    taken_bytes, span_s, passes = history(daemon.data_dir / "monitord.db")
    is_quiet = others <= QUIET_MACHINE_PERCENT
    command = command_of(__file__)
    return [
        Row(
            f"the whole daemon, {processes} processes, ticks of 2 s, {over_s / 60:.0f} minutes",
            f"{own:.2f} % of one core",
            f"everything else on the machine {others:.0f} % of one core"
            + ("" if is_quiet else ": **not a quiet machine**"),
            f"≤ {QUIET_BUDGET_PERCENT:g} %",
            own <= QUIET_BUDGET_PERCENT if is_quiet or own <= QUIET_BUDGET_PERCENT else None,
            command,
        ),
        Row(
            "history on disk, a day",
            f"{taken_bytes / span_s * 86400 / 1e6:.1f} MB a day, extrapolated from {taken_bytes:,} bytes in "
            f"{span_s / 60:.1f} minutes ({passes} rows)",
            "the store's budget is 50 MB",
            "–",
            None,
            command,
        ),
    ]


def parts(processes: int) -> Row:
    """CPU of a tick that reads nobody, of a heartbeat that reads all, and of explaining the rules."""
    words = [sys.executable, Path(__file__).resolve(), "--parts"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    tick_ms, heartbeat_ms, explain_ms = json.loads(done.stdout)
    minute_ms = 26 * tick_ms + 4 * heartbeat_ms + explain_ms
    return Row(
        f"what a quiet minute is made of, {processes} processes",
        f"26 ticks of {tick_ms:.2f} ms, 4 heartbeats of {heartbeat_ms:.1f}, the rules explained "
        f"{explain_ms:.1f}: "
        f"{minute_ms / 600:.3f} % of one core",
        "the whole daemon also wakes up, writes and tidies: the row above",
        "–",
        None,
        command_of(__file__),
    )


def clock_parts() -> None:
    """Print the median CPU milliseconds of the three, in a process of its own."""
    from monitord import config
    from monitord.detection import Detector
    from monitord.model import Demand
    from monitord.sampling import Sampler

    detector = Detector(config.load(None).settings.rules)
    skipping, complete = Sampler(heartbeat_s=1e9), Sampler(heartbeat_s=0.0)
    for sampler in (complete, skipping, complete):
        detector.judge(sampler.look(detector.demand()))

    def tick() -> None:
        detector.demand()
        detector.judge(skipping.look(Demand()))  # nothing is demanded, so nobody is read, however busy it is

    def heartbeat() -> None:
        detector.judge(complete.look(detector.demand()))

    clocked = [[_cpu_ms(call) for _ in range(ROUNDS)] for call in (tick, heartbeat, detector.explain)]
    print(json.dumps([statistics.median(times) for times in clocked]))


def _cpu_ms(call: Callable[[], object]) -> float:
    time.sleep(1.0)
    before = time.process_time_ns()
    call()
    return (time.process_time_ns() - before) / 1e6


def scheduled_s(pid: int) -> float:
    """CPU seconds of all threads, exact where /proc/PID/stat counts in ticks."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def machine_busy_s() -> float:
    """CPU seconds that anybody used, on all cores."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / 100


def history(database: Path) -> tuple[int, float, int]:
    """Bytes of the stored history, the seconds it spans, its rows."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT sum(length(rates) + 64),"
            " (julianday(max(taken_until)) - julianday(min(taken_from))) * 86400, count(*) FROM history"
        ).fetchone()
    finally:
        connection.close()


if __name__ == "__main__":
    main()
