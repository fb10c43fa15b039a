"""A program at work gets a baseline while nothing is wrong, and its spike is compared with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monitord.storage.ids import short_id
from tests.flow.recorder import QUICK, SPIKE, Recorder

Make = Callable[..., Recorder]
# Of our own target alone, as often as may be, on however busy a machine.
OFTEN = QUICK.replace("[capture]\n", f'[capture]\nconsent = "listed"\nallow = ["{SPIKE}"]\n')
OFTEN += "[baselines]\nper_day = 86400\nduration_s = 2\nmax_machine_percent = 100\n"


def baselines(daemon: Recorder) -> list[dict]:
    return daemon.ask("recent", "--baselines") or []


def test_a_quiet_program_gets_one_baseline_and_its_spike_is_told_against_it(
    recorder: Make, tmp_path: Path
) -> None:
    """Taken once, listed only when asked for; `show`, `explain` and `compare` say what is new since then."""
    daemon = recorder(settings=OFTEN).start()
    worker = daemon.python("turn.py", str(tmp_path / "now"))
    daemon.wait_for(lambda: baselines(daemon), "a baseline")
    daemon.wait_for_passes(24)
    (normal,) = baselines(daemon)
    assert (normal["pid"], normal["status"]) == (worker.pid, "ok")
    assert daemon.incidents() == []
    assert daemon.ask("hot") == []
    events = daemon.ask("events", "--incident", str(normal["id"]))
    assert {event["event_type"] for event in events} == {"capture"}

    (tmp_path / "now").touch()
    incident = daemon.incident(pid=worker.pid, trigger_metric="cpu")
    said = incident["baseline"]["text"]
    assert incident["baseline"]["correlation_id"] == normal["correlation_id"]
    assert "guilty_loop" in said
    assert "baseline of" in said
    told = " ".join(daemon.command("show", str(incident["id"])).stdout.split())
    assert said in told
    assert f"monitord compare {short_id(incident['correlation_id'])} --baseline" in told
    sentences = daemon.ask("explain", str(incident["id"]))["sentences"]
    assert said in [sentence["text"] for sentence in sentences if sentence["about"] == "normal"]

    compared = daemon.ask("compare", str(incident["id"]), "--baseline")
    assert compared["before"]["correlation_id"] == normal["correlation_id"]
    assert compared["after"]["correlation_id"] == incident["correlation_id"]
    (guilty,) = [one for one in compared["differences"] if "guilty_loop" in one["function"]]
    assert guilty["verdict"] in ("hotter", "new")
    assert not guilty["is_noise"]


def test_switched_off_means_none(recorder: Make, tmp_path: Path) -> None:
    """And `compare --baseline` says why there is nothing to compare with."""
    daemon = recorder(settings=OFTEN + "enabled = false\n").start()
    worker = daemon.python("turn.py", str(tmp_path / "now"))
    daemon.wait_for_passes(30)
    assert baselines(daemon) == []
    (tmp_path / "now").touch()
    incident = daemon.incident(pid=worker.pid, trigger_metric="cpu")
    assert incident["baseline"] is None
    answer = daemon.command("compare", str(incident["id"]), "--baseline")
    assert answer.returncode == 3
    assert "cannot find a baseline" in answer.stderr
