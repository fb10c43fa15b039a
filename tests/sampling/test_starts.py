"""A storm of starts on this very machine: the parent is named; threads, however many, are none."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from monitord.detection import Detector
from monitord.model import Alert, Rule, Threshold, TriggerMetric
from monitord.sampling import Sampler
from tests.patience import PATIENCE_S

RULE = Rule("starts", TriggerMetric.SPAWN_STORM, above=Threshold(60, "count"), window_s=2)
# It goes on until it is named, and each of its children uses a millisecond: others start programs that use more.
LOOP = """ulimit -t 240; while :; do sh -c 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done'; done"""
THREADS = """
import resource, threading, time
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
while True:
    for _ in range(20):
        thread = threading.Thread(target=int); thread.start(); thread.join()
    time.sleep(0.02)
"""


@pytest.fixture
def passes() -> Iterator[Iterator[tuple[float, list[Alert]]]]:
    """Passes of half a second: how many starts, and what the rule says, which begins anew after each alert."""
    sampler = Sampler()

    def looks() -> Iterator[tuple[float, list[Alert]]]:
        deadline = time.monotonic() + PATIENCE_S
        detector = Detector([RULE])
        while time.monotonic() < deadline:
            rates = sampler.look(detector.demand())
            alerts = list(detector.judge(rates).alerts)
            yield rates.system.starts_per_s or 0.0, alerts
            detector = Detector([RULE]) if alerts else detector
            time.sleep(0.5)

    yield looks()
    sampler.close()


def test_a_loop_that_starts_programs_is_named(passes: Iterator[tuple[float, list[Alert]]]) -> None:
    """Others may start more on a shared machine; then it is the next alert that names this one."""
    with subprocess.Popen(["sh", "-c", LOOP]) as shell:
        try:
            told = (alert for _, alerts in passes for alert in alerts)
            alert = next(alert for alert in told if alert.target and alert.target.pid == shell.pid)
        finally:
            shell.kill()
    assert alert.process_name == "sh"
    assert "; the most was used by the ended children of " in alert.reason


def test_a_program_that_starts_threads_is_no_storm(passes: Iterator[tuple[float, list[Alert]]]) -> None:
    """As many starts as the rule asks for, told by the kernel of the same counter, in every pass of a while."""
    crossings = 0
    with subprocess.Popen([sys.executable, "-c", THREADS]) as program:
        try:
            for starts_per_s, alerts in passes:
                crossings += starts_per_s >= 60
                assert [alert for alert in alerts if alert.target and alert.target.pid == program.pid] == []
                if crossings == 8:
                    break
        finally:
            program.kill()
    assert crossings == 8
