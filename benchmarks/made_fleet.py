"""A fleet that never was: what hosts ship, in the layout of a bucket, with what a question must find in it.

Planted: a version that arrives on three hosts of five at 14:00 and makes one function hotter, an incident on
every fifth host within four minutes around 03:05. With `traps`: hosts named 007 and latecomer, another
version's columns, a torn file, foreign files, a day without rows.

    python benchmarks/made_fleet.py FOLDER [--hosts 1000] [--days 1] [--traps]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from monitord.analytics.tables import HOTSPOTS, INCIDENTS, MACHINE_MINUTES, PROCESS_MINUTES, Kind, Table
from monitord.fleet.day_sums import with_sums
from monitord.fleet.layout import DayFile

LAST_DAY = date(2026, 11, 20)
HOTTER = "orders.scan"
FACTOR = 1.6
OLD, NEW = "2.3.0", "2.4.0"
UPGRADED_HOUR = 14
EVERYWHERE = "search.lock"
EVERYWHERE_S = 3 * 3600 + 3 * 60  # 03:03 to 03:07: two buckets of five minutes, one window
EVERYWHERE_SPAN_S = 240
LATE_DAYS = 2
PROCESSES = [f"svc-{number}" for number in range(40)] + [
    *("python3.12", "java", "node", "postgres", "nginx", "containerd", "kubelet", "dockerd", "sshd", "cron")
]
_MODULES = ("orders", "cart", "search", "auth", "render", "db", "cache", "mail", "tax", "price")
_VERBS = (
    *("load", "save", "parse", "encode", "scan", "merge", "sort", "match", "hash", "wait"),
    *("lock", "fetch", "plan", "fold", "emit", "split", "join", "trim", "walk", "diff"),
)
FUNCTIONS = [f"{module}.{verb}" for module in _MODULES for verb in _VERBS]
_TYPES: dict[Kind, pa.DataType] = {
    "text": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much a host ships of a day."""

    processes: int = 25
    minutes: int = 1440
    profiled: int = 10
    functions: int = 50


SMALL = Size(processes=3, minutes=24, profiled=2, functions=10)


@dataclass(slots=True)
class Made:
    """What was planted, for who checks answers: hosts by name."""

    root: Path
    days: tuple[date, ...]
    hosts: list[str]
    upgraded: set[str]
    struck: set[str]
    incidents: int = 0
    passed_over: int = 0


def make_fleet(root: Path, hosts: int, *, days: int = 1, size: Size = SMALL, traps: bool = False) -> Made:
    """Write a fleet of `hosts` hosts and `days` days that end with LAST_DAY below `root`."""
    names = [f"host-{number:04d}" for number in range(hosts)]
    if traps:
        names[-2:] = ["007", "latecomer"]
    made = Made(root, tuple(LAST_DAY - timedelta(days=back) for back in range(days)), names, set(), set())
    for day in made.days:
        for number, host in enumerate(names):
            _make_day(made, number, day, size, is_last=day == LAST_DAY)
            if host == "latecomer" and day == LAST_DAY:
                _forget(root, host, day)  # its day has not come yet
    if traps:
        _lay_traps(made)
    return made


def path_of(root: Path, table: Table, day: date, host: str) -> Path:
    """Where a host's file of a table and a day lies."""
    return root / DayFile(table, day, host).path


def _make_day(made: Made, number: int, day: date, size: Size, *, is_last: bool) -> None:
    host = made.hosts[number]
    numbers = np.random.default_rng([number, day.toordinal()])
    begin_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
    mine = np.random.default_rng(number).choice(len(PROCESSES), size.processes, replace=False)
    is_upgraded = is_last and number % 5 < 3
    if is_upgraded:
        made.upgraded.add(host)
    _machine_minutes(made.root, host, day, begin_us, size, numbers)
    _process_minutes(made.root, host, day, begin_us, size, numbers, mine)
    _hotspots(made.root, host, day, size, numbers, mine, is_upgraded=is_upgraded)
    _incidents(made, number, day, begin_us, numbers, mine, is_last=is_last)


def _machine_minutes(
    root: Path, host: str, day: date, begin_us: int, size: Size, numbers: np.random.Generator
) -> None:
    count = size.minutes
    step_us = 86_400_000_000 // count
    columns = {
        "taken_at": begin_us + np.arange(count) * step_us,
        "machine_percent": numbers.gamma(2, 10, count).clip(0, 100).round(1),
        "memory_percent": numbers.normal(50, 5, count).clip(1, 99).round(1),
        "memory_available_bytes": numbers.integers(1 << 32, 1 << 34, count),
        "swap_used_bytes": np.zeros(count, np.int64),
        "disk_bytes_per_s": numbers.integers(0, 1 << 20, count),
        "network_bytes_per_s": numbers.integers(0, 1 << 20, count),
        "load_1": numbers.gamma(2, 1, count).round(2),
        "process_count": numbers.integers(200, 400, count),
        "cpu_count": np.full(count, 8),
    }
    write(root, MACHINE_MINUTES, day, host, columns, count)


