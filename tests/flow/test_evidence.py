"""What is shown of a spike is the spike: its function, and not what came after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.flow.recorder import OURS, Recorder

Make = Callable[..., Recorder]
WINDOW = f"""
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 40
window_s = 5
clear_below = 13
{OURS}"""


def told(daemon: Recorder, then: str) -> dict[str, Any]:
    """The incident of a program whose first phase lasts until the alert, however long that takes here."""
    over = daemon.folder / "over"
    program = daemon.python("phases.py", str(over), then)
    daemon.wait_for(lambda: "event=alert.raised" in daemon.log_text(), "the alert")
    over.touch()
    return daemon.incident(pid=program.pid, trigger_metric="cpu")


def test_a_spike_that_ends_with_its_window_shows_its_function(recorder: Make) -> None:
    """The profile shows the rest after it, and is late; what the black box held of the window leads."""
    incident = told(recorder(WINDOW).start(), "rests")
    assert incident["hotspots"][0]["function"].startswith("first_phase")


def test_without_the_black_box_the_looks_while_the_window_lasted_lead(recorder: Make) -> None:
    incident = told(recorder(f"{WINDOW}[black_box]\nenabled = false\n").start(), "rests")
    assert incident["hotspots"][0]["function"].startswith("first_phase")
    dump = next(capture for capture in incident["captures"] if capture["role"] == "dump")
    assert "looks within" in (dump["notes"] or {}).get("looks", "")


def test_both_phases_of_a_spike_are_told(recorder: Make) -> None:
    """In one function until the alert, in the next one while it is profiled."""
    incident = told(recorder(WINDOW).start(), "burns")
    functions = {spot["function"].partition(".")[0] for spot in incident["hotspots"]}
    assert {"first_phase", "second_phase"} <= functions
