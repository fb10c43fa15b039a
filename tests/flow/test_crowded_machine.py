"""Four other burners on every core: a spike is caught all the same, and so is the crowd."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.burners import burn_command
from tests.flow.recorder import OURS, Recorder

Make = Callable[..., Recorder]
BURNERS_PER_CORE = 4

SPIKE_RULE = f"""\
[[rules]]
name = "cpu-hog"
metric = "cpu"
above = 60
window_s = 3
clear_below = 30
{OURS}"""
OVERLOAD_RULE = """\
[[rules]]
name = "cpu-overload"
metric = "cpu_pressure"
above = 85
window_s = 3
"""


@pytest.fixture
def crowded() -> Callable[[Recorder], None]:
    """Starts the crowd; it ends with its recorder, and by itself after 90 s of CPU each."""

    def crowd(daemon: Recorder) -> None:
        for _ in range(BURNERS_PER_CORE * (os.cpu_count() or 1)):
            daemon.spike(*burn_command(90))

    return crowd


def test_a_spike_in_a_crowd_is_caught_by_what_it_wants(
    recorder: Make, crowded: Callable[[Recorder], None]
) -> None:
    """Nobody gets 60 % of a core; used and waited for are said, and the guilty function is named."""
    daemon = recorder(SPIKE_RULE)
    crowded(daemon)
    daemon.start()
    burner = daemon.python("burn.py", "100")
    incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
    assert "waited for a turn" in incident["reason"]
    assert any("guilty_loop" in spot["function"] for spot in incident["hotspots"]), incident["captures"]
    (profile,) = [capture for capture in incident["captures"] if capture["role"] == "profile"]
    assert not profile["late"], "its small part of a core is all that it got, not the end of the spike"


def test_a_crowd_of_equals_is_an_incident_of_the_machine(
    recorder: Make, crowded: Callable[[Recorder], None]
) -> None:
    """The reason names who used the most, and nobody is blamed alone."""
    daemon = recorder(OVERLOAD_RULE)
    crowded(daemon)
    daemon.start()
    incident = daemon.incident(trigger_metric="cpu_pressure", profiled=False)
    assert incident["process_name"] == "no single process"
    assert "× sh" in incident["reason"]
