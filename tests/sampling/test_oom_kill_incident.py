"""A process that the kernel really kills for lack of memory: its incident names it, its end, and who had grown.

In a group of the version that is here; that the counters of both are read alike is tested with made folders
(tests/sampling/test_groups.py).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.recorder import FAST, SPIKE, Recorder
from tests.patience import PATIENCE_S
from tests.sampling.limited_groups import memory_group

pytestmark = pytest.mark.root
LIMIT_BYTES = 256 << 20
RULE = """
[[rules]]
name = "killed"
metric = "oom_kill"
above = 1
window_s = 1
"""
HOLDS = """
import sys, time
block = bytearray(b"x" * int(sys.argv[1]) * (1 << 20))
open("/proc/self/oom_score_adj", "w").write(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
held = []
while sys.argv[3] == "grows":
    held.append(bytearray(b"x" * (1 << 20)))
    time.sleep(0.03)
time.sleep(1000)
"""


@pytest.fixture
def group() -> Iterator[Path]:
    with memory_group(LIMIT_BYTES) as folder:
        yield folder


class Machine:
    """A recorder, and programs in a group that may hold little."""

    def __init__(self, recorder: Recorder, group: Path) -> None:
        self.recorder, self.group = recorder, group

    def start(self, name: str, mib: int, score: int, does: str) -> subprocess.Popen[Any]:
        words = [self.recorder.named(f"{name}-{SPIKE}"), "-c", HOLDS, str(mib), str(score), does]
        process = self.recorder.spike(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        (self.group / "cgroup.procs").write_text(str(process.pid))
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def go(self, process: subprocess.Popen[Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.flush()

    def killed(self, victim: subprocess.Popen[Any]) -> dict[str, Any]:
        """The incident about its end, explained."""
        victim.wait(PATIENCE_S)
        incident: dict[str, Any] = self.recorder.incident(pid=victim.pid)
        return incident


@pytest.fixture
def machine(tmp_path: Path, group: Path) -> Iterator[Machine]:
    recorder = Recorder(tmp_path, FAST + RULE)
    try:
        yield Machine(recorder.start(), group)
    finally:
        recorder.close()


def test_who_grew_and_was_killed_is_named_with_its_growth_and_its_end(machine: Machine) -> None:
    hog = machine.start("hog", 40, 500, "grows")
    machine.start("idle", 40, 0, "holds")
    machine.recorder.wait_for_passes(4)
    machine.go(hog)
    incident = machine.killed(hog)
    cause = incident["cause"]
    assert (incident["rule"], cause["kind"], cause["confidence"]) == ("killed", "out of memory", "likely")
    assert f"hog-{SPIKE}"[:15] in cause["sentence"]
    assert f"(pid {hog.pid}) had grown from " in cause["sentence"]
    assert "idle" not in cause["sentence"]
    assert f"in the group /{machine.group.name}" in incident["reason"]


def test_who_was_killed_for_anothers_growth_is_not_blamed_and_the_other_is_named(machine: Machine) -> None:
    """The kernel takes the process with the highest score, which need not be the one that grew."""
    victim = machine.start("victim", 100, 1000, "holds")
    grower = machine.start("grower", 40, -500, "grows")
    machine.recorder.wait_for_passes(4)
    machine.go(grower)
    incident = machine.killed(victim)
    grower.kill()
    cause = incident["cause"]
    assert (cause["kind"], cause["confidence"]) == ("out of memory", "possible")
    assert f"(pid {victim.pid}) had held " in cause["sentence"]
    assert f"(pid {grower.pid})" in cause["sentence"], cause
