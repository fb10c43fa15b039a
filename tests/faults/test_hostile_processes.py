"""Processes that are made to cost the recorder time: passes go on, what they are is kept, SIGTERM is obeyed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flow.recorder import OURS, QUICK, SPIKE, Recorder

Make = Callable[..., Recorder]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are set by prctl(2)")

# Each is a program that calls itself as our rules want it and burns, with something that is large or odd.
HOSTILE = {
    "a tool's word 16,000 times": (["mc"] * 16_000, ""),
    "a password's word 8,000 times": (["--password"] * 8_000, ""),
    "one argument of 120 kB": (["x" * 120_000], ""),
    "quotes in quotes": (["sh -c '" * 2_000 + '"' * 9_000], ""),
    "escapes and newlines": (["\x1b]0;x\x07\r\n" * 3_000], ""),
    "key=value pairs": ([f"token{n}={n}" for n in range(8_000)], ""),
    "a thousand threads": (
        [],
        "for _ in range(1000): threading.Thread(target=time.sleep, args=(600,)).start()",
    ),
    "a long folder": ([], "[(os.mkdir('d' * 250), os.chdir('d' * 250)) for _ in range(12)]"),
    "many descriptors": ([], "keep = [os.dup(1) for _ in range(900)]"),
}
PROGRAM = """
import ctypes, os, sys, tempfile, threading, time
threading.stack_size(64 * 1024)
os.chdir(tempfile.mkdtemp(dir={folder!r}))
{prelude}
ctypes.CDLL(None).prctl(15, {name!r}.encode(), 0, 0, 0)
end = time.monotonic() + 300
while time.monotonic() < end:
    sum(range(1000))
"""
RULE = f"""\
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 3
window_s = 1
clear_below = 1
{OURS}"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_process_can_hold_up_the_recorder(recorder: Make, tmp_path: Path, kind: str) -> None:
    """It is crossed, described, redacted and kept; meanwhile passes are made, none is lost, and the end is clean."""
    words, prelude = HOSTILE[kind]
    daemon = recorder(RULE, settings=QUICK).start()
    code = PROGRAM.format(folder=str(tmp_path), prelude=prelude, name=SPIKE)
    target = daemon.spike(sys.executable, "-c", code, *words)
    incident = daemon.incident(pid=target.pid, profiled=False)
    assert len(json.dumps(incident)) < 1_000_000
    daemon.wait_for_passes(4)
    status = daemon.ask("status")
    assert status["lost_passes"] == 0
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log_text()


def test_a_flood_of_crossings_is_a_few_rows_that_count_them_all(recorder: Make) -> None:
    """A hundred burners at once: a row each for the first, one for all others, none counted nowhere."""
    rule = RULE.replace('metric = "cpu"', 'metric = "memory"').replace("above = 3", 'above = "1MiB"')
    daemon = recorder(rule.replace("clear_below = 1\n", ""), settings=QUICK).start()
    for _ in range(100):
        daemon.spike(daemon.interpreter, "-c", "import time; time.sleep(600)")
    daemon.wait_for(lambda: counted(daemon) >= 100, "every alert to be counted")
    daemon.wait_for(lambda: len(daemon.incidents()) >= 21, "the rows to be kept")
    daemon.wait_for(
        lambda: any("this row (" in one["reason"] for one in daemon.incidents()), "the shared row"
    )
    assert len(daemon.incidents()) <= 40
    assert daemon.stop() == 0


def counted(daemon: Recorder) -> int:
    """Alerts that have a row of their own, and those that share one."""
    counts = (daemon.ask("status") or {}).get("counts", {})
    return int(counts.get("alerts", 0)) + int(counts.get("folded", 0))
