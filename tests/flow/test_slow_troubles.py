"""Troubles that grow or last: one positive and one negative scenario each, with real processes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flow.recorder import OURS, SPIKE, TARGETS, Recorder
from tests.flow.test_spikes import rule

Make = Callable[..., Recorder]


def evidence(incident: dict) -> list[str]:
    return [capture["role"] for capture in incident["captures"] if capture["status"] == "ok"]


# ----------------------------------------------------------------------------------------- slow burn


def slow_burn(window_s: int) -> str:
    return rule("slow-burn", "cpu", "2", OURS).replace("window_s = 2", f"window_s = {window_s}")


def test_a_slow_burn_is_caught(recorder: Make) -> None:
    """Moderate CPU for the whole of a longer window, far below what a spike needs."""
    daemon = recorder(slow_burn(6) + rule("cpu-hog", "cpu", "90", OURS)).start()
    burner = daemon.python("burn.py", "60", "120")
    incident = daemon.incident(pid=burner.pid)
    assert incident["rule"] == "slow-burn"
    assert any("guilty_loop" in spot["function"] for spot in incident["hotspots"])


def test_work_that_ends_is_no_slow_burn(recorder: Make) -> None:
    """Busy for a moment of the window only."""
    daemon = recorder(slow_burn(8)).start()
    worker = daemon.python("burn.py", "100", "1")
    worker.wait()
    daemon.wait_for_passes(20)
    assert daemon.incidents(pid=worker.pid) == []


# ---------------------------------------------------------------------------------------------- hang


@pytest.fixture
def hanging(tmp_path: Path, require_tool: Callable[[str], str]) -> Callable[[Recorder], subprocess.Popen]:
    """Start a process in state D, which only the end of its child can wake."""
    program = tmp_path / SPIKE
    subprocess.run([require_tool("gcc"), "-o", program, TARGETS / "hang.c"], check=True)

    def start(daemon: Recorder) -> subprocess.Popen:
        process = daemon.spike(str(program), start_new_session=True)
        stat = Path(f"/proc/{process.pid}/stat")
        daemon.wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "D", "it to hang")
        return process

    return start


def test_a_hang_is_caught(recorder: Make, hanging: Callable[[Recorder], subprocess.Popen]) -> None:
    """Uninterruptible for longer than the rule allows; the kernel's own view of it is kept."""
    daemon = recorder(rule("hang", "hang", "3", OURS)).start()
    process = hanging(daemon)
    try:
        incident = daemon.incident(pid=process.pid, trigger_metric="hang", profiled=False)
        assert incident["trigger_value"] >= 3
        daemon.wait_for(
            lambda: "context" in evidence(daemon.incident(pid=process.pid, profiled=False)), "its context"
        )
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=True)


def test_a_wait_within_the_limit_is_no_hang(
    recorder: Make, hanging: Callable[[Recorder], subprocess.Popen]
) -> None:
    """The same process under a limit of an hour: nothing, and `explain` says how far it is."""
    daemon = recorder(rule("hang", "hang", "3600", OURS)).start()
    process = hanging(daemon)
    try:
        daemon.wait_for_passes(10)
        assert daemon.incidents(pid=process.pid) == []
        (status,) = daemon.ask("explain", "--pid", str(process.pid))
        assert status["distance"] > 0
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=True)


# -------------------------------------------------------------------------------- files and threads


@pytest.mark.parametrize(("metric", "what"), [("fd_growth", "files"), ("thread_growth", "threads")])
def test_growth_is_caught(recorder: Make, metric: str, what: str) -> None:
    """More and more of them, all through the window."""
    daemon = recorder(rule(metric, metric, "40", OURS).replace("window_s = 2", "window_s = 4")).start()
    grower = daemon.python("grow.py", what, "0", "5", stdout=subprocess.DEVNULL)
    incident = daemon.incident(pid=grower.pid, trigger_metric=metric)
    assert incident["trigger_value"] >= 40
    assert {"context", "dump"} <= set(evidence(incident))


@pytest.mark.parametrize(("metric", "what"), [("fd_growth", "files"), ("thread_growth", "threads")])
def test_many_are_no_growth(recorder: Make, metric: str, what: str) -> None:
    """Three hundred from the beginning, and no more: a big process is not a leak."""
    daemon = recorder(rule(metric, metric, "40", OURS).replace("window_s = 2", "window_s = 4"))
    steady = daemon.python("grow.py", what, "300", "0", stdout=subprocess.PIPE, text=True)
    assert steady.stdout is not None
    assert steady.stdout.readline() == "ready\n"
    daemon.start()
    daemon.wait_for_passes(16)
    assert daemon.incidents(pid=steady.pid) == []


# --------------------------------------------------------------------------------------- free memory


def low_memory(below: str) -> str:
    """Nobody is profiled for it: the heaviest process may be somebody else's."""
    return rule("low-memory", "free_memory", below, 'profiler = "none"').replace("above", "below")


def test_low_memory_names_the_heaviest_process(recorder: Make) -> None:
    """Below 99 % free it is always low; to blame is one that is at least as big as ours."""
    daemon = recorder(low_memory("99"))
    heavy = daemon.python("leak.py", "200", "200")
    resident = Path(f"/proc/{heavy.pid}/statm")
    daemon.wait_for(lambda: int(resident.read_text().split()[1]) * 4096 > 200 << 20, "it to be heavy")
    daemon.start()
    incident = daemon.incident(trigger_metric="free_memory", profiled=False)
    assert incident["pid"] != daemon.daemon.pid  # type: ignore[union-attr]  # start() made it
    assert incident["process_name"]
    blamed = Path(f"/proc/{incident['pid']}/statm")
    assert incident["pid"] == heavy.pid or int(blamed.read_text().split()[1]) * 4096 > 150 << 20


def test_enough_memory_is_no_incident(recorder: Make) -> None:
    """A hundredth of a percent is free on any machine that can run this."""
    daemon = recorder(low_memory("0.01")).start()
    daemon.wait_for_passes(10)
    assert daemon.incidents() == []
