"""A data directory with incidents, and the status of a recorder that runs there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.storage import open_store
from tests.cli.conftest import make_incident

HOSTILE = 'evil{le="1"} 9\n# HELP x'


def status(**changes: Any) -> dict[str, Any]:
    """Everything that a recorder tells of itself, as it writes it."""
    now = datetime.now(UTC)
    return {
        "version": "1.2.3",
        "pid": os.getpid(),
        "started_at": now - timedelta(hours=1),
        "taken_at": now,
        "interval_s": 2.0,
        "passes": 100,
        "lost_passes": 1,
        "process_count": 321,
        "machine_percent": 12.5,
        "own_cpu_percent": 0.4,
        "own_rss_bytes": 40_000_000,
        "queue_depth": 0,
        "degraded": [],
        "budget_bytes": 50_000_000,
        "jobs": {"retention": {"last_run": now, "next_run": now, "outcome": "ok"}},
        "errands": {"otlp": {"last_run": now, "outcome": "failed", "detail": "x", "running": False}},
        "black_box": {"state": "on", "kept_s": 100, "read": 7, "lost": 0, "unreadable": 1, "impossible": 0},
        "storage": {
            "counters": {
                **dict.fromkeys(("reads", "writes", "deletes", "read_bytes", "write_bytes"), 1),
                "storage_used_bytes": 1,
                "errors": [{"provider": "file", "operation": "store", "error": "DiskFullError", "count": 4}],
                "latency": [
                    {"provider": "file", "operation": "store", "count": 2, "total_s": 0.5, "longest_s": 0.2}
                ],
            },
            "health": {"checks": [{"name": "latency", "ok": True}]},
        },
        "counts": {
            "alerts": 3, "suppressed": 1, "folded": 0, "dropped": 0, "by_rule": {"cpu-hog": 2, "hang": 1}
        },
        **changes,
    }  # fmt: skip


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Path]:
    """Three incidents of a process with a hostile name, a recorder's status, an uploader's and a sender's."""
    data_dir = tmp_path / "data"
    store = open_store(data_dir)
    for _ in range(3):
        store.save_incident(make_incident(name=HOSTILE))
    store.close()
    (data_dir / "status.json").write_text(json.dumps(status(), default=str))
    uploader = {"url": "s3://x", "moved": 1, "moved_bytes": 2, "deleted": 0, "waiting_artefacts": 1}
    (data_dir / "uploader.json").write_text(json.dumps(uploader))
    box = {"kind": "webhook", "sent": 5, "failed": 1, "waiting": 2, "held": 0, "last_sent_at": None}
    box["last_sent_at"] = datetime.now(UTC).isoformat()
    (data_dir / "messages.json").write_text(json.dumps({"receivers": {"ops": box}, "complaints": []}))
    with hold(data_dir / DAEMON_LOCK, "test"):
        yield data_dir
