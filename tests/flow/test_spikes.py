"""A real spike goes in, evidence comes out: one positive and one negative scenario for each trigger."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flow.recorder import SPIKE, TARGETS, Recorder

Make = Callable[..., Recorder]


def rule(name: str, metric: str, above: str, *more: str) -> str:
    lines = [
        "[[rules]]",
        f'name = "{name}"',
        f'metric = "{metric}"',
        f"above = {above}",
        "window_s = 2",
        *more,
    ]
    return "\n".join(lines) + "\n"


def functions(incident: dict) -> list[str]:
    return [hotspot["function"] for hotspot in incident["hotspots"]]


# ----------------------------------------------------------------------------------------------- CPU


def test_a_python_burner_is_caught_with_its_function_and_line(recorder: Make) -> None:
    """The whole story: incident, reason, history before it, dump, profile, guilty function with file."""
    daemon = recorder().start()
    burner = daemon.python("burn.py", "100", "120")
    incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
    assert any("guilty_loop" in function for function in functions(incident))
    guilty = next(spot for spot in incident["hotspots"] if "guilty_loop" in spot["function"])
    assert guilty["file"].endswith("burn.py")
    assert guilty["total_share"] > 0.5
    assert "10 %" in incident["reason"]
    assert incident["history"], "the samples before the alert are part of the incident"
    outcomes = {capture["role"]: capture["status"] for capture in incident["captures"]}
    assert outcomes["context"] == outcomes["dump"] == outcomes["profile"] == "ok"
    (profile,) = [capture for capture in incident["captures"] if capture["role"] == "profile"]
    assert not profile["late"]
    assert Path(profile["profile_path"]).is_file()


def test_a_process_that_works_moderately_is_left_alone(recorder: Make) -> None:
    """10 % of a core under a threshold of 60 % never fires, and `explain` says how far it was.

    What it waits for its turn counts as wanted: on a crowded machine a tenth of a core is a quarter.
    """
    daemon = recorder(rule("cpu-hog", "cpu", "60")).start()
    worker = daemon.python("burn.py", "10", "120")
    daemon.wait_for_passes(16)
    assert daemon.incidents(pid=worker.pid) == []
    (status,) = daemon.ask("explain", "--pid", str(worker.pid))
    assert status["rule"] == "cpu-hog"
    assert status["distance"] > 0


def test_a_short_burst_does_not_fill_the_window(recorder: Make) -> None:
    """Half a second at full speed is below a window of five: armed, then thrown away."""
    daemon = recorder(rule("cpu-hog", "cpu", "60").replace("window_s = 2", "window_s = 5")).start()
    burst = daemon.python("burn.py", "100", "1")
    burst.wait()
    daemon.wait_for_passes(14)
    assert daemon.incidents(pid=burst.pid) == []


def test_a_native_burner_is_caught_with_its_c_function(
    recorder: Make, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """No Python in it: perf (or repeated stacks) names the C function."""
    program = tmp_path / SPIKE
    subprocess.run([require_tool("gcc"), "-O1", "-g", "-o", program, TARGETS / "hot.c"], check=True)
    require_tool("perf")
    daemon = recorder().start()
    burner = daemon.spike(str(program))
    incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
    assert any("guilty_native" in function for function in functions(incident))


def test_the_burning_child_is_blamed_and_not_its_launcher(recorder: Make) -> None:
    """A shell that starts a burner is not the incident; the burner is."""
    daemon = recorder().start()
    burn = f"{daemon.interpreter} {TARGETS / 'burn.py'} 100 120"
    launcher = daemon.spike("sh", "-c", f"{burn} & echo $!; wait", stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    try:
        incident = daemon.incident(trigger_metric="cpu")
        assert incident["pid"] == child
        assert any("guilty_loop" in function for function in functions(incident))
    finally:
        subprocess.run(["kill", "-9", str(child)], check=True)


def test_a_process_that_exits_in_mid_capture_leaves_what_it_showed(recorder: Make) -> None:
    """The evidence up to the exit is kept and labelled; nothing pretends to be whole."""
    slow = "[sampling]\ninterval_s = 0.5\n[detection]\ndefault_rules = false\n[capture]\nduration_s = 30\n"
    daemon = recorder(settings=slow).start()
    burner = daemon.python("burn.py", "100", "120")
    daemon.wait_for(lambda: (daemon.ask("status") or {}).get("capture"), "the capture to begin")
    daemon.wait_for_passes(4)
    burner.kill()
    incident = daemon.incident(pid=burner.pid)
    (profile,) = [capture for capture in incident["captures"] if capture["role"] == "profile"][:1]
    assert profile["status"] in ("partial", "target_gone")
    assert any(capture["status"] == "ok" for capture in incident["captures"] if capture["role"] == "dump")


# -------------------------------------------------------------------------------------------- memory


def test_a_leaker_is_caught(recorder: Make) -> None:
    """Above an absolute size for the window: the process and its evidence are there."""
    daemon = recorder(rule("memory-hog", "memory", '"200MiB"')).start()
    leaker = daemon.python("leak.py", "20", "400")
    incident = daemon.incident(pid=leaker.pid, trigger_metric="memory")
    assert incident["trigger_value"] >= 200 * 2**20
    assert any(capture["status"] == "ok" for capture in incident["captures"])


def test_a_steady_process_does_not_leak(recorder: Make) -> None:
    """Big from the start but below the size, and not growing: nothing happens."""
    rules = rule("memory-hog", "memory", '"400MiB"') + rule("memory-leak", "memory_growth", '"100MiB"')
    daemon = recorder(rules).start()
    steady = daemon.python("leak.py", "50", "50")
    daemon.wait_for_passes(16)
    assert daemon.incidents(pid=steady.pid) == []


def test_growth_is_caught_below_any_absolute_size(recorder: Make) -> None:
    """A leak is seen by its slope long before the process is big."""
    daemon = recorder(
        rule("memory-leak", "memory_growth", '"60MiB"').replace("window_s = 2", "window_s = 4")
    ).start()
    leaker = daemon.python("leak.py", "4", "2000")
    incident = daemon.incident(pid=leaker.pid, trigger_metric="memory_growth")
    assert incident["trigger_value"] >= 60 * 2**20


# ------------------------------------------------------------------------------------- disk, network


def test_a_disk_writer_is_caught(recorder: Make, tmp_path: Path) -> None:
    """Bytes written a second by one process, from its own counters."""
    daemon = recorder(rule("disk-flood", "disk_io", '"5MB/s"')).start()
    writer = daemon.python("write.py", str(tmp_path / "flood"), "30")
    incident = daemon.incident(pid=writer.pid, trigger_metric="disk_io")
    assert incident["trigger_value"] >= 5e6


def test_a_slow_writer_is_left_alone(recorder: Make, tmp_path: Path) -> None:
    """1 MB/s under a threshold of 20 MB/s."""
    daemon = recorder(rule("disk-flood", "disk_io", '"20MB/s"')).start()
    writer = daemon.python("write.py", str(tmp_path / "trickle"), "1")
    daemon.wait_for_passes(12)
    assert daemon.incidents(pid=writer.pid) == []


@pytest.fixture
def conversation() -> Callable[[Recorder, str], tuple[int, int]]:
    """Start a receiver and a sender on loopback; give both pids."""

    def start(daemon: Recorder, rate: str) -> tuple[int, int]:
        receiver = daemon.python("send.py", "receive", stdout=subprocess.PIPE, text=True)
        assert receiver.stdout is not None
        port = receiver.stdout.readline().strip()
        sender = daemon.python("send.py", "send", port, rate)
        return sender.pid, receiver.pid

    return start


def test_a_loopback_sender_is_caught(
    recorder: Make, conversation: Callable[[Recorder, str], tuple[int, int]]
) -> None:
    """The interface's rate fires; the per-socket counters name one end of the conversation."""
    daemon = recorder(rule("network-flood", "network", '"20MB/s"')).start()
    ends = conversation(daemon, "100")
    incident = daemon.incident(trigger_metric="network")
    assert incident["pid"] in ends
    assert incident["trigger_value"] >= 20e6


def test_a_quiet_conversation_is_left_alone(
    recorder: Make, conversation: Callable[[Recorder, str], tuple[int, int]]
) -> None:
    """1 MB/s under a threshold of 200 MB/s. The interface is everybody's: what others move is theirs."""
    daemon = recorder(rule("network-flood", "network", '"200MB/s"')).start()
    ends = conversation(daemon, "1")
    daemon.wait_for_passes(12)
    assert [row for row in daemon.incidents(trigger_metric="network") if row["pid"] in ends] == []
