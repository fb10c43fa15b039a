"""A pid that goes to another process while evidence is taken: discarded, never a stack of the wrong process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.capture.target import Target
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, wait_for
from tests.patience import PATIENCE_S

# Runs as pid 1 of its own pid namespace. The target is killed once the tool holds it, and its pid given to another
# process at once (ns_last_pid), as often as asked; prints how each capture ended.
INSIDE = r"""
import json, os, signal, subprocess, sys, threading, time
from pathlib import Path
sys.path[:0] = sys.argv[3].split(os.pathsep)
from monitord.capture import Consent, ProfileCaptureService
from monitord.model import CapturePlan, ProcessKey
from monitord.procfs import stat_of

folder, tool, rounds = Path(sys.argv[1]), sys.argv[2], 4

def sleeper():
    return os.posix_spawn("/bin/sleep", ["sleep", "100"], {})

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

def take_over(pid):
    for _ in range(200):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        heir = sleeper()
        if heir == pid:
            return heir
        end(heir)
    return None

def replace(pid, marker, done):
    while not marker.exists():
        time.sleep(0.001)
    end(pid)
    done.append(take_over(pid))

found = []
service = ProfileCaptureService(Consent(), grace_s=4.0, tools={"py-spy": tool})
for number in range(rounds):
    marker = folder / "holds"
    marker.unlink(missing_ok=True)
    pid, done = sleeper(), []
    key = ProcessKey(pid, stat_of(pid).start_ticks)
    while time.clock_gettime(time.CLOCK_BOOTTIME) * 100 < key.start_ticks + 2:
        time.sleep(0.001)  # within its first tick a process has no identity but its pidfd
    thread = threading.Thread(target=replace, args=(pid, marker, done))
    thread.start()
    plan = CapturePlan(profiler="py-spy", duration_s=20)
    if number % 2:
        marker.touch()  # before anything was opened
        thread.join()
        capture = service.first_look(key, folder)
    else:
        capture = service.capture(key, plan, folder)[-1]
    thread.join()
    marker.unlink(missing_ok=True)
    taken = done[0] is not None
    found.append([taken, capture.status, capture.path is None and not capture.payload, os.listdir(folder)])
    if taken:
        end(done[0])
print(json.dumps(found))
"""

# Pretends to hold its target, waits to be interrupted, then writes a flawless profile of whatever.
FAKE = """#!/bin/bash
[ "$1" = --version ] && exit 0
[ "$1" = dump ] && exit 1
out="${@: -1}"
trap 'cp %(profile)s "$out"; echo "Samples: 9 Errors: 0"; exit 0' INT
echo "py-spy> Sampling process 100 times a second"
sleep 0.5
: >%(folder)s/holds
for _ in $(seq 400); do sleep 0.05; done
"""
PROFILE = {
    "$schema": "https://www.speedscope.app/file-format-schema.json",
    "shared": {"frames": [{"name": "wrong_stack", "file": "x.py", "line": 1}]},
    "profiles": [
        {
            "type": "sampled",
            "name": "x",
            "unit": "seconds",
            "startValue": 0,
            "endValue": 1,
            "samples": [[0]],
            "weights": [1],
        }
    ],
}


@pytest.mark.root  # of a user namespace all programs belong to nobody, and root there runs none of them
def test_a_reused_pid_never_gives_a_stack(
    tmp_path: Path, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """Killed in mid-capture or before it, its pid taken by another process: target_replaced or gone, and no bytes."""
    profile, tool = tmp_path / "profile.json", tmp_path / "py-spy"
    profile.write_text(json.dumps(PROFILE))
    tool.write_text(FAKE % {"profile": profile, "folder": folder})
    tool.chmod(0o755)
    script = tmp_path / "inside.py"
    script.write_text(INSIDE)
    ran = subprocess.run(
        [require_tool("unshare"), "--pid", "--fork", "--mount-proc", sys.executable, str(script), str(folder),
         str(tool), os.pathsep.join([str(Path.cwd()), *(path for path in sys.path if path)])],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    rounds = json.loads(ran.stdout.splitlines()[-1])
    assert sum(taken for taken, *_ in rounds) >= 2, "the kernel gave the pid away as asked"
    for taken, status, has_no_bytes, left in rounds:
        assert has_no_bytes or not taken
        assert status == "target_replaced" or not taken
        assert left == []


@pytest.mark.skipif(sys.platform != "linux", reason="the end of a process is seen otherwise there")
def test_a_process_that_is_ending_did_not_execute_another_program(targets: Targets) -> None:
    """Its program is gone before it is: evidence of it is not thrown away as that of another one.

    The moment is held: the main thread has ended, and another one keeps the process from being over.
    """
    process = targets.python(t.PYTHON_THAT_IS_ENDING)
    with Target(key_of(process)) as target:
        assert target.identity.executable is not None
        process.send_signal(signal.SIGUSR1)
        wait_for(lambda: not t.executable(process.pid), "its program to be gone")
        assert target.identify().executable is None
        assert target.is_alive()
        assert target.was_replaced() is None
