"""What the whole daemon costs when nothing happens, and what its history takes on disk.

    python benchmarks/quiet.py --minutes 2.5

500 processes, of which none does anything, the default configuration. CPU is what the scheduler counted
for every thread of the daemon after its first half minute. History is what stands in the table after that
stretch, extrapolated to a day. Whoever else uses the machine makes looks necessary that a quiet machine
does not need: their share is printed, and above 5 % of a core the budget is not judged.
"""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from pass_cost import QUIET_BUDGET_PERCENT, QUIET_MACHINE_PERCENT, farm
from recording import HERE, Recording, Row, command_of, load, parser, recording, show

PROCESSES = 500
WARM_UP_S = 30.0
CONFIG = "[retention]\nmin_free_disk_mb = 0\n"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=2.5)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "farm")
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", program, HERE / "farm.c"], check=True)
        with farm(program, PROCESSES, 0) as processes, recording(CONFIG) as daemon:
            found = watch(daemon, arguments.minutes * 60, processes)
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