def _process_minutes(
    root: Path,
    host: str,
    day: date,
    begin_us: int,
    size: Size,
    numbers: np.random.Generator,
    mine: np.ndarray[Any, Any],
) -> None:
    each, minutes = size.processes, size.minutes
    count = each * minutes
    at = np.repeat(np.arange(minutes), each) * (86_400_000_000 // minutes)
    cpu = np.tile(numbers.gamma(1.2, 4, each), minutes) * numbers.lognormal(0, 0.4, count)
    pages = np.tile(numbers.integers(200, 60_000, each), minutes) + numbers.integers(-3, 4, count)
    is_busy = numbers.random(count) < 0.3
    columns = {
        "taken_at": begin_us + at,
        "process": [PROCESSES[one] for one in np.tile(mine, minutes)],
        "pid": np.tile(numbers.integers(300, 4_000_000, each), minutes),
        "cpu_percent": cpu.clip(0, 400).round(1),
        "rss_bytes": pages * 65536,
        "threads": np.tile(numbers.integers(1, 40, each), minutes),
        "fds": np.tile(numbers.integers(3, 200, each), minutes),
        "disk_bytes_per_s": (numbers.exponential(2000, count) * is_busy).astype(np.int64),
        "network_bytes_per_s": (numbers.exponential(5000, count) * is_busy).astype(np.int64),
    }
    write(root, PROCESS_MINUTES, day, host, columns, count)


def _hotspots(
    root: Path,
    host: str,
    day: date,
    size: Size,
    numbers: np.random.Generator,
    mine: np.ndarray[Any, Any],
    *,
    is_upgraded: bool,
) -> None:
    each, profiled = size.functions, size.profiled
    a_day = each * profiled
    count = a_day * 24
    hour = np.repeat(np.arange(24), a_day)
    process = np.tile(np.repeat(np.arange(profiled), each), 24)
    function = (process * 20 + np.tile(np.arange(each), profiled * 24)) % len(FUNCTIONS)
    function[function == 4 + 20] = 4  # so that every fleet, however small, has the function that gets hotter
    is_new = (hour >= UPGRADED_HOUR) & is_upgraded
    hotter = np.where((function == FUNCTIONS.index(HOTTER)) & is_new, FACTOR, 1.0)
    weight = np.tile(numbers.gamma(0.6, 40, a_day) + 20, 24)
    samples = (weight * hotter * numbers.lognormal(0, 0.1, count)).astype(np.int64)
    names = [FUNCTIONS[one] for one in function]
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    hours = [begin + timedelta(hours=number) for number in range(24)]
    columns = {
        "host_id": [host] * count,
        "hour": [hours[one] for one in hour],
        "process": [PROCESSES[mine[one]] for one in process],
        "version": [NEW if one else OLD for one in is_new],
        "function": names,
        "module": [name.partition(".")[0] for name in names],
        "func_id": [f"{one:016x}" for one in function],
        "code": [f"{one:08x}" for one in function],
        "file": [f"/srv/app/{name.partition('.')[0]}.py" for name in names],
        "line": (function + 10).tolist(),
        "taken_from": ["ring"] * count,
        "incidents": [0] * count,
        "self_samples": samples.tolist(),
        "total_samples": (samples * 2).tolist(),
        "process_samples": [20_000] * count,
    }
    rows = with_sums(HOTSPOTS, list(zip(*(columns[name] for name, _kind in HOTSPOTS.columns), strict=True)))
    sums = zip(*(row[len(HOTSPOTS.columns) :] for row in rows), strict=True)
    columns |= dict(zip((name for name, _kind in HOTSPOTS.sums), sums, strict=True))
    write(root, HOTSPOTS, day, host, columns, count)


def _incidents(
    made: Made,
    number: int,
    day: date,
    begin_us: int,
    numbers: np.random.Generator,
    mine: np.ndarray[Any, Any],
    *,
    is_last: bool,
) -> None:
    host = made.hosts[number]
    own = int(numbers.integers(0, 6))
    at_s = list(numbers.integers(0, 86_400, own))
    functions = [FUNCTIONS[one] for one in numbers.integers(0, len(FUNCTIONS), own)]
    if is_last and number % 5 == 0:
        made.struck.add(host)
        at_s.append(EVERYWHERE_S + int(numbers.integers(0, EVERYWHERE_SPAN_S)))
        functions.append(EVERYWHERE)
    count = len(at_s)
    at = begin_us + np.array(at_s, np.int64) * 1_000_000
    value = numbers.uniform(90, 400, count).round(1)
    who = [PROCESSES[one] for one in numbers.choice(mine, count)]
    columns = {
        "correlation_id": [f"{number:08x}{day.toordinal():08x}{one:016x}" for one in range(count)],
        "raised_at": at,
        "crossed_at": at - 5_000_000,
        "ended_at": at + 10_000_000,
        "rule": ["cpu-hog"] * count,
        "metric": ["cpu"] * count,
        "value": value,
        "threshold": np.full(count, 80.0),
        "threshold_unit": ["%"] * count,
        "window_s": np.full(count, 5.0),
        "severity": numbers.uniform(0, 1, count).round(3),
        "process": who,
        "pid": numbers.integers(300, 4_000_000, count),
        "command": who,
        "user": ["app"] * count,
        "unit": [f"{one}.service" for one in who],
        "version": [OLD] * count,
        "function": functions,
        "module": [name.partition(".")[0] for name in functions],
        "self_share": numbers.uniform(0.1, 0.9, count).round(3),
        "cause": ["computing"] * count,
        "reason": [f"used {one} % of one core" for one in value],
        "profiler": ["ring"] * count,
        "status": ["ok"] * count,
        "captures": np.full(count, 1),
        "late": [False] * count,
        "pinned": [False] * count,
    }
    made.incidents += count
    if count or number % 2:  # a day without incidents: no file, or one without rows
        write(made.root, INCIDENTS, day, host, columns, count)


def write(
    root: Path, table: Table, day: date, host: str, columns: dict[str, Any], count: int, *, added: str = ""
) -> Path:
    """Write a host's file as it ships it; `added` is a column that a later monitord has at the end."""
    columns = {"host_id": [host] * count, **columns}
    known = table.stored if table.sums and table.sums[0][0] in columns else table.columns
    kinds = [*known, *([(added, "text")] if added else [])]
    arrays = [
        pa.array(columns[name], _TYPES[kind]) if name in columns else pa.nulls(count, _TYPES[kind])
        for name, kind in kinds
    ]
    path = path_of(root, table, day, host)
    path.parent.mkdir(parents=True, exist_ok=True)
    held = pa.table(arrays, names=[name for name, _kind in kinds])
    pq.write_table(held, path, compression="zstd", row_group_size=122_880)
    return path


def _forget(root: Path, host: str, day: date) -> None:
    for table in (INCIDENTS, HOTSPOTS, PROCESS_MINUTES, MACHINE_MINUTES):
        path = path_of(root, table, day, host)
        if table is INCIDENTS or not path.exists():
            continue
        path.unlink()


def _lay_traps(made: Made) -> None:
    root, day = made.root, LAST_DAY
    _rewrite(path_of(root, HOTSPOTS, day, made.hosts[0]), add="shade")
    _rewrite(path_of(root, PROCESS_MINUTES, day, made.hosts[0]), add="shade")
    _rewrite(path_of(root, MACHINE_MINUTES, day, made.hosts[1]), drop=["cpu_count"])  # of an earlier monitord
    _rewrite(path_of(root, HOTSPOTS, day, made.hosts[1]), drop=[name for name, _kind in HOTSPOTS.sums])
    torn = path_of(root, PROCESS_MINUTES, day, made.hosts[2])
    torn.write_bytes(torn.read_bytes()[:-300])
    foreign = path_of(root, MACHINE_MINUTES, day, "stranger")
    foreign.parent.mkdir(parents=True)
    strange = pa.table({"taken_at": ["yesterday"], "machine_percent": ["a lot"]})
    pq.write_table(
        strange, foreign, compression="zstd"
    )  # Snappy is native code that not every Spark can load
    (root / "v1" / "hotspot" / "_SUCCESS").write_bytes(b"")
    (root / "README.txt").write_text("not ours")
    made.passed_over = 2
    write(root, PROCESS_MINUTES, day - timedelta(days=len(made.days)), "host-0001", {}, 0)


def _rewrite(path: Path, *, add: str = "", drop: Sequence[str] = ()) -> None:
    held = pq.ParquetFile(path).read()
    held = held.append_column(add, pa.array(["x"] * len(held))) if add else held.drop_columns(list(drop))
    pq.write_table(held, path, compression="zstd")


def main() -> None:
    """Write one into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--traps", action="store_true")
    words = parser.parse_args()
    made = make_fleet(words.folder, words.hosts, days=words.days, size=Size(), traps=words.traps)
    print(f"{len(made.hosts)} hosts, {made.incidents} incidents, {len(made.upgraded)} upgraded")


if __name__ == "__main__":
    main()
