"""A capture plan that is set while the daemon runs changes the next capture, and says so."""

from __future__ import annotations

from collections.abc import Callable

from tests.flow.recorder import SPIKE, Recorder


def profile_of(incident: dict) -> dict:
    (profile,) = [capture for capture in incident["captures"] if capture["role"] == "profile"][-1:]
    return profile


def test_plans_set_at_run_time_change_the_next_capture(recorder: Callable[..., Recorder]) -> None:
    """As configured; by the plan; not at all; as configured again: four spikes, one daemon."""
    daemon = recorder().start()

    def spike() -> dict:
        burner = daemon.python("burn.py", "100", "120")
        incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
        burner.kill()
        burner.wait()
        return incident

    before = profile_of(spike())
    assert (before["status"], before["duration_seconds"], before["notes"]) == ("ok", 2, None)

    said = daemon.command("plan", "set", "short", "--match-name", SPIKE, "--duration", "1s", "--rate", "20")
    assert said.returncode == 0, said.stderr
    planned = profile_of(spike())
    assert (planned["status"], planned["duration_seconds"]) == ("ok", 1)
    assert planned["notes"]["plan"] == "short"

    daemon.command("plan", "set", "short", "--match-name", SPIKE, "--consent", "never")
    refused = spike()
    assert {(capture["role"], capture["status"]) for capture in refused["captures"]} == {
        ("dump", "refused"),
        ("profile", "refused"),
    }
    assert "capture plan 'short'" in profile_of(refused)["failure_reason"]
    assert "monitord plan delete short" in profile_of(refused)["fix"]

    daemon.command("plan", "delete", "short")
    after = profile_of(spike())
    assert (after["status"], after["duration_seconds"]) == ("ok", 2)
