"""What history costs: bytes a day at each age, and what is written a minute.

    python benchmarks/history.py

Two machines are made up, a quiet one (every seventh pass looks at processes, some come and go) and a busy one
(each pass looks, and all values change every time: the worst case). A day and some hours are recorded:
a pass every 2 seconds, handed over a minute at a time by the recorder's own `Historian` and saved by its own
`Saving`, all within a minute or two. The days after the first are as large as the hours of them that were
played. Beside it: raw SQLite, a row a leader. Commits are counted, and bytes as the kernel counts what is
written to files.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from made_past import BEGAN, MadePast
from recording import Row, command_of, parser, show

from monitord.jobs import RetentionLimits
from monitord.model import DetectionResult, Rates
from monitord.recorder.persistence import Historian
from monitord.recorder.retention_store import Saving
from monitord.storage import SQLiteProfileStore, Writer, open_store
from monitord.storage.thinning import COARSE_S, COARSEST_S, FINE_S, leaders

DAYS = 30
HOURS_PLAYED = 27
BUDGET_BYTES = 50_000_000
SHARE_BYTES = BUDGET_BYTES // 4
_NO_LIMIT = RetentionLimits(max_total_bytes=10**12, min_free_disk_bytes=0)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--hours", type=float, default=HOURS_PLAYED)
    arguments = options.parse_args()
    show([row for is_busy in (False, True) for row in measured(is_busy, arguments.hours)], arguments.rows)


def measured(is_busy: bool, hours: float) -> Iterator[Row]:
    what = "a busy machine" if is_busy else "a quiet machine"
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder, "data"))
        written, cpu_s, commits = played(store, is_busy, hours)
        sizes = bytes_by_step(Path(folder, "data", "monitord.db"))
        store.close()
        raw_bytes = raw_day(Path(folder, "raw.db"), is_busy)
    seconds = {FINE_S: 900.0, COARSE_S: 86_400.0, COARSEST_S: 86_400.0}
    day = {step: sizes[step][0] / sizes[step][1] * seconds[step] for step in seconds}
    whole = day[FINE_S] + day[COARSE_S] + day[COARSEST_S] * (DAYS - 1)
    yield Row(
        f"history on disk, {what}, {DAYS} days",
        f"{whole / 1e6:.1f} MB: a quarter of an hour at 2 s {day[FINE_S] / 1e3:,.0f} kB, a day at 15 s "
        f"{day[COARSE_S] / 1e6:.2f} MB, each later day at a minute {day[COARSEST_S] / 1e3:,.0f} kB",
        f"raw SQLite, a row a leader every 15 s, a day: {raw_bytes / 1e6:.1f} MB",
        f"≤ {SHARE_BYTES / 1e6:.1f} MB, its share of the store's",
        whole <= SHARE_BYTES,
        command_of(__file__),
    )
    minutes = hours * 60
    yield Row(
        f"writing history, {what}, a minute",
        f"{commits / minutes:.2f} commits, {written / minutes / 1e3:,.0f} kB to the disk with the WAL's, "
        f"{1000 * cpu_s / minutes:.1f} ms of CPU ({100 * cpu_s / minutes / 60:.3f} % of a core), "
        "thinning included",
        "a pass every heartbeat without thinning, the same way: 1.00 commits",
        "1 commit a minute",
        commits <= minutes + 1,
        command_of(__file__),
    )


def played(store: SQLiteProfileStore, is_busy: bool, hours: float) -> tuple[int, float, int]:
    """Record so long; bytes written, CPU seconds and commits of saving."""
    writer = Writer()
    saving = Saving(store, _NO_LIMIT)
    commits = 0
    spent = [0.0]

    class Clocked:
        def add_history(self, passes: list[Rates], step_s: int) -> None:
            nonlocal commits
            began = time.thread_time()
            saving.add_history(passes, step_s)
            spent[0] += time.thread_time() - began
            commits += 1

    historian = Historian(Clocked(), writer, 15.0)  # type: ignore[arg-type]
    before = written_bytes()
    for rates in MadePast(is_busy=is_busy).passes(hours * 3600):
        historian.note(rates, DetectionResult())
        while writer.depth > 100:
            time.sleep(0.01)
    historian.flush()
    writer.close(600)
    return written_bytes() - before, spent[0], commits


def written_bytes() -> int:
    return int(Path("/proc/self/io").read_text().partition("wchar:")[2].split()[0])


def bytes_by_step(database: Path) -> dict[int, tuple[int, float]]:
    """By how far passes stand apart: their share of the table's pages, and of how many seconds."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT step_s, taken_from, taken_until, length(rates) FROM history"
        ).fetchall()
        (pages,) = connection.execute(
            "SELECT sum(pgsize) FROM dbstat WHERE name IN ('history', 'idx_history_time', 'idx_history_step')"
        ).fetchone()
    on_pages = pages / sum(size for *_row, size in rows)
    found: dict[int, tuple[int, float]] = {}
    for step, since, until, size in rows:
        held, seconds = found.get(step, (0, 0.0))
        long = (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() + step
        found[step] = held + round(size * on_pages), seconds + long
    return found


def raw_day(database: Path, is_busy: bool) -> int:
    """A day at 15 s as plain rows, from ten minutes of them."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "CREATE TABLE ran (at REAL, pid INTEGER, name TEXT, cpu REAL, rss INTEGER, disk REAL)"
        )
        for rates in MadePast(is_busy=is_busy).passes(6000, BEGAN + timedelta(days=1)):
            if rates.is_complete and rates.taken_at.second % 14 < 2:
                connection.executemany(
                    "INSERT INTO ran VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (rates.taken_at.timestamp(), one.key.pid, one.name, one.cpu_percent, one.rss_bytes,
                         one.disk_bytes_per_s)
                        for one in leaders(rates.processes)
                    ],
                )  # fmt: skip
        connection.commit()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    return int(pages) * 4096 * 86_400 // 6000


if __name__ == "__main__":
    main()
