"""What `systemctl show` says of a unit, as one clause for who asks why nobody records."""

from __future__ import annotations

import pytest

from monitord.service.failure import words_of

FAILED = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "6"}
WAITS = {"ActiveState": "activating", "SubState": "auto-restart", "Result": "oom-kill", "ExecMainStatus": "9"}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (FAILED, "monitord.service failed (exit status 6), and systemd does not start it again"),
        ({**FAILED, "Result": "watchdog"}, "failed (watchdog), and systemd does not start it again"),
        (WAITS, "monitord.service failed (oom-kill), and systemd will start it again"),
        ({"ActiveState": "inactive", "SubState": "dead", "Result": "success"}, None),
        ({"ActiveState": "active", "SubState": "running", "Result": "success"}, None),
        ({}, None),
    ],
)
def test_only_a_failure_is_told(told: dict[str, str], words: str | None) -> None:
    """A service that was stopped, runs or is not installed did not fail."""
    found = words_of(told)
    assert found is None if words is None else words in (found or "")
