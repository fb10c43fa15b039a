"""A real store with incidents in it, and the real command line to ask about them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.cli import main
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
from monitord.storage import SQLiteProfileStore, new_correlation_id, open_store
from tests import preloaded
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
HOTSPOTS = (
    Hotspot("fibonacci", "/srv/app/numbers.py", 12, 0.61, 0.98),
    Hotspot("dict_lookup", "/srv/app/cache.py", 40, 0.22, 0.22),
    Hotspot("<module>", "/srv/app/main.py", 3, 0.0, 1.0),
)


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Answer]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data_dir: Path) -> Iterator[SQLiteProfileStore]:
    opened = open_store(data_dir)
    yield opened
    opened.close()


@pytest.fixture
def environment(data_dir: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a call: this data directory, no configuration of the machine's user."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MONITORD_")}
    return {
        **kept,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "MONITORD_DATA_DIR": str(data_dir),
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
        "COLUMNS": "120",
    }


@pytest.fixture
def cli(environment: dict[str, str]) -> Cli:
    """Run the real command line in a process of its own; started where Python itself is told something."""

    def run(*words: str, **extra: str) -> Answer:
        is_for_python = any(name.startswith("PYTHON") for name in extra)
        result = subprocess.run(
            [sys.executable, "-m", "monitord", *words] if is_for_python else preloaded.command("cli", *words),
            env={**environment, **extra},
            capture_output=True,
            timeout=PATIENCE_S,
        )
        return Answer(result.returncode, result.stdout.decode(), result.stderr.decode())

    return run


@pytest.fixture
def here(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Cli:
    """Run the command line in this process: the same words, the same exit code, many calls a second."""
    for name in [name for name in os.environ if name.startswith("MONITORD_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str, **extra: str) -> Answer:
        capfd.readouterr()
        with monkeypatch.context() as changed:
            for name, value in extra.items():
                changed.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(list(words))
        sys.stdout.flush()
        said = capfd.readouterr()
        return Answer(int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def new_incident() -> Callable[..., Incident]:
    """Make an incident of the usual shape; see `make_incident`."""
    return make_incident


@pytest.fixture
def incident(store: SQLiteProfileStore, new_incident: Callable[..., Incident]) -> Incident:
    """One incident of the usual shape, in the store."""
    made = new_incident()
    store.save_incident(made)
    return made


def make_incident(
    *,
    name: str = "python3",
    pid: int = 4321,
    metric: TriggerMetric = TriggerMetric.CPU,
    value: float = 97.0,
    threshold: Threshold | None = None,
    at: datetime | None = None,
    command_line: Sequence[str] = ("python3", "/srv/app/main.py"),
    reason: str = "cpu was above 90 % of one core for 10 s: 97 % now",
    notes: dict[str, str] | None = None,
    late: bool = False,
    hotspots: tuple[Hotspot, ...] = HOTSPOTS,
    user: str = "alice",
) -> Incident:
    """An incident of the usual shape: context, a dump, a profile, and one step that could not be."""
    raised = at or datetime.now(UTC) - timedelta(minutes=5)
    key = ProcessKey(pid, 1000 + pid)
    captures = (
        Capture(
            role="context",
            profiler="context",
            status=CaptureStatus.OK,
            started_at=raised,
            duration_s=0.0,
            target=key,
            format="context-json",
            payload=b"{}",
        ),
        Capture(
            role="profile",
            profiler="py-spy",
            status=CaptureStatus.OK,
            started_at=raised,
            duration_s=10.0,
            target=key,
            profiler_version="0.4.3",
            format="speedscope",
            payload=b"{}" * 1000,
            rate_hz=100,
            sample_count=980,
            error_count=0,
            target_cpu_percent=98.0,
            late=late,
            hotspots=hotspots,
            notes=notes or {},
        ),
        Capture(
            role="profile",
            profiler="perf",
            status=CaptureStatus.PERMISSION_DENIED,
            started_at=raised,
            duration_s=0.1,
            target=key,
            reason="kernel.perf_event_paranoid is 4",
            fix="sudo sysctl kernel.perf_event_paranoid=1",
        ),
    )
    history = tuple(
        HistoryPoint(
            taken_at=raised - timedelta(seconds=2 * (30 - i)),
            machine_percent=20.0 + i,
            memory_available_bytes=8 << 30,
            cpu_percent=0.5 if i < 20 else 97.0,
            rss_bytes=(100 + i) << 20,
            disk_bytes_per_s=0.0,
            thread_count=4,
        )
        for i in range(30)
    )
    return Incident(
        correlation_id=new_correlation_id(),
        alert=Alert(
            rule="cpu-hog",
            metric=metric,
            value=value,
            threshold=threshold or Threshold(90.0, "percent"),
            window_s=10.0,
            crossed_at=raised - timedelta(seconds=10),
            raised_at=raised,
            target=key,
            process_name=name,
            reason=reason,
            severity=value / 90.0,
        ),
        process=ProcessDetails(
            key=key,
            name=name,
            parent_pid=1,
            started_at=raised - timedelta(hours=2),
            uid=1000,
            user=user,
            executable="/usr/bin/python3",
            command_line=tuple(command_line),
            unit="app.service",
            thread_count=4,
            fd_count=12,
        ),
        history=history,
        captures=captures,
        boot_id="0b0b5a5e-7c1c-4f6e-9d8f-0123456789ab",
    )
