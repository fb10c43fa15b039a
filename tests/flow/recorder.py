"""A real daemon on a throw-away directory, and the real command line to ask it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from monitord.children import own_command
from monitord.cli import main
from monitord.cli.run import ALLOCATOR, LEAN
from monitord.errors import UnreachableError
from monitord.storage.queries import StoreReader
from tests import preloaded
from tests.patience import PATIENCE_S

TARGETS = Path(__file__).parent / "targets"

QUICK = """\
[sampling]
interval_s = 0.5
heartbeat_s = 2
[detection]
default_rules = false
[capture]
duration_s = 2
max_load_per_cpu = 10000
[retention]
min_free_disk_mb = 0
"""
FAST = QUICK.replace("interval_s = 0.5", "interval_s = 0.2").replace("heartbeat_s = 2", "heartbeat_s = 1")
FAST = FAST.replace("duration_s = 2", "duration_s = 1")
"""For tests that wait for passes and reports, not for what a longer look would show."""

SPIKE = f"spike-{os.getpid()}"  # what our targets are called; another run beside this one has other names


def stutter(seconds: float) -> str:
    """A program of Python whose function `stutter` burns so much of a core: beside others it takes longer."""
    return f"""
import time

def stutter(seconds):
    while time.process_time() < seconds:
        for number in range(20000): number * number

stutter({seconds})
"""


OURS = f'match = {{ names = ["{SPIKE}"] }}\n'
# Low, and about our own targets alone: on a machine with other work a burner gets a small part of a core,
# and the other work would take the captures.
CPU_RULE = """\
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 10
window_s = 2
clear_below = 3
"""
CPU_RULE += OURS


class Recorder:
    """Starts, asks and stops one daemon; whatever it started is gone at the end."""

    def __init__(self, folder: Path, config: str = QUICK + CPU_RULE) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.config = folder / "config.toml"
        self.config.write_text(config)
        self.log = folder / "daemon.log"
        self.daemon: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[Any]] = []

    def start(self, *, wait: bool = True, prefix: tuple[str, ...] = ()) -> Recorder:
        """Start the daemon in a session of its own; `prefix` is put before the words of a person, as in `nohup`."""
        words = [*prefix, *self.words("run")] if prefix else self.recording()
        environment = os.environ if prefix else {**ALLOCATOR, **os.environ}
        with self.log.open("ab") as log:
            self.daemon = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True, env=environment
            )
        if wait:
            self.wait_for(self.is_watching, "the daemon to watch")
        return self

    def is_watching(self) -> bool:
        """The daemon that runs now has finished passes."""
        status = self.ask("status") or {}
        assert self.daemon is not None
        return status.get("pid") == self.daemon.pid and status.get("passes", 0) > 0

    def wait_for_passes(self, count: int) -> None:
        """Let the daemon look `count` more times, as it reports itself."""
        first = (self.ask("status") or {})["passes"]
        self.wait_for(lambda: self.ask("status")["passes"] >= first + count, f"{count} more passes")

    def spike(self, *words: str, **options: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(words, **options)
        self._others.append(process)
        return process

    def python(
        self, target: str, *arguments: str, name: str = SPIKE, **options: Any
    ) -> subprocess.Popen[Any]:
        return self.spike(self.named(name), str(TARGETS / target), *arguments, **options)

    @property
    def interpreter(self) -> str:
        """Python under the name by which the rules know our targets."""
        return self.named(SPIKE)

    def named(self, name: str, program: str = sys.executable, *, folder: str = "names") -> str:
        """A program under another name."""
        path = self.folder / folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.symlink_to(program)
        return str(path)

    def words(self, *command: str) -> list[str]:
        return [sys.executable, "-m", "monitord", *command, *self.places]

    def forked(self, *command: str) -> list[str]:
        """As `words`, where neither its start nor its pid matters."""
        return preloaded.command("cli", *command, *self.places)

    def recording(self) -> list[str]:
        """What `monitord run` becomes (tests/cli/test_acting.py), without the command line that takes a third of a start."""
        python, *words = own_command("monitord.daemon", *self.places)
        return [python, *LEAN, *words]

    @property
    def places(self) -> list[str]:
        return ["--data-dir", str(self.data_dir), "--config", str(self.config)]

    def command(self, *command: str) -> subprocess.CompletedProcess[str]:
        words = self.words(*command) if command[0] == "run" else self.forked(*command)
        return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)

    def ask(self, *command: str) -> Any:
        """What a command answers as JSON, also of a recorder that is silent for now; None where it says no."""
        code, said = self.answer(*command, "-o", "json")
        return json.loads(said) if code in (0, UnreachableError.exit_code) and said else None

    def answer(self, *command: str) -> tuple[int, str]:
        """Exit code and stdout of a command, in this process: it is asked again and again until something is so."""
        said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(said), redirect_stderr(io.StringIO()), pytest.raises(SystemExit) as end:
            main([*command, *self.places])
        said.seek(0)
        return int(end.value.code or 0), said.read()

    def incidents(self, **wanted: object) -> list[dict[str, Any]]:
        rows = self.ask("recent", "-n", "1000") or []
        return [row for row in rows if all(row[key] == value for key, value in wanted.items())]

    def incident(self, *, profiled: bool = True, **wanted: object) -> dict[str, Any]:
        """The newest incident that fits, in full, waited for until its profile came to an end."""
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            for row in self.incidents(**wanted):
                if not profiled or "profile" in self.roles(row["correlation_id"]):
                    found.append(self.ask("show", str(row["id"])))
                    return True
            return False

        self.wait_for(has_come, f"an incident with {wanted}")
        return found[0]

    def roles(self, correlation_id: str) -> set[str]:
        """Of an incident's captures so far, from its rows: for each `show` a child reads all evidence anew."""
        with StoreReader(self.data_dir) as reader:
            return {capture.role for capture in reader.incident(correlation_id).captures}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if condition():
                return
            if self.daemon is not None and self.daemon.poll() is not None:
                break
            time.sleep(0.2)
        raise AssertionError(f"waited in vain for {what}; the daemon's log:\n{self.log_text()[-6000:]}")

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the daemon and give its exit status (negative: killed by that signal)."""
        assert self.daemon is not None
        self.daemon.send_signal(number)
        return self.daemon.wait(PATIENCE_S)

    def close(self) -> None:
        for process in [*self._others, *([self.daemon] if self.daemon else [])]:
            if process.poll() is None:
                process.kill()
            process.wait()

    def left_behind(self) -> list[str]:
        """Processes of the daemon's session that are still there."""
        assert self.daemon is not None
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.daemon.pid and int(folder.name) != os.getpid():
                found.append(folder.name)
        return found
