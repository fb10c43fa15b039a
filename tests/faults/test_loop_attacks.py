"""What keeps a recorder busy, starved or confused on purpose: it goes on, and what is bad has its row."""

from __future__ import annotations

import contextlib
import ctypes.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.test_full_disk import fill, small_disk
from tests.faults.test_hostile_processes import counted
from tests.flow.recorder import OURS, SPIKE, Recorder
from tests.patience import PATIENCE_S

__all__ = ["small_disk"]
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="control groups, namespaces and signals of Linux"),
]
Make = Callable[..., Recorder]

MEMORY_RULE = f"""\
[[rules]]
name = "memory-hog"
metric = "memory"
above = "1MiB"
window_s = 1
{OURS}"""
# Our rules know it by its name, which it takes when it holds all: on a crowded machine it would else be
# told of while it grows, as mild as it is by then.
HOLD = """
import sys, time
held = bytearray(int(sys.argv[1]) << 20)
open("/proc/self/comm", "w").write(sys.argv[2])
time.sleep(600)
"""
EXECUTES = """
import os, sys, time
def burn_for(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: sum(range(1000))
burn_for(1.3)
program, code, until = sys.argv[1:]
if time.monotonic() < float(until): os.execv(program, [program, "-c", code, program, code, until])
"""
FORKS = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    if not os.fork():
        held = bytearray(2 << 20)
        break
time.sleep(600)
"""


def goes_on(daemon: Recorder, passes: int = 3) -> None:
    """It makes passes, has lost none, ends when it is told to, and never fell over."""
    daemon.wait_for_passes(passes)
    assert daemon.ask("status")["lost_passes"] == 0
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log_text(), daemon.log_text()[-4000:]


def holds(daemon: Recorder, mebibytes: int) -> subprocess.Popen[Any]:
    """Start a process that holds so much from the moment on from which a rule is about it."""
    return daemon.spike(sys.executable, "-c", HOLD, str(mebibytes), SPIKE)


def in_group(folder: Path) -> tuple[str, ...]:
    """Words that put the program after them into a control group."""
    return ("sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(folder))


@contextlib.contextmanager
def group(controller: str, **limits: int) -> Iterator[Path]:
    """A real control group of version 1; empty again, and removed, when the test ends."""
    folder = Path("/sys/fs/cgroup", controller, f"monitord-attack-{os.getpid()}")
    try:
        folder.mkdir()
        for name, value in limits.items():
            (folder / f"{controller}.{name}").write_text(str(value))
    except OSError as error:
        pytest.skip(f"no {controller} group of version 1 can be made: {error}")
    try:
        yield folder
    finally:
        deadline = time.monotonic() + PATIENCE_S
        while folder.exists() and time.monotonic() < deadline:
            for pid in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            with contextlib.suppress(OSError):
                folder.rmdir()
            time.sleep(0.05)


def test_who_executes_another_program_between_alerts_has_a_row(recorder: Make) -> None:
    """Each program is followed anew, and after some the process is taken for one: it can't hide by it."""
    daemon = recorder().start()
    until = str(time.monotonic() + PATIENCE_S)
    program = daemon.interpreter
    target = daemon.spike(program, "-c", EXECUTES, program, EXECUTES, until)
    daemon.incident(pid=target.pid, profiled=False)
    goes_on(daemon)


def test_mild_alerts_hide_no_severe_one(recorder: Make) -> None:
    """Forty that are a little above fill every row and every hour's budget; the bad one has its own row."""
    daemon = recorder(MEMORY_RULE).start()
    for _ in range(40):
        holds(daemon, 1)
    daemon.wait_for(lambda: counted(daemon) >= 40, "every mild alert to be counted")
    severe = holds(daemon, 400)
    incident = daemon.incident(pid=severe.pid, profiled=False)
    assert incident["severity"] > 100
    goes_on(daemon)


def test_three_hundred_crossings_at_once_are_all_counted_the_worst_with_its_own_row(recorder: Make) -> None:
    """Whatever the limits say: a row, or a part in the row that counts them."""
    daemon = recorder(MEMORY_RULE).start()
    forks = daemon.spike(daemon.interpreter, "-c", FORKS, "300", process_group=0)
    worst = holds(daemon, 300)
    try:
        daemon.wait_for(lambda: counted(daemon) >= 302, "every alert to be counted")
        daemon.incident(pid=worst.pid, profiled=False)
        goes_on(daemon)
    finally:
        os.killpg(forks.pid, signal.SIGKILL)


@pytest.mark.root
def test_a_full_group_of_processes_costs_no_pass(recorder: Make) -> None:
    """The recorder can start neither thread nor profiler any more: rows come all the same."""
    with group("pids") as folder:
        daemon = recorder()
        daemon.start(prefix=in_group(folder))
        count = int((folder / "pids.current").read_text())
        (folder / "pids.max").write_text(str(count + 1))  # room for nothing but the burner
        target = daemon.spike(*in_group(folder), daemon.interpreter, "-c", "while True: pass")
        daemon.incident(pid=target.pid, profiled=False)
        daemon.wait_for_passes(3)
        (folder / "pids.max").write_text("max")
        goes_on(daemon)
        target.kill()
        target.wait()


