"""Troubles that grow or last: one positive and one negative scenario each, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flow.recorder import FAST, SPIKE, TARGETS, Recorder
from tests.flow.test_spikes import rule

LOW_MEMORY = """
[[rules]]
name = "{}"
metric = "free_memory"
below = {}
window_s = 2
profiler = "none"  # the heaviest process may be somebody else's
"""
# One daemon records all of them: each target has a name of its own and rules of its own.
RULES = (
    rule("b", "cpu", "3", window_s=4)
    + rule("b", "cpu", "90").replace('"cpu-of', '"spike-of')
    + rule("w", "cpu", "3", window_s=3)
    + rule("h", "hang", "2")
    + rule("k", "hang", "3600")
    + "".join(
        rule(target, metric, "40", window_s=3)
        for metric, targets in (("fd_growth", "fn"), ("thread_growth", "tu"))
        for target in targets
    )
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    made = Recorder(tmp_path_factory.mktemp("slow"), FAST + RULES)
    yield made.start()
    made.close()


def named(name: str) -> str:
    return f"{name}-{SPIKE}"


def evidence(incident: dict) -> list[str]:
    return [capture["role"] for capture in incident["captures"] if capture["status"] == "ok"]


def test_a_slow_burn_is_caught(daemon: Recorder) -> None:
    """Moderate CPU for the whole of a longer window, far below what a spike needs."""
    burner = daemon.python("burn.py", "60", name=named("b"))
    incident = daemon.incident(pid=burner.pid)
    burner.kill()
    assert incident["rule"] == f"cpu-of-b-{SPIKE}"
    assert any("guilty_loop" in spot["function"] for spot in incident["hotspots"])


@pytest.fixture(scope="module")
def hanging(daemon: Recorder, require_tool: Callable[[str], str]) -> Iterator[Callable[[str], int]]:
    """Start a process in state D, which only the end of its child can wake."""
    started: list[int] = []

    def start(name: str) -> int:
        program = daemon.folder / named(name)
        subprocess.run([require_tool("gcc"), "-o", program, TARGETS / "hang.c"], check=True)
        process = daemon.spike(str(program), start_new_session=True)
        started.append(process.pid)
        stat = Path(f"/proc/{process.pid}/stat")
        daemon.wait_for(lambda: stat.read_text().rpartition(")")[2].split()[0] == "D", "it to hang")
        return process.pid

    yield start
    for pid in started:
        os.killpg(pid, signal.SIGKILL)


def test_a_hang_is_caught(daemon: Recorder, hanging: Callable[[str], int]) -> None:
    """Uninterruptible for longer than the rule allows; the kernel's own view of it is kept."""
    pid = hanging("h")
    incident = daemon.incident(pid=pid, trigger_metric="hang", profiled=False)
    assert incident["trigger_value"] >= 2
    daemon.wait_for(lambda: "context" in evidence(daemon.incident(pid=pid, profiled=False)), "its context")


@pytest.mark.parametrize(
    ("metric", "what", "name"), [("fd_growth", "files", "f"), ("thread_growth", "threads", "t")]
)
def test_growth_is_caught(daemon: Recorder, metric: str, what: str, name: str) -> None:
    """More and more of them, all through the window."""
    grower = daemon.python("grow.py", what, "0", "3", name=named(name), stdout=subprocess.DEVNULL)
    incident = daemon.incident(pid=grower.pid, trigger_metric=metric)
    grower.kill()
    assert incident["trigger_value"] >= 40
    assert {"context", "dump"} <= set(evidence(incident))


@pytest.fixture(scope="module")
def left_alone(daemon: Recorder, hanging: Callable[[str], int]) -> dict[str, int]:
    """All that stays below its rule's threshold, side by side, for longer than each window."""
    worker = daemon.python("burn.py", "100", "1", name=named("w"))
    pids = {"works for a moment of its window": worker.pid, "hangs within its limit": hanging("k")}
    for what, name in (("files", "n"), ("threads", "u")):
        steady = daemon.python(
            "grow.py", what, "300", "0", name=named(name), stdout=subprocess.PIPE, text=True
        )
        assert steady.stdout is not None
        assert steady.stdout.readline() == "ready\n"
        pids[f"has three hundred {what} and no more"] = steady.pid
    worker.wait()
    daemon.wait_for_passes(25)
    return pids


@pytest.mark.parametrize(
    "what",
    [
        *("works for a moment of its window", "hangs within its limit"),
        *("has three hundred files and no more", "has three hundred threads and no more"),
    ],
)
def test_what_stays_below_its_threshold_is_left_alone(
    daemon: Recorder, left_alone: dict[str, int], what: str
) -> None:
    """A rule that is about it watched it all the while and never fired."""
    assert daemon.incidents(pid=left_alone[what]) == []


def test_explain_says_how_far_from_a_hang_a_process_is(daemon: Recorder, left_alone: dict[str, int]) -> None:
    pid = left_alone["hangs within its limit"]
    (status,) = (
        one for one in daemon.ask("explain", "--pid", str(pid)) if one["rule"] == f"hang-of-k-{SPIKE}"
    )
    assert status["distance"] > 0


def test_low_memory_names_the_heaviest_process_and_enough_is_no_incident(
    recorder: Callable[..., Recorder],
) -> None:
    """Below 99 % free it is always low: to blame is one that is at least as big as ours. A hundredth is always free."""
    daemon = recorder(LOW_MEMORY.format("low", 99) + LOW_MEMORY.format("enough", 0.01), settings=FAST)
    mib = max(200, used_mib() // 6)  # nobody with less than a tenth of what is used is blamed
    heavy = daemon.python("leak.py", "50", str(mib))
    daemon.wait_for(lambda: resident_mib(heavy.pid) >= mib, "it to be heavy")
    daemon.start()
    incident = daemon.incident(trigger_metric="free_memory", profiled=False)
    assert daemon.daemon is not None
    assert incident["pid"] != daemon.daemon.pid
    assert incident["process_name"]
    assert incident["pid"] == heavy.pid or resident_mib(incident["pid"]) > 0.75 * mib
    rules = {daemon.ask("show", str(row["id"]))["rule"] for row in daemon.incidents()}
    assert rules == {"low"}


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def used_mib() -> int:
    rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kib = {row[0]: int(row[1]) for row in rows}
    return (kib["MemTotal:"] - kib["MemAvailable:"]) >> 10
