"""kill -9 at any moment: nothing acknowledged is lost, nothing half-written is visible, no repair by hand."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.model import short_id
from monitord.storage import RecentFilter, StoreReader, open_store
from tests.flow.recorder import OURS, Recorder

Make = Callable[..., Recorder]

# About a minute in CI; with no failure in n kills the claim is "at most 3/n at 95 %". The kills of
# `test_random_histories` come on top of it, in less time each: its recorder only writes.
KILLS = int(os.environ.get("MONITORD_KILLS") or ("32" if os.environ.get("CI") else "8"))

# After its start: the first incident of a starved daemon took 94 s, and then each kill was waited for twice as long.
# Every fourth moment begins when it has saved something, however late that is.
LATEST_S = 8.0

RESTLESS = """\
[sampling]
interval_s = 0.1
heartbeat_s = 1
[detection]
default_rules = false
[capture]
duration_s = 0.5
max_per_hour = 1000
[retention]
min_free_disk_mb = 0
[[rules]]
name = "pulse"
metric = "cpu"
above = 8
window_s = 0.3
min_share = 0.6
clear_below = 3
cooldown_s = 0
captures_per_hour = 1000
"""
RESTLESS += OURS


def acknowledged(log: str) -> set[str]:
    """What the daemon said it had saved; kept outside the store, so the store can't judge itself."""
    return set(re.findall(r"event=incident\.saved.*?incident=(\w+)", log))


def stored(data_dir: Path) -> set[str]:
    with StoreReader(data_dir) as reader:
        return {short_id(row.correlation_id) for row in reader.recent(RecentFilter(limit=None))}


def profilers_of(data_dir: Path) -> list[str]:
    """Profilers whose output goes into this data directory and that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(data_dir / "spool") in words and b"monitord.daemon" not in words:
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def start_pulses(daemon: Recorder) -> None:
    """Three, each of which makes incidents: on a slow machine one may never be seen at rest, and stays one."""
    for _ in range(3):
        daemon.python("pulse.py", "0.6", "0.7")


def kill_again_and_again(daemon: Recorder, kills: int, *, seed: int) -> None:
    """Kill -9 at random moments of a daemon with work to do; at the end it runs and has saved something.

    The moments reach from its start to well after its first incident, which takes longer on a loaded machine;
    where it takes very long, the kills of which it is waited for come after one.
    """
    chance = random.Random(seed)
    start_pulses(daemon)
    began = time.monotonic()
    daemon.start(wait=False)
    daemon.wait_for(lambda: acknowledged(daemon.log_text()), "one acknowledged incident")
    latest_s = min(max(3.0, 2 * (time.monotonic() - began)), LATEST_S)
    for number in range(kills):
        assert daemon.daemon is not None
        assert daemon.daemon.poll() is None, f"start {number} ended by itself:\n{daemon.log_text()[-3000:]}"
        daemon.daemon.send_signal(signal.SIGKILL)
        daemon.daemon.wait()
        daemon.start(wait=False)
        if number % 4 == 3:  # some kills come after it has saved something, however slow the machine
            wait_for_another(daemon)
        threading.Event().wait(chance.uniform(0.2, latest_s))  # the moment of the kill, no synchronisation
    wait_for_another(daemon)


def wait_for_another(daemon: Recorder) -> None:
    seen = len(acknowledged(daemon.log_text()))
    daemon.wait_for(lambda: len(acknowledged(daemon.log_text())) > seen, "another acknowledged incident")


@pytest.mark.timeout(600 + 20 * KILLS)
def test_nothing_acknowledged_is_lost_however_often_it_is_killed(recorder: Make) -> None:
    """Kill the daemon at random moments of its work, again and again; then one look finds all in order."""
    daemon = recorder(RESTLESS, settings="")
    kill_again_and_again(daemon, KILLS, seed=20261120)
    assert daemon.stop() == 0
    acks = acknowledged(daemon.log_text())
    assert acks <= stored(daemon.data_dir), "acknowledged and lost"
    store = open_store(daemon.data_dir)
    try:
        assert store.verify() == []
    finally:
        store.close()
    daemon.wait_for(lambda: not profilers_of(daemon.data_dir), "no profiler to be left behind")
    assert len(acks) >= KILLS // 8, "too few incidents for the kills to mean anything"
