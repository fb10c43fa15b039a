"""A process that stores incidents until it is killed, and says on stdout which were acknowledged.

Run: python writer_process.py DATA_DIR [--count N] [--delete-every N] [--tells-pid]     prints "ACK id" after the
save returned, "GONE id" before a deletion begins, "ERR text" for a refused save; its pid before all else.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitord.errors import StorageError
from monitord.model import (
    Alert,
    Capture,
    CaptureStatus,
    HistoryPoint,
    Hotspot,
    Incident,
    ProcessDetails,
    ProcessKey,
    Threshold,
    TriggerMetric,
)
from monitord.storage import new_correlation_id, open_store

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def make_incident(
    pid: int = 4711,
    name: str = "burner",
    at: datetime = AT,
    payload: bytes | None = b"main;burn 97\nmain;idle 3\n",
    **alert: Any,
) -> Incident:
    """An incident as the pipeline gives it: context, a profiler that was refused, a profile that worked."""
    key = ProcessKey(pid, 123456)
    facts: dict[str, Any] = {
        "rule": "cpu-hog",
        "metric": TriggerMetric.CPU,
        "value": 97.0,
        "threshold": Threshold(90.0, "percent"),
        "window_s": 10.0,
        "crossed_at": at - timedelta(seconds=10),
        "raised_at": at,
        "target": key,
        "process_name": name,
        "reason": "CPU 97 % of a core for 10 s, above 90 %",
        "severity": 97 / 90,
    }
    process = ProcessDetails(
        key, name, 1, at - timedelta(hours=1), uid=1000, user="ann", command_line=(name, "--x")
    )
    spot = Hotspot("burn", "burner.py", 3, 0.97, 1.0)
    late_at = at + timedelta(seconds=1)
    captures = (
        Capture("context", "context", CaptureStatus.OK, at, 0.0, key, format="context-json", payload=b"{}"),
        Capture(
            "profile", "perf", CaptureStatus.PERMISSION_DENIED, at, 0.1, key, reason="not allowed", fix="sudo"
        ),
        Capture(
            "profile", "py-spy", CaptureStatus.OK, late_at, 10.4, key, format="folded", payload=payload,
            sample_count=100, hotspots=(spot,), notes={"native": "no"},
        ),
    )  # fmt: skip
    history = tuple(HistoryPoint(at - timedelta(seconds=s), 50.0, 1 << 30, cpu_percent=97.0) for s in (4, 2))
    return Incident(new_correlation_id(), Alert(**{**facts, **alert}), process, history, captures, "boot")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--delete-every", type=int, default=0)
    parser.add_argument("--tells-pid", action="store_true")
    arguments = parser.parse_args()
    if arguments.tells_pid:
        print(os.getpid(), flush=True)
    store = open_store(arguments.data_dir)
    try:
        store.adopt()
    except StorageError as error:
        print("ERR", error, flush=True)
    kept: list[str] = []
    for n in range(arguments.count):
        incident = make_incident(payload=os.urandom(arguments.size))
        try:
            store.save_incident(incident)
        except StorageError as error:
            print("ERR", error, flush=True)
            continue
        kept.append(incident.correlation_id)
        print("ACK", incident.correlation_id, flush=True)
        if arguments.delete_every and n % arguments.delete_every == arguments.delete_every - 1:
            gone = kept.pop(0)
            print("GONE", gone, flush=True)
            store.delete_incident(gone)
            store.drop_evidence(kept[:1])
            store.pin(kept[-1])


if __name__ == "__main__":
    sys.exit(main())
