"""A storm of starts is headed by who started most, not by whose ended children used most CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.recorder import FAST, SPIKE, Recorder

pytestmark = pytest.mark.root  # the kernel's records of everybody's starts

RULE = '[[rules]]\nname = "storm"\nmetric = "spawn_storm"\nabove = 60\nwindow_s = 2\nprofiler = "none"\n'
BURNS = "end = __import__('time').process_time() + 0.4\nwhile __import__('time').process_time() < end: pass"
STARTS_FEW = f"""
import subprocess, sys
while True:
    for child in [subprocess.Popen([sys.executable, "-S", "-c", {BURNS!r}]) for _ in range(3)]:
        child.wait()
"""


def test_the_heading_names_the_starter_where_the_cause_does(tmp_path: Path) -> None:
    """One starts hundreds of tiny programs a second; the children of another one use most of the CPU."""
    recorder = Recorder(tmp_path, FAST + RULE)
    try:
        recorder.start()
        recorder.wait_for(lambda: recorder.ask("status")["black_box"].get("state") == "on", "the black box")
        recorder.spike(recorder.named("builds"), "-c", STARTS_FEW)
        shell = recorder.spike(recorder.named(SPIKE, "/bin/sh"), "-c", "while :; do /bin/true; done")
        found = recorder.incident(profiled=False, trigger_metric="spawn_storm")
        recorder.wait_for(lambda: recorder.ask("show", str(found["id"]))["cause"], "its cause")
        found = recorder.ask("show", str(found["id"]))
    finally:
        recorder.close()
    assert f"(pid {shell.pid}) started " in found["cause"]["sentence"]
    if found["cause"]["confidence"] == "certain":
        assert (found["process_name"], found["pid"]) == (SPIKE[:15], shell.pid)
        assert found["process"]["pid"] == shell.pid
    elif found["pid"] == shell.pid:  # a crowded machine gave its children most CPU, too: both agree
        assert found["process_name"] == SPIKE[:15]
    else:  # on a machine where others start as many, or where records were lost
        assert (found["process_name"], found["pid"]) == ("no single process", None)
        assert f"most processes were started by {SPIKE[:15]} (pid {shell.pid})" in found["reason"]
