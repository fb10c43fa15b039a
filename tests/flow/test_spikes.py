"""A real spike goes in, evidence comes out: one positive and one negative scenario for each trigger."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from tests.flow.recorder import QUICK, SPIKE, TARGETS, Recorder

Make = Callable[..., Recorder]
Start = Callable[..., "subprocess.Popen[bytes]"]


def rule(target: str, metric: str, above: str, *, window_s: int = 2) -> str:
    """A rule about the one target of that name (the kernel keeps 15 characters of a name)."""
    return f"""
[[rules]]
name = "{metric}-of-{target}-{SPIKE}"
metric = "{metric}"
above = {above}
window_s = {window_s}
{f"clear_below = {int(above) // 3}" if metric == "cpu" else ""}
match = {{ names = ["{target}-{SPIKE}"] }}
"""


# One daemon records all of them: each target has a name of its own and rules of its own.
NETWORK = """
[[rules]]
name = "network-flood"
metric = "network"
above = "{}"
window_s = 2
"""
RULES = (
    NETWORK.format("200MB/s")
    + rule("c", "cpu", "10")
    + rule("m", "cpu", "60")
    + rule("b", "cpu", "60", window_s=5)
    + rule("l", "memory", '"200MiB"')
    + rule("s", "memory", '"400MiB"')
    + rule("s", "memory_growth", '"100MiB"')
    + rule("g", "memory_growth", '"60MiB"', window_s=4)
    + rule("d", "disk_io", '"5MB/s"')
    + rule("w", "disk_io", '"20MB/s"')
)


def functions(incident: dict) -> list[str]:
    return [hotspot["function"] for hotspot in incident["hotspots"]]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    made = Recorder(tmp_path_factory.mktemp("spikes"), QUICK + RULES)
    yield made.start()
    made.close()


@pytest.fixture
def start(daemon: Recorder) -> Iterator[Start]:
    """Start a target under the name that its rules know; it ends with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, target: str, *arguments: str) -> subprocess.Popen[bytes]:
        started.append(daemon.python(target, *arguments, name=f"{name}-{SPIKE}"))
        return started[-1]

    yield run
    for one in started:
        one.kill()
        one.wait()


# ----------------------------------------------------------------------------------------------- CPU


def test_a_python_burner_is_caught_with_its_function_and_line(daemon: Recorder, start: Start) -> None:
    """The whole story: incident, reason, history before it, dump, profile, guilty function with file."""
    burner = start("c", "burn.py", "100")
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


