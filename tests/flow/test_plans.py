"""A capture plan that is set while the daemon runs changes the next capture, and says so."""

from __future__ import annotations

from collections.abc import Callable

from tests.flow.recorder import SPIKE, Recorder


def profile_of(incident: dict) -> dict:
    (profile,) = [capture for capture in incident["captures"] if capture["role"] == "profile"][-1:]
    return profile


def plan_of(capture: dict) -> str | None:
    return (capture["notes"] or {}).get("plan")


def test_plans_set_at_run_time_change_the_next_capture(recorder: Callable[..., Recorder]) -> None:
    """As configured; by the plan; not at all; as configured again: four spikes, one daemon."""
    daemon = recorder().start()

    def spike() -> dict:
        burner = daemon.python("burn.py", "50")
        incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
        burner.kill()
        burner.wait()
        return incident

    before = profile_of(spike())
    assert (before["status"], plan_of(before)) == ("ok", None)

    said = daemon.command("plan", "set", "long", "--match-name", SPIKE, "--duration", "4s", "--rate", "20")
    assert said.returncode == 0, said.stderr
    planned = profile_of(spike())
    assert (planned["status"], plan_of(planned)) == ("ok", "long")
    assert planned["duration_seconds"] >= 4, "the plan's length and not the two seconds of the configuration"
    assert "plan long" in daemon.command("show", str(planned["id"])).stdout

    daemon.command("plan", "set", "long", "--match-name", SPIKE, "--consent", "never")
    refused = spike()
    assert {(capture["role"], capture["status"]) for capture in refused["captures"]} == {
        ("dump", "refused"),
        ("profile", "refused"),
    }
    assert "capture plan 'long'" in profile_of(refused)["reason"]
    assert "monitord plan delete long" in profile_of(refused)["fix"]

    daemon.command("plan", "delete", "long")
    after = profile_of(spike())
    assert (after["status"], plan_of(after)) == ("ok", None)
