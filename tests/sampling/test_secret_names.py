"""A process's own name is redacted where it is read, as all its other names are."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitord.capture import context_system
from monitord.capture.target import Target
from monitord.model import ProcessKey
from monitord.procfs import start_ticks
from monitord.sampling.details import details, unit_of
from monitord.sampling.entries import Entry

NAME = "pw=Zq3vXk8zR"
CALLS_ITSELF = f"""
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"{NAME}", 0, 0, 0)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_no_reader_of_a_process_passes_on_the_secret_in_its_name() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALLS_ITSELF], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        raw = Path(f"/proc/{process.pid}/stat").read_bytes()
        key = ProcessKey(process.pid, start_ticks(raw))
        assert NAME.encode() in raw
        found = details(key)
        with Target(key) as target:
            names = (Entry(str(process.pid), -1, raw).sample().name, found and found.name, target.name)
        process.kill()
    assert names == ("pw=***HIDDEN***",) * 3


@pytest.mark.root
@pytest.mark.skipif(sys.platform != "linux", reason="control groups")
def test_no_reader_of_a_process_passes_on_the_secret_in_its_group() -> None:
    """Its details, the unit that rules ask for and the context record, of a real group."""
    with subprocess.Popen(["sleep", "30"]) as process:
        group = _moved_to(process.pid, "token=Zq3vXk8zRm2.service")
        try:
            raw = Path(f"/proc/{process.pid}/cgroup").read_text()
            key = ProcessKey(process.pid, start_ticks(Path(f"/proc/{process.pid}/stat").read_bytes()))
            told = json.dumps([context_system.cgroup(raw), unit_of(process.pid), str(details(key))])
        finally:
            process.kill()
            process.wait()
            _removed(group)
    assert "Zq3vXk8zRm2" in raw
    assert "Zq3vXk8zRm2" not in told
    assert "token=***HIDDEN***" in told


def _moved_to(pid: int, name: str) -> Path:
    """The process is in a group of this name from now on, in whichever hierarchy there is."""
    for base in ("unified", "systemd", "."):
        group = Path("/sys/fs/cgroup") / base / name
        try:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            continue
        return group
    pytest.skip("no cgroup can be made here: run as root where /sys/fs/cgroup can be written")


def _removed(group: Path) -> None:
    """A group whose process has just ended is busy for a moment."""
    for _ in range(100):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return
