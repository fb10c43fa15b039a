"""The daemon's parts, driven by made passes as fast as they can be saved; see memory_ticks.py."""

from __future__ import annotations

from monitord.daemon import later  # first: the modules that the daemon leaves out

# isort: split
import gc
import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitord import config, logs
from monitord.daemon import wiring
from monitord.daemon.selfwatch import own_rss_bytes
from monitord.daemon.unread import drop_unread
from monitord.model import (
    Capture,
    CapturePlan,
    CaptureStatus,
    Demand,
    ProcessDetails,
    ProcessKey,
    ProcessRates,
    Rates,
    SystemRates,
)
from monitord.pipeline import Failures, Pipeline, Ring
from monitord.storage import new_correlation_id

_PROCESSES = 100
_BEGAN = datetime.now(UTC) - timedelta(hours=3)
_RULES = """
[retention]
min_free_disk_mb = 0
[capture]
max_per_hour = 1000
[[rules]]
name = "bench-cpu"
metric = "cpu"
above = 50
window_s = 2
captures_per_hour = 1000
"""


class Machine:
    """A hundred processes, of which one burns; another one every third look."""

    def __init__(self) -> None:
        self.ticks = 0
        self._others = [self._process(100 + n, 0.5) for n in range(_PROCESSES)]

    def look(self, demand: Demand) -> Rates:
        self.ticks += 1
        burner = self._process(10_000 + self.ticks // 4, 98.0)
        gone = ProcessKey(burner.key.pid - 1, 1)
        return Rates(
            taken_at=_BEGAN + timedelta(seconds=2 * self.ticks),
            monotonic_s=2.0 * self.ticks,
            interval_s=2.0,
            system=SystemRates(30.0, 2, 8 << 30, 4 << 30, 0, 1.0),
            processes=(*self._others, burner),
            exited=frozenset({gone}) if self.ticks % 4 == 0 else frozenset(),
            process_count=_PROCESSES + 1,
            is_complete=True,
        )

    def details(self, key: ProcessKey) -> ProcessDetails:
        words = tuple(f"--option-{n}={key.pid}" for n in range(8))
        return ProcessDetails(key, f"burner-{key.pid}", 1, _BEGAN, 1000, "user", "/usr/bin/burner", words)

    def heaviest(self) -> None:
        return None

    @staticmethod
    def _process(pid: int, percent: float) -> ProcessRates:
        return ProcessRates(ProcessKey(pid, 1), f"p{pid}", 1, "R", 1000, percent, 30_000_000, 4, 0.0)


class Captures:
    """Dumps and profiles of the size that py-spy's have, each with other names."""

    def __init__(self) -> None:
        self._random = random.Random(1)

    def first_look(self, target: ProcessKey, folder: Path) -> Capture:
        return self._capture("dump", target, self._random.randbytes(4_000))

    def context(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture:
        return self._capture("context", target, b"{}")

    def capture(self, target: ProcessKey, plan: CapturePlan, folder: Path) -> list[Capture]:
        return [
            self._capture("context", target, self._random.randbytes(6_000)),
            self._capture("profile", target, self._random.randbytes(20_000)),
        ]

    def read(self, capture: Capture, folder: Path) -> Capture:
        return capture

    def stop(self) -> None: ...

    @staticmethod
    def _capture(role: str, target: ProcessKey, payload: bytes) -> Capture:
        at = datetime.now(UTC)
        return Capture(role, "py-spy", CaptureStatus.OK, at, 1.0, target, format="folded", payload=payload)


def tick(folder: Path, incidents: int, every: int) -> None:
    """Print a line of JSON each `every` incidents until there are so many."""
    path = folder / "config.toml"
    path.write_text(_RULES)
    logs.configure("error")
    parts = wiring.build(config.load(path).settings, folder / "data", None, Failures())
    captures = Captures()
    parts.worker._service = captures  # type: ignore[assignment]
    parts.first_looks._look = captures.first_look
    pipeline = Pipeline(
        Machine(), parts.detector, parts.first_looks, parts.worker, parts.pipeline.budget,
        ring=Ring(300), new_id=new_correlation_id,
    )  # fmt: skip
    later.settle()
    drop_unread()
    gc.collect()
    gc.freeze()
    for count in _ticks(parts, pipeline, incidents):
        if count % every == 0:
            print(json.dumps(_held(parts, pipeline, count)), flush=True)
    sys.stdout.flush()
    os._exit(0)


def _ticks(parts: Any, pipeline: Pipeline, incidents: int) -> Iterator[int]:
    told = -1
    while pipeline.counts.alerts + pipeline.counts.folded < incidents:
        rates, verdict = pipeline.run_pass()
        parts.historian.note(rates, verdict)
        parts.memory.note(rates, verdict)
        if verdict.alerts:
            while not parts.worker.is_idle:
                threading.Event().wait(0.001)
            parts.writer.flush(60)
        count = pipeline.counts.alerts
        if count != told:
            told = count
            yield count


def _held(parts: Any, pipeline: Pipeline, count: int) -> dict[str, float]:
    """How much each part holds that remembers something."""
    return {
        "incidents": count,
        "mib": own_rss_bytes() / 2**20,
        "waiting": parts.pending.waiting_count,
        "writes": parts.writer.depth,
        "tracks": sum(len(judge.tracks) for judge in parts.detector._judges),
        "looks": len(parts.first_looks._pending),
        "moments": len(pipeline._ring._moments),
        "rows": len(pipeline.rows.remember()),
        "blocks": sys.getallocatedblocks(),
    }


if __name__ == "__main__":
    tick(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
