"""Signals at any moment: nothing hangs, nothing is lost, a storm of reloads is one reload."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.patience import PATIENCE_S

LISTENER = """
from monitord.daemon.signals import Signals
signals = Signals()
signals.is_ready = True
print("listening", flush=True)
reloads = 0
while not signals.asked_to_stop:
    reloads += signals.take_reload()
    signals.wait(600)
print(reloads + signals.take_reload(), flush=True)
"""


def listener(code: str = LISTENER) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def test_a_storm_of_reloads_neither_hangs_nor_is_lost() -> None:
    """A handler that took a lock would sooner or later interrupt the code that holds it."""
    process = listener()
    for _ in range(20_000):
        process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert int(out) >= 1
    assert process.returncode == 0


def test_a_long_wait_ends_at_a_signal() -> None:
    """Ten minutes of waiting are over when SIGTERM comes."""
    process = listener()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def test_told_to_end_before_it_is_ready_it_ends_on_the_spot() -> None:
    """A start that hangs (a migration, a lock) can be ended."""
    hanging = LISTENER.replace("signals.is_ready = True\n", "").replace(
        "reloads = 0", "import time; time.sleep(600)"
    )
    process = listener(hanging)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
