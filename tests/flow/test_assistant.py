"""The whole story an assistant is for: a spike, its guilty line over MCP, and what the fix changed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.flow.recorder import Recorder
from tests.flow.test_standby import named_python
from tests.mcp_server.talking import over_http
from tests.patience import PATIENCE_S

SLOW = """
def total_of(count):
    total = 0
    for number in range(count):
        total += number * number
    return total
"""
FIXED = """
def total_of(count):
    return (count - 1) * count * (2 * count - 1) // 6
"""
PROGRAM = """
import sys
import time

{total_of}

def honest_work():
    return sorted(range(300), key=lambda number: -number)


if __name__ == "__main__":
    time.sleep(float(sys.argv[1]))
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        total_of(20_000)
        honest_work()
"""


def spike_of(daemon: Recorder, python: str, script: Path) -> dict[str, Any]:
    """Run the program on standby until its spike has become an incident with Scalene's profile."""
    words = daemon.words("profile", "--standby", "--python", python, str(script))
    program = daemon.spike(
        *words, "--", "8", "300", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stderr is not None
    said = program.stderr.readline()
    assert "stands by as pid" in said
    incident = daemon.incident(pid=int(said.split("pid ")[1].split(";")[0]), trigger_metric="cpu")
    program.terminate()
    program.wait(PATIENCE_S)
    return incident


def test_an_assistant_finds_the_line_and_sees_the_fix(recorder: Callable[..., Recorder]) -> None:
    """A real daemon, a real Scalene, a real client: get_incident names the line, compare_profiles the difference."""
    daemon = recorder().start()
    python = named_python(daemon.folder / "python")
    script = daemon.folder / "program.py"
    script.write_text(PROGRAM.format(total_of=SLOW))
    before = spike_of(daemon, python, script)["correlation_id"]
    script.write_text(PROGRAM.format(total_of=FIXED))
    after = spike_of(daemon, python, script)["correlation_id"]
    with over_http(daemon.data_dir) as asker:
        assert asker.told("system_now")["is_recording"]
        listed = {row["correlation_id"] for row in asker.told("recent_anomalies")["rows"]}
        assert {before, after} <= listed
        incident = asker.told("get_incident", {"id": before})["incident"]
        hottest = incident["hotspots"][0]
        assert hottest["function"] == "total_of"
        # The black box leads; it saw a line a quarter of a second, and the loop has two.
        assert hottest["source_line"] in ("total += number * number", "for number in range(count):")
        found = asker.told("compare_profiles", {"before": before, "after": after})["differences"]
        moved = {each["function"]: each for each in found}
        assert "total_of" in moved, found
        # On a crowded machine there are few samples: of two that were taken one told the other function.
        shares = [moved["total_of"][side]["self_share"] for side in ("before", "after")]
        assert shares[0] > 0.25
        assert shares[1] < shares[0] / 2
