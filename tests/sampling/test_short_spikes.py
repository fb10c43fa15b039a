"""Processes of this very machine that burn and are gone: told with what they used, as looks saw it."""

from __future__ import annotations

import subprocess
import time

from monitord.detection import Detector
from monitord.model import Alert, Rule, Threshold, TriggerMetric
from monitord.sampling import Sampler
from tests.burners import burn_command
from tests.patience import PATIENCE_S

RULE = Rule("spike", TriggerMetric.SHORT_SPIKE, above=Threshold(1, "seconds"), window_s=10)


def told_of(cpu_s: int) -> tuple[list[Alert], int]:
    """What the rule says of a program that burns so long, until two passes after its end; and its pid."""
    sampler, detector = Sampler(), Detector([RULE])
    alerts: list[Alert] = []
    deadline, passes_after = time.monotonic() + PATIENCE_S, 0
    with subprocess.Popen(burn_command(cpu_s)) as program:
        while passes_after < 2:
            assert time.monotonic() < deadline
            alerts += detector.judge(sampler.look(detector.demand())).alerts
            passes_after += program.poll() is not None
            time.sleep(0.2)
    sampler.close()
    return [alert for alert in alerts if alert.target and alert.target.pid == program.pid], program.pid


def test_a_process_that_burned_and_is_gone_is_told_once() -> None:
    """The kernel ended it after three seconds of CPU, of which a look or two may have missed some."""
    [alert], pid = told_of(3)
    assert alert.target is not None
    assert alert.target.pid == pid
    assert 1.0 <= alert.value <= 3.2
    assert "s of CPU or more within 10 s and ended" in alert.reason


def test_one_that_did_less_is_not() -> None:
    """One second is all that it got, and the last part of it no look has seen."""
    assert told_of(1)[0] == []
