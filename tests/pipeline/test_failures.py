"""What fails in the loop costs one step of one pass, is counted, and is told without a flood."""

from __future__ import annotations

import pytest

from monitord import logs
from monitord.pipeline import Failures


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        KeyError("bug"),
        RecursionError(),
    ],
)
def test_whatever_a_step_raises_the_next_is_tried(error: Exception) -> None:
    """The failure is counted and part of the status until the step works again."""
    failures = Failures()
    assert failures.run("pass", lambda: fail(error)) is None
    (complaint,) = failures.complaints()
    assert complaint.startswith(f"pass failed: {type(error).__name__}")
    assert failures.run("pass", lambda: 7) == 7
    assert failures.complaints() == []
    assert failures.counts == {"pass": 1}


@pytest.mark.parametrize("is_flapping", [False, True])
def test_a_step_that_goes_on_failing_is_told_ever_more_rarely(
    capsys: pytest.CaptureFixture[str], is_flapping: bool
) -> None:
    """A thousand failures are some twenty lines, also when every second pass works; only a bug has a trace."""
    logs.configure()
    failures = Failures(clock=lambda: 0.0)
    for _ in range(1000):
        failures.run("pass", lambda: fail(OSError(12, "Cannot allocate memory")))
        if is_flapping:
            failures.run("pass", lambda: None)
    said = capsys.readouterr().err.splitlines()
    assert 1 <= len(said) <= 20
    assert all("Traceback" not in line for line in said)
    assert failures.counts == {"pass": 1000}


def test_a_failure_after_a_long_while_is_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The third failure comes an hour after the second: whoever reads the log learns of it."""
    logs.configure()
    now = [0.0]
    failures = Failures(clock=lambda: now[0])
    for now[0] in (0.0, 1.0, 3600.0):
        failures.run("pass", lambda: fail(OSError(5, "Input/output error")))
    assert capsys.readouterr().err.count("step.failed") == 3