def test_a_native_burner_is_caught_with_its_c_function(
    daemon: Recorder, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """No Python in it: perf (or repeated stacks) names the C function."""
    program = tmp_path / f"c-{SPIKE}"
    subprocess.run([require_tool("gcc"), "-O1", "-g", "-o", program, TARGETS / "hot.c"], check=True)
    require_tool("perf")
    burner = daemon.spike(str(program))
    try:
        incident = daemon.incident(pid=burner.pid, trigger_metric="cpu")
        assert any("guilty_native" in function for function in functions(incident))
    finally:
        burner.kill()


def test_the_burning_child_is_blamed_and_not_its_launcher(daemon: Recorder) -> None:
    """A shell that starts a burner is not the incident, though the rule is about its name too; the burner is."""
    shell = daemon.named(f"c-{SPIKE}", "/bin/sh", folder="shells")
    burn = f"{daemon.named(f'c-{SPIKE}')} {TARGETS / 'burn.py'} 100"
    launcher = daemon.spike(shell, "-c", f"{burn} & echo $!; wait", stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    try:
        incident = daemon.incident(pid=child, trigger_metric="cpu")
        assert any("guilty_loop" in function for function in functions(incident))
        assert daemon.incidents(pid=launcher.pid) == []
    finally:
        subprocess.run(["kill", "-9", str(child)], check=True)
        launcher.wait()


def test_a_process_that_exits_in_mid_capture_leaves_what_it_showed(recorder: Make) -> None:
    """The evidence up to the exit is kept and labelled; nothing pretends to be whole."""
    daemon = recorder(settings=QUICK.replace("duration_s = 2", "duration_s = 30")).start()
    burner = daemon.python("burn.py", "100")
    daemon.wait_for(lambda: (daemon.ask("status") or {}).get("capture"), "the capture to begin")
    daemon.wait_for_passes(4)
    burner.kill()
    incident = daemon.incident(pid=burner.pid)
    (profile,) = [capture for capture in incident["captures"] if capture["role"] == "profile"][:1]
    assert profile["status"] in ("partial", "target_gone")
    assert any(capture["status"] == "ok" for capture in incident["captures"] if capture["role"] == "dump")


# -------------------------------------------------------------------------------------------- memory


def test_a_leaker_is_caught(daemon: Recorder, start: Start) -> None:
    """Above an absolute size for the window: the process and its evidence are there."""
    leaker = start("l", "leak.py", "20", "400")
    incident = daemon.incident(pid=leaker.pid, trigger_metric="memory")
    assert incident["trigger_value"] >= 200 * 2**20
    assert any(capture["status"] == "ok" for capture in incident["captures"])


def test_growth_is_caught_below_any_absolute_size(daemon: Recorder, start: Start) -> None:
    """A leak is seen by its slope long before the process is big."""
    leaker = start("g", "leak.py", "4", "2000")
    incident = daemon.incident(pid=leaker.pid, trigger_metric="memory_growth")
    assert incident["trigger_value"] >= 60 * 2**20


# ------------------------------------------------------------------------------------- disk, network


def test_a_disk_writer_is_caught(daemon: Recorder, start: Start, tmp_path: Path) -> None:
    """Bytes written a second by one process, from its own counters."""
    writer = start("d", "write.py", str(tmp_path / "flood"), "30")
    incident = daemon.incident(pid=writer.pid, trigger_metric="disk_io")
    assert incident["trigger_value"] >= 5e6


def conversation(daemon: Recorder, rate: str) -> tuple[int, int]:
    """Start a receiver and a sender on loopback; give both pids."""
    receiver = daemon.python("send.py", "receive", stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    sender = daemon.python("send.py", "send", receiver.stdout.readline().strip(), rate)
    return sender.pid, receiver.pid


def test_a_loopback_sender_is_caught(recorder: Make) -> None:
    """The interface's rate fires; the per-socket counters name one end of the conversation.

    The rule is the machine's, and so about everybody's traffic: ours is far above what other tests move.
    """
    daemon = recorder(NETWORK.format("20MB/s")).start()
    ends = conversation(daemon, "400")
    daemon.wait_for(lambda: caught_of(daemon, ends), "an incident of the conversation")
    assert caught_of(daemon, ends)[0]["trigger_value"] >= 20e6


def caught_of(daemon: Recorder, pids: Collection[int]) -> list[dict]:
    return [row for row in daemon.incidents(trigger_metric="network") if row["pid"] in pids]


# ------------------------------------------------------------------------------------- what is left alone


@pytest.fixture(scope="module")
def left_alone(daemon: Recorder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Collection[int]]:
    """All that stays below its rule's threshold, side by side for sixteen passes: pids by what they do."""
    trickle = str(tmp_path_factory.mktemp("trickle") / "trickle")
    started = {
        "works moderately": daemon.python("burn.py", "10", name=f"m-{SPIKE}"),
        "bursts": daemon.python("burn.py", "100", "1", name=f"b-{SPIKE}"),
        "is big and steady": daemon.python("leak.py", "50", "50", name=f"s-{SPIKE}"),
        "writes slowly": daemon.python("write.py", trickle, "1", name=f"w-{SPIKE}"),
    }
    pids: dict[str, Collection[int]] = {what: [process.pid] for what, process in started.items()}
    pids["talks quietly"] = conversation(daemon, "1")
    started["bursts"].wait()
    daemon.wait_for_passes(16)
    return pids


# 10 % of a core under 60 %, half a window at full speed, 50 MiB under 400 and not growing, 1 MB/s under 20, and
# 1 under 200 for the interface. What a process waits for its turn counts as wanted: on a crowded machine a tenth
# of a core is a quarter.
@pytest.mark.parametrize(
    "what", ["works moderately", "bursts", "is big and steady", "writes slowly", "talks quietly"]
)
def test_what_stays_below_its_threshold_is_left_alone(
    daemon: Recorder, left_alone: dict[str, Collection[int]], what: str
) -> None:
    """A rule that is about it watched it all the while and never fired."""
    for pid in left_alone[what]:
        assert daemon.incidents(pid=pid) == []


def test_explain_says_how_far_from_firing_a_process_is(
    daemon: Recorder, left_alone: dict[str, Collection[int]]
) -> None:
    (pid,) = left_alone["works moderately"]
    (status,) = [
        one for one in daemon.ask("explain", "--pid", str(pid)) if one["rule"] == f"cpu-of-m-{SPIKE}"
    ]
    assert status["distance"] > 0
