"""A kill for lack of memory within a group is counted, and told once, with its group and who disappeared.

With a real group, of the version that is here; the counters of both are read from made folders in test_groups.py.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.detection import Detector
from monitord.model import Alert, Rule, Threshold, TriggerMetric
from monitord.sampling import Sampler
from tests.patience import PATIENCE_S
from tests.sampling.limited_groups import memory_group

LIMIT_BYTES = 96 << 20
RULES = [
    Rule("oom", TriggerMetric.OOM_KILL, above=Threshold(1, "count"), window_s=1),
    Rule("memory-hog", TriggerMetric.MEMORY, above=Threshold(40, "percent"), window_s=30),
]
HOG = """
import sys, time
sys.stdin.readline()
held = []
while True:
    held.append(bytearray(1 << 20))
    print(len(held), flush=True)
    time.sleep(0.02)
"""


@pytest.fixture
def limited() -> Iterator[Path]:
    """A real group that may hold 96 MiB."""
    with memory_group(LIMIT_BYTES) as folder:
        yield folder


def test_a_kill_in_a_group_is_one_alert_with_its_victim_and_group(limited: Path) -> None:
    """By the group's own count, whoever else is killed or ends meanwhile; and it was above its rule's level."""
    hog = subprocess.Popen(
        [sys.executable, "-u", "-c", HOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert hog.stdin is not None
    assert hog.stdout is not None
    (limited / "cgroup.procs").write_text(str(hog.pid))
    sampler, detector = Sampler(heartbeat_s=0.0), Detector(RULES)
    said: list[Alert] = []

    def look() -> None:
        time.sleep(0.2)
        said.extend(detector.judge(sampler.look(detector.demand())).alerts)

    def told() -> list[str]:
        return [alert.reason for alert in said if f"in the group /{limited.name};" in alert.reason]

    try:
        look()
        hog.stdin.write("go\n")
        hog.stdin.flush()
        for line in hog.stdout:
            if int(line) % 10 == 0:
                look()
        deadline = time.monotonic() + PATIENCE_S
        while not told() and time.monotonic() < deadline:
            look()
        for _ in range(5):
            look()
    finally:
        sampler.close()
        hog.kill()
        hog.wait()  # a zombie until now, as of a parent that does not collect its children
    (reason,) = told()
    assert f"the kernel killed 1 process for lack of memory in the group /{limited.name}" in reason
    assert f"(pid {hog.pid})" in reason
    assert "disappeared while it held at least 40 % of the 96 MiB that its group may hold" in reason
    assert len([alert for alert in said if alert.target and alert.target.pid == hog.pid]) == 1
