"""What Prometheus reads: right numbers, well-formed whatever the status holds, and no name of anything in it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.installation import install_command
from monitord.model import Incident
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.storage import SQLiteProfileStore
from tests.cli.conftest import Answer, Cli
from tests.cli.test_acting import status_of

Maker = Callable[..., Incident]

REPORT = {
    "provider": "file",
    "counters": {
        "reads": 3,
        "writes": 12,
        "deletes": 1,
        "read_bytes": 3000,
        "write_bytes": 12_000,
        "storage_used_bytes": 9000,
        "errors": [{"provider": "file", "operation": "store", "error": 'Disk"Full\n\\Error', "count": 4}],
        "latency": [
            {"provider": "file", "operation": "store", "count": 16, "total_s": 0.5, "longest_s": 0.2},
            {"provider": "file", "operation": "torn"},
        ],
    },
    "health": {"checked_at": "x", "ok": True, "checks": [{"name": "latency", "ok": True}]},
    "alerts": [],
}


@pytest.fixture
def filled(store: SQLiteProfileStore, new_incident: Maker) -> Path:
    """A data directory with two incidents."""
    for name in ("python3", 'evil{le="1"} 9'):
        store.save_incident(new_incident(name=name))
    store.close()
    return store.data_dir


def promtool(text: str, require_tool: Callable[[str], str]) -> None:
    """Prometheus' own judge: what it parses, and what it would name otherwise."""
    judged = subprocess.run(
        [require_tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_metrics_of_a_daemon_pass_promtool(
    here: Cli, filled: Path, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Counts and basics, a strange value by another word, a torn entry left out; the file is replaced whole."""
    with hold(filled / DAEMON_LOCK, "test"):
        box = {"state": "on", "kept_s": 100, "read": 7, "lost": 0, "unreadable": 1, "impossible": "torn"}
        told = status_of(os.getpid(), storage=REPORT, own_cpu_percent=12.5, black_box=box)
        (filled / "status.json").write_text(json.dumps(told, default=str))
        text = here("storage", "metrics").out
        page = tmp_path / "monitord.prom"
        page.write_text("old")
        assert here("storage", "metrics", "--write", str(page)).out == ""
    promtool(text, require_tool)
    lines = text.splitlines()
    assert "monitord_up 1.0" in lines
    assert "monitord_storage_writes_total 12.0" in lines
    assert "monitord_cpu_ratio 0.125" in lines
    assert "monitord_black_box_up 1.0" in lines
    assert "monitord_black_box_python_stacks_total 7.0" in lines
    assert 'monitord_storage_operation_duration_seconds_sum{operation="store",provider="file"} 0.5' in lines
    assert 'monitord_storage_healthy{check="latency"} 1.0' in lines
    assert "torn" not in text
    assert page.read_text().count("\n") == text.count("\n")
    assert oct(page.stat().st_mode & 0o777) == "0o644"
    assert [path.name for path in tmp_path.glob(".monitord*")] == []


def test_metrics_without_a_daemon_say_so(here: Cli, filled: Path, require_tool: Callable[[str], str]) -> None:
    """Nobody records: up is 0, the store's size is told, the exit is 0."""
    answer = here("storage", "metrics")
    assert answer.code == 0
    assert "monitord_up 0.0" in answer.out
    promtool(answer.out, require_tool)


def test_no_name_of_a_process_or_key_is_in_the_metrics(here: Cli, filled: Path) -> None:
    """Whatever is in the store or the rest of the status: labels come from a few closed sets."""
    with hold(filled / DAEMON_LOCK, "test"):
        told = status_of(os.getpid(), storage=REPORT, last_incident='evil{le="1"} 9\n')
        (filled / "status.json").write_text(json.dumps(told, default=str))
        text = here("storage", "metrics").out
    for word in ("python3", "evil", *(path.name for path in (filled / "artefacts").iterdir())):
        assert word not in text


def test_metrics_say_what_is_missing(cli: Cli, filled: Path, tmp_path: Path) -> None:
    """Without the extra: one line that says what to type."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'prometheus_client' else find(name, *a)\n"
    )
    answer: Answer = cli("storage", "metrics", PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert answer.code == 1
    assert install_command("metrics") in answer.err