@pytest.mark.root
def test_a_memory_group_of_60_mb_is_enough(recorder: Make) -> None:
    """For the recorder and the profilers it starts: the burner is kept with its function."""
    with group("memory", limit_in_bytes=60_000_000) as folder:
        daemon = recorder()
        daemon.start(prefix=in_group(folder))
        target = daemon.python("burn.py", "50")
        incident = daemon.incident(pid=target.pid)
        assert any(spot["function"] == "guilty_loop" for spot in incident["hotspots"]), incident
        goes_on(daemon)


@pytest.mark.unshared
def test_a_disk_that_is_full_during_a_flood_costs_no_row(recorder: Make, small_disk: Path) -> None:
    """What could not be stored waits, and is there when there is room."""
    daemon = recorder(MEMORY_RULE)
    daemon.data_dir = small_disk / "data"
    daemon.start()
    ballast = fill(small_disk)
    for _ in range(30):
        holds(daemon, 1)
    daemon.wait_for(lambda: daemon.log_text().count("alert.raised") >= 20, "the flood")
    daemon.wait_for(lambda: "store.failing" in daemon.log_text(), "the trouble to be said")
    ballast.unlink()
    daemon.wait_for(lambda: len(daemon.incidents()) >= 20, "the rows")
    goes_on(daemon)


def test_who_stops_and_goes_on_all_the_time_is_captured_and_not_left_stopped(recorder: Make) -> None:
    """SIGSTOP and SIGCONT in turn, before, while and after it is looked at."""
    daemon = recorder().start()
    target = daemon.python("burn.py", "100")
    is_over = threading.Event()

    def play() -> None:
        while not is_over.wait(0.15):
            target.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            target.send_signal(signal.SIGCONT)

    player = threading.Thread(target=play)
    player.start()
    try:
        first = daemon.incident(profiled=False, pid=target.pid)
        # A ladder that finds it stopped ends there: its last row, the context, says that all was tried.
        daemon.wait_for(lambda: "context" in roles(daemon.ask("show", first["correlation_id"])), "its end")
        incident = daemon.ask("show", first["correlation_id"])
    finally:
        is_over.set()
        player.join()
    assert all(capture["reason"] or capture["status"] == "ok" for capture in incident["captures"])
    daemon.wait_for(lambda: state_of(target.pid) in "RS", "the target to run again")
    goes_on(daemon)


def roles(shown: Any) -> set[str]:
    return {capture["role"] for capture in shown["captures"]}


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_clock_that_jumps_costs_no_incident_and_no_pass(recorder: Make, tmp_path: Path) -> None:
    """Years forward and back under a running recorder; what was kept before stays, and recording goes on."""
    library = ctypes.util.find_library("faketime") or next(
        (str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None
    )
    if library is None:
        pytest.skip("libfaketime is missing: apt-get install libfaketime")
    stamp = tmp_path / "stamp"
    stamp.write_text("+0")
    daemon = recorder()
    daemon.start(
        prefix=(
            *("env", f"LD_PRELOAD={library}", f"FAKETIME_TIMESTAMP_FILE={stamp}"),
            *("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"),
        )
    )
    seen = set()
    for jump in ("+0", "+1200d", "-1200d", "+0"):
        stamp.write_text(jump)
        passed = passes_of(daemon)
        daemon.wait_for(lambda before=passed: passes_of(daemon) >= before + 3, f"passes at {jump}")  # type: ignore[misc]
        target = daemon.python("burn.py", "100")
        seen.add(daemon.incident(pid=target.pid, profiled=False)["correlation_id"])
        target.kill()
        target.wait()
        assert seen == {row["correlation_id"] for row in daemon.incidents()}, jump
    goes_on(daemon)


def passes_of(daemon: Recorder) -> int:
    """From the file: the command line has another clock than this recorder."""
    return int(json.loads((daemon.data_dir / "status.json").read_text())["passes"])


@pytest.mark.root
def test_another_host_name_changes_nothing(recorder: Make) -> None:
    """In a namespace of its own: before and after, incidents are kept and can be read."""
    daemon = recorder()
    daemon.start(prefix=("unshare", "--uts"))
    assert daemon.daemon is not None
    for name in ("first-name", "second\x1b[31m-name"):
        enter = [
            "nsenter",
            "-t",
            str(daemon.daemon.pid),
            "-u",
            "sh",
            "-c",
            'printf %s "$0" > /proc/sys/kernel/hostname',
        ]
        subprocess.run([*enter, name], check=True)
        target = daemon.python("burn.py", "100")
        daemon.incident(pid=target.pid, profiled=False)
        target.kill()
        target.wait()
    assert len(daemon.incidents()) == 2
    goes_on(daemon)
