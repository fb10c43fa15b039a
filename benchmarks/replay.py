"""What a step of `monitord replay` takes where 30 days of history are stored, and 1,000 incidents.

    python benchmarks/replay.py

History is as the recorder leaves it: an hour a row beyond a day, a quarter of an hour a row before. A step is
what a key does: the next pass, the one before, the next incident, a time anywhere; with the screen's lines.
Beside it: raw SQLite reading the same row's bytes, and the whole command beside `python -c pass`.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from made_past import BEGAN, MadePast
from recording import ROOT, Row, command_of, parser, show

from monitord.actions.moments import Moment
from monitord.actions.recorders_box import RecordersBox
from monitord.actions.replaying import Replay
from monitord.actions.workspace import Workspace
from monitord.cli.machine import screen_lines
from monitord.cli.terminal import Style
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.cells import packed_cell, packed_of, time_cell
from monitord.storage.past import PastReader
from monitord.storage.thinning import pack

DAYS, INCIDENTS = 30, 100
STEPS = 200
BUDGET_MS = 50.0
_ROWS = ((DAYS - 1, 3600, 60), (1, 900, 15))  # days, seconds a row, seconds between passes


def main() -> None:
    arguments = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder, "data")
        store = open_store(data_dir)
        until = fill(store, data_dir)
        store.close()
        rows = [*steps(data_dir, until), command(data_dir, until)]
    show(rows, arguments.rows)


def fill(store: SQLiteProfileStore, data_dir: Path) -> datetime:
    """History of a busy machine, and incidents all over it; when it ends."""
    from tests.cli.conftest import make_incident

    chance, at = random.Random(7), BEGAN
    rows = []
    for days, row_s, step_s in _ROWS:
        made = MadePast(is_busy=True).passes(2 * row_s / step_s)  # one row's worth, used again and again
        moved = [
            replace(rates, taken_at=at + timedelta(seconds=step_s * n), monotonic_s=step_s * n, gap=None)
            for n, rates in enumerate(made)
        ]
        held, ends = packed_of(pack(moved)), timedelta(seconds=row_s - step_s)
        for number in range(int(days * 86_400 / row_s)):
            start = at + timedelta(seconds=number * row_s)
            held["from"] = time_cell(start)
            rows.append((time_cell(start), time_cell(start + ends), packed_cell(held), step_s))
        at += timedelta(days=days)
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection, connection:
        sql = "INSERT INTO history (taken_from, taken_until, rates, step_s) VALUES (?, ?, ?, ?)"
        connection.executemany(sql, rows)
    for _ in range(INCIDENTS):
        moment = BEGAN + timedelta(seconds=chance.uniform(0, DAYS * 86_400))
        store.save_incident(make_incident(at=moment))
    return at


def steps(data_dir: Path, until: datetime) -> list[Row]:
    chance = random.Random(11)

    def anywhere() -> datetime:
        return BEGAN + timedelta(seconds=chance.uniform(60, (until - BEGAN).total_seconds() - 60))

    with PastReader(data_dir) as reader:
        replayed = Replay(reader, RecordersBox(Workspace(data_dir)))
        shown = [replayed.at(anywhere())]
        kinds: dict[str, Callable[[], Moment | None]] = {
            "the next pass": lambda: replayed.following(shown[0]),
            "the pass before": lambda: replayed.preceding(shown[0]),
            "the next incident": lambda: replayed.incident(shown[0], is_next=True),
            "a time": lambda: replayed.at(anywhere()),
        }
        rows = []
        for kind, step in kinds.items():
            times = []
            for _ in range(STEPS):
                shown[0] = replayed.at(anywhere())
                began = time.process_time()
                found = step() or shown[0]
                screen_lines(found, 120, 40, Style())
                times.append(1000 * (time.process_time() - began))
            rows.append(_row(kind, times, raw_ms(data_dir, anywhere)))
    return rows


def _row(kind: str, times: list[float], raw: float) -> Row:
    times = sorted(times)
    p99 = times[int(0.99 * len(times))]
    return Row(
        f"a replay step to {kind}, {DAYS} days of history, {INCIDENTS:,} incidents",
        f"CPU: median {statistics.median(times):.1f} ms, p99 {p99:.1f}, longest {times[-1]:.1f}",
        f"raw SQLite reading the row's bytes {raw:.2f} ms",
        f"≤ {BUDGET_MS:.0f} ms",
        p99 <= BUDGET_MS,
        command_of(__file__),
    )


def raw_ms(data_dir: Path, anywhere: Callable[[], datetime]) -> float:
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        times = []
        for _ in range(STEPS):
            cell = time_cell(anywhere())
            began = time.perf_counter()
            sql = "SELECT rates FROM history WHERE taken_until >= ? ORDER BY taken_until LIMIT 1"
            connection.execute(sql, [cell]).fetchone()
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def command(data_dir: Path, until: datetime) -> Row:
    """The whole command, and a day of it a row a minute."""
    words = [sys.executable, "-m", "monitord", "--data-dir", str(data_dir), "replay"]
    at = f"{until - timedelta(days=9):%Y-%m-%d %H:%M:%S}Z"
    day = [
        "-S",
        f"{until - timedelta(days=1):%Y-%m-%d %H:%M}Z",
        "-U",
        f"{until:%Y-%m-%d %H:%M}Z",
        "-o",
        "csv",
    ]
    one, many, bare = (
        _run_ms(each) for each in ([*words, at], [*words, *day], [sys.executable, "-c", "pass"])
    )
    return Row(
        "`monitord replay TIME`, the whole command",
        f"{one:.0f} ms; a day, 1,440 rows as CSV: {many:.0f} ms",
        f"`python -c pass` {bare:.0f} ms",
        "–",
        None,
        command_of(__file__),
    )


def _run_ms(words: list[str]) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(words, cwd=ROOT, capture_output=True, check=True)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


if __name__ == "__main__":
    main()
