"""Questions to 1,000 hosts and a day beside raw DuckDB over the same files; requests, and 30 days on paper.

    python benchmarks/fleet.py --hosts 1000

Each question is asked as the command line asks it: files are listed, checked and read by a child process.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from recording import ROOT, Row, command_of, judged, load, parser, show

sys.path.insert(0, str(ROOT))
BUDGET_S, BUDGET_MB = 1.0, 300
COMPACT_MB = 1000
ROUNDS = 3
SINCE = datetime(2026, 11, 20, tzinfo=UTC)
UNTIL = datetime(2026, 11, 20, 23, 59, 59, tzinfo=UTC)
ASKED: dict[str, dict[str, Any]] = {
    "hosts": {},
    "recent": {
        **dict.fromkeys(("incident", "process", "text", "function", "unit", "metric", "rule", "user"), ""),
        "cause": "",
        "pinned": False,
    },
    "same": {"process": "", "rule": "", "window_s": 300, "hosts": 20},
    "hot": {"process": "", "function": "", "module": ""},
    "compare": {"process": "", "version": "2.4.0", "before": "", "factor": 1.2},
}
# S3 in us-east-1: dollars for a thousand PUT or LIST, for a thousand GET, for a GB and month.
PUT_USD, GET_USD, GB_USD = 0.005, 0.0004, 0.023


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--hosts", type=int, default=1000)
    options.add_argument("--bucket", type=Path, help="a made fleet that is there already")
    words = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = words.bucket or Path(folder)
        if words.bucket is None:
            from benchmarks.made_fleet import Size, make_fleet

            make_fleet(root, words.hosts, size=Size())
        rows = [*questions(root, words.hosts), paper(root, words.hosts)]
        if words.bucket is None:
            rows.append(compacting(root, words.hosts))
    print(f"load {load()}")
    show(rows, words.rows)


def questions(root: Path, hosts: int) -> list[Row]:
    """Each question beside the same SQL over a pattern of files."""
    from monitord.fleet.questions import QUESTIONS

    rows = []
    for question in QUESTIONS:
        if question.name not in ASKED:
            continue
        values = {"limit": 20, **ASKED[question.name]}
        took_s, raw_s = [], []
        for _ in range(ROUNDS):
            took_s.append(_asked_s(root, question, values))
            raw_s.append(_raw_s(root, question, values))
        own_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        best_s = statistics.median(took_s)
        rows.append(
            Row(
                f"`fleet {question.name}`, {hosts:,} hosts, one day",
                f"median {best_s:.2f} s; the child that asks {own_mb:.0f} MiB (the largest so far)",
                f"raw DuckDB over a pattern of the same files {statistics.median(raw_s):.2f} s",
                f"≤ {BUDGET_S:g} s, ≤ {BUDGET_MB} MB",
                judged(best_s <= BUDGET_S) if own_mb <= BUDGET_MB else False,
                command_of(__file__),
            )
        )
    return rows


def _asked_s(root: Path, question: Any, values: dict[str, Any]) -> float:
    from monitord.fleet.asking import ask
    from monitord.fleet.bucket import Scope, open_bucket

    began_s = time.monotonic()
    bucket = open_bucket(root.as_uri())
    assert ask(bucket, question, Scope(SINCE, UNTIL), **values).rows
    return time.monotonic() - began_s


def _raw_s(root: Path, question: Any, values: dict[str, Any]) -> float:
    """In this process, warm: without a start, checks or a wall around it; from hours, not from their sums."""
    import duckdb

    from monitord.analytics.tables import TABLES

    connection = duckdb.connect(config={"threads": 2})
    for table in TABLES:
        if table.name in question.tables:
            pattern = f"{root}/v1/{table.folder}/*/*/*.parquet"
            also = f", {table.last[1]} AS {table.last[0]}" if table.last else ""
            source = f"SELECT *{also} FROM read_parquet('{pattern}')"  # noqa: S608  our own names
            connection.execute(f"CREATE VIEW {table.name} AS {source}")
    given = {"since": SINCE, "until": UNTIL, "host": "", **values}
    began_s = time.monotonic()
    connection.execute(question.sql, {name: given[name] for name in question.parameters}).fetchall()
    took_s = time.monotonic() - began_s
    connection.close()
    gc.collect()
    return took_s


def paper(root: Path, hosts: int) -> Row:
    """What a month of such days is in a bucket: bytes, requests, dollars."""
    files = [path for path in root.rglob("*.parquet") if path.is_file()]
    day_bytes = sum(path.stat().st_size for path in files)
    puts = len(files) * 24  # three tables of four are replaced hourly at most
    asked = -(-hosts // 1000) + 1 + hosts
    month_gb = day_bytes * 30 / 1e9
    usd = puts * 30 / 1000 * PUT_USD + month_gb * GB_USD
    return Row(
        f"{hosts:,} hosts, 30 days, on paper from one day",
        f"{month_gb:.1f} GB in {len(files) * 30:,} files ({day_bytes / hosts / 1e3:.0f} kB a host and day)",
        f"{puts:,} PUT a day at most; a question of a table and day {asked:,} requests"
        f" (${asked / 1000 * GET_USD:.4f}), compacted 3; ${usd:.0f} a month",
        "–",
        None,
        command_of(__file__),
    )


def compacting(root: Path, hosts: int) -> Row:
    """One day of the largest table becomes one file."""
    from monitord.analytics.tables import PROCESS_MINUTES
    from monitord.fleet.bucket import open_bucket
    from monitord.fleet.compacting import compact

    began_s = time.monotonic()
    done = compact(open_bucket(root.as_uri()), PROCESS_MINUTES, date(2026, 11, 20))
    took_s = time.monotonic() - began_s
    assert done is not None
    most_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(
        f"`fleet compact`, process_minutes of {hosts:,} hosts and a day",
        f"{took_s:.0f} s, {done.rows:,} rows, {done.size_bytes / 1e6:.0f} MB; {most_mb:.0f} MiB at most",
        "a sort by process in DuckDB took 6.3 GB",
        f"≤ {COMPACT_MB} MB",
        most_mb <= COMPACT_MB,
        command_of(__file__),
    )


if __name__ == "__main__":
    main()
