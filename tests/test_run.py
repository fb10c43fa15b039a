"""The suite runs in two lanes at once: each test in one of them, and what either says counts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MEASURING, lane_of
from tests.run import LANES, status_of

TESTS = Path(__file__).parent


def test_every_module_is_in_a_lane_and_the_list_names_folders_that_exist() -> None:
    """A folder that was renamed would fall into the wrong lane unseen."""
    found = {path: lane_of(path) for path in TESTS.rglob("test_*.py")}
    assert set(found.values()) == set(LANES)
    assert {path.relative_to(TESTS).parts[0] for path in found if found[path] == "measuring"} == MEASURING


@pytest.mark.parametrize(
    ("ended", "status"), [((0, 0), 0), ((0, 1), 1), ((2, 0), 2), ((5, 0), 0), ((5, 5), 5), ((0, -9), 9)]
)
def test_either_lane_s_failure_is_the_failure_of_the_run(ended: tuple[int, int], status: int) -> None:
    """A lane without a test (5) is none, unless the other had none either; killed is failed."""
    assert status_of(ended) == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_both_lanes(number: int) -> None:
    """The module's end sees to it that nobody of them is left (tests/conftest.py)."""
    words = [sys.executable, TESTS / "run.py", "--collect-only", "-q"]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    deadline = time.monotonic() + 60
    while len(pids := children.read_text().split()) < len(LANES) and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(number)
    run.communicate(timeout=120)
    assert run.returncode == 128 + number
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
