"""What the benchmarks share: a real daemon on a throw-away directory, and rows of the results table."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PATIENCE_S = 120.0

sys.path.insert(0, str(ROOT))  # monitord of this checkout, wherever the benchmark is started from


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the results: a figure beside its peer or limit of the same run. `kept` None: no budget."""

    what: str
    measured: str
    peer: str
    budget: str
    kept: bool | None
    command: str

    @property
    def verdict(self) -> str:
        return {True: "kept", False: "**BROKEN**", None: "–"}[self.kept]


class Recording:
    """A daemon that records into `folder`/data; started by `monitord run` as a person would."""

    def __init__(self, folder: Path, config: str) -> None:
        self.data_dir = folder / "data"
        self.config = folder / "config.toml"
        self.config.write_text(config)
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Recording:
        words = [
            sys.executable,
            "-m",
            "monitord",
            "run",
            "--config",
            self.config,
            "--data-dir",
            self.data_dir,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, stderr=log, cwd=ROOT, env=installed(), start_new_session=True
            )
        self.wait_for(lambda: self.status().get("passes", 0) > 0, "the first pass")
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def status(self) -> dict[str, Any]:
        try:
            status = json.loads((self.data_dir / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return status if status["pid"] == self.pid else {}

    def wait_for(self, condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                raise SystemExit(f"waited in vain for {what}; the daemon's log:\n{self.log_tail()}")
            time.sleep(0.1)

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> float:
        """SIGTERM; gives the seconds until the process was gone."""
        assert self.process is not None
        began_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - began_s


def installed() -> dict[str, str]:
    """The environment of an installed monitord: modules lie there compiled, which saves 1 MB at start."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", ROOT / "monitord"], check=True)
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def recording(config: str) -> Iterator[Recording]:
    """A started daemon with this configuration; gone at the end, with everything it wrote."""
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as folder:
        daemon = Recording(Path(folder), config)
        try:
            yield daemon.start()
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.stop()


@contextmanager
def burner(seconds: float, duty_percent: float = 100) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that spikes; ended at the end of the block."""
    process = start_burner(seconds, duty_percent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def start_burner(seconds: float, duty_percent: float = 100) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, HERE / "burner.py", str(seconds), str(duty_percent)])


def memory_of(pid: int) -> dict[str, int]:
    """Bytes by kind (Rss, Pss, Private_Dirty, …) from smaps_rollup, which counts exactly."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def cpu_s(pid: int) -> float:
    """CPU seconds a process used so far, its reaped children included."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def load() -> str:
    """The load of the machine, to be said beside every figure."""
    return "/".join(f"{value:.1f}" for value in os.getloadavg())


def judged(is_kept: bool) -> bool | None:
    """A budget in time that was missed says nothing when more wanted to run than there are cores."""
    is_busy = os.getloadavg()[0] > (os.cpu_count() or 1)
    return None if is_busy and not is_kept else is_kept


def command_of(file: str, *words: str) -> str:
    """How a person runs this benchmark alone."""
    return " ".join(["python", f"benchmarks/{Path(file).name}", *words])


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The options every benchmark has. From here on SIGTERM unwinds it, so that its daemon ends with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    made = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    made.add_argument("--rows", type=Path, help="where to write the rows of the table, as JSON")
    return made


def show(rows: Sequence[Row], path: Path | None) -> None:
    """Print the rows, and write them for run.py."""
    for row in rows:
        print(f"{row.what}: {row.measured} | beside: {row.peer} | budget: {row.budget} | {row.verdict}")
    if path is not None:
        path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
