"""What is shown of a spike is the spike: its function, and not what came after it."""

from __future__ import annotations

from collections.abc import Callable

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


def test_a_spike_that_ends_with_its_window_shows_its_function(recorder: Make) -> None:
    """The profile shows the rest after it, and is late; the looks while the window lasted lead."""
    daemon = recorder(WINDOW).start()
    burst = daemon.python("phases.py", "8", "rests")
    incident = daemon.incident(pid=burst.pid, trigger_metric="cpu")
    assert incident["hotspots"][0]["function"].startswith("first_phase")
    dump = next(capture for capture in incident["captures"] if capture["role"] == "dump")
    assert "looks within" in (dump["notes"] or {}).get("looks", "")


def test_both_phases_of_a_spike_are_told(recorder: Make) -> None:
    """In one function until the alert, in the next one while it is profiled."""
    daemon = recorder(WINDOW).start()
    burner = daemon.python("phases.py", "7", "burns")
    incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
    functions = {spot["function"].partition(".")[0] for spot in incident["hotspots"]}
    assert {"first_phase", "second_phase"} <= functions
