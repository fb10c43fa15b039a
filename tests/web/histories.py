"""Stored history to look at in a browser: a day of a machine with a quiet night and two busy hours."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

from monitord.model import ProcessKey, ProcessRates, Rates, SystemRates
from monitord.storage import open_store
from monitord.storage.thinning import COARSEST_S

GIB = 1 << 30


def fill_history(
    data_dir: Path,
    until: datetime,
    *,
    hours: float = 24,
    step_s: float = 60,
    names: tuple[str, ...] = ("python3", "java", "postgres"),
) -> None:
    """Passes up to `until`; an hour in the middle is missing, as if nobody had recorded."""
    store = open_store(data_dir)
    try:
        passes = [
            a_pass(until, number * step_s, names) for number in range(int(hours * 3600 / step_s), 0, -1)
        ]
        kept = [
            one
            for one in passes
            if not hours * 1800 < (until - one.taken_at).total_seconds() < hours * 1800 + 3600
        ]
        for start in range(0, len(kept), 60):
            store.add_history(kept[start : start + 60], step_s=COARSEST_S)
    finally:
        store.close()


def a_pass(until: datetime, ago_s: float, names: tuple[str, ...]) -> Rates:
    """What the machine did so many seconds before: two hours ago it was busy."""
    is_busy = 3600 < ago_s < 7200
    wave = 0.5 + 0.5 * math.sin(ago_s / 1800)
    cpu_percent = 180.0 if is_busy else 4 + 20 * wave
    processes = tuple(
        ProcessRates(
            key=ProcessKey(800 + number, 1000 + number), name=name, parent_pid=1, state="R", uid=1000,
            cpu_percent=round(cpu_percent / (number + 1), 1), rss_bytes=(number + 1) * 200 << 20, thread_count=4,
            disk_bytes_per_s=2e6 * wave if number == 2 else 0.0, fd_count=20,
        )
        for number, name in enumerate(names)
    )  # fmt: skip
    machine = SystemRates(
        machine_percent=min(100.0, cpu_percent / 2), cpu_count=4, memory_total_bytes=8 * GIB,
        memory_available_bytes=int((5 - 2 * is_busy) * GIB), swap_used_bytes=0, load_1=1.0,
        disk_bytes_per_s={"sda": 2e6 * wave}, network_bytes_per_s={"eth0": 4e5 * wave, "lo": 10.0},
    )  # fmt: skip
    return Rates(
        taken_at=until - timedelta(seconds=ago_s), monotonic_s=1e6 - ago_s, interval_s=2.0, system=machine, processes=processes, process_count=210,
    )  # fmt: skip
