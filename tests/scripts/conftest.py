"""The real `monitord profile` over real scripts under the real Scalene; nothing may be left of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import preloaded
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


class Profiling:
    """Runs `monitord profile` with a home, a data directory and a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.temporary = folder / "temporary"
        self.data_dir = folder / "data"
        self.scripts = self.home / "project"
        for path in (self.scripts, self.temporary):
            path.mkdir(parents=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MONITORD_")}
        kept.pop("VIRTUAL_ENV", None)
        self.environment = {
            **kept,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "MONITORD_DATA_DIR": str(self.data_dir),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "120",
        }
        self._started: list[subprocess.Popen[str]] = []

    def run(self, *words: str, group: str = "profile") -> Answer:
        done = subprocess.run(
            preloaded.command("cli", group, *words),
            env=self.environment, cwd=self.scripts, capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitord", "profile", *words],
            env=self.environment, cwd=self.scripts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        return process

    def processes(self) -> list[int]:
        """Who has our temporary folder in its environment: whatever was started by a run."""
        mark = str(self.temporary).encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def left(self) -> list[str]:
        """Files in the temporary folder."""
        return sorted(path.name for path in self.temporary.iterdir())

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=PATIENCE_S)


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)


@pytest.fixture
def profiling(tmp_path: Path) -> Iterator[Profiling]:
    """Afterwards no process and no file of any run is left."""
    made = Profiling(tmp_path)
    yield made
    made.end()
    wait_for(lambda: made.processes() == [], "the processes of the runs to be gone")
    assert made.left() == []
