"""Where the CPU is in native code: sampled from real programs, named from their own files, without any rights left."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.causes.cpu import explain
from monitord.causes.facts import Facts
from monitord.causes.leaves import sample_leaves
from monitord.children import own_command, own_environment
from monitord.sampling import key_of
from tests.fakes import an_alert
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="perf_event_open is Linux's")
Start = Callable[..., subprocess.Popen[str]]
COLLECTS = """
import gc, resource
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
kept = [[number, {}] for number in range(60_000)]
print("ready", flush=True)
while True:
    gc.collect()
"""


def observed(pid: int) -> dict[str, object]:
    key = key_of(pid)
    assert key is not None
    command = own_command("monitord.causes", "cpu", str(pid), str(key.start_ticks))
    done = subprocess.run(
        command, env=own_environment(), capture_output=True, text=True, timeout=PATIENCE_S, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    held: dict[str, object] = json.loads(done.stdout)
    return held


def test_a_collector_below_python_is_seen_where_pythons_own_stack_shows_a_call(start: Start) -> None:
    process = start(COLLECTS)
    seen = observed(process.pid)
    process.kill()
    leaves = seen["leaves"]
    assert isinstance(leaves, dict)
    if "refused" in leaves:
        pytest.skip(f"the kernel grants no samples: {leaves['refused']}; run as root")
    names = {frames[0][0] for _count, _thread, frames in leaves["stacks"]}
    if names <= {"", "_PyEval_EvalFrameDefault"}:
        pytest.skip("this Python has no symbols: run with one that is not stripped")
    cause = explain(Facts(an_alert(), after=seen))
    assert cause is not None
    assert cause.kind == "garbage collection"


def test_a_program_that_sleeps_has_no_leaves_and_is_idle() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        seen = observed(process.pid)
        process.kill()
    cause = explain(Facts(an_alert(), after=seen))
    assert cause is not None
    assert cause.kind == "idle"


TAKES_TURNS = """
import threading, time
turns = [threading.Semaphore(0) for _ in range(20)]
def work(number):
    while True:
        turns[number].acquire()
        end = time.monotonic() + 0.1
        while time.monotonic() < end: pass
        turns[(number + 1) % 20].release()
for number in range(20): threading.Thread(target=work, args=(number,), daemon=True).start()
turns[0].release()
time.sleep(2.5)
print("ready", flush=True)
time.sleep(60)
"""


def test_work_that_goes_round_a_pool_of_threads_is_sampled_in_all_of_them(start: Start) -> None:
    """In a moment one of them runs, and in the next it is another one's turn: two samples were all there was."""
    process = start(TAKES_TURNS)
    sampled = sample_leaves(process.pid)
    process.kill()
    if isinstance(sampled, str):
        pytest.skip(f"the kernel grants no samples: {sampled}; run as root")
    assert len({thread for thread, _chain in sampled.chains}) >= 4


def test_of_a_process_that_is_gone_nothing_is_sampled() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert isinstance(sample_leaves(process.pid, 0.01), str)


def test_the_observer_gives_up_its_rights_before_it_reads_the_targets_files(tmp_path: Path) -> None:
    """It opens them as root may, and parses them as nobody: after naming, the same process may do nothing more."""
    script = (
        "import os, sys\n"
        "from monitord import procfs\n"
        "from monitord.causes.leaves import name_leaves, sample_leaves\n"
        "name_leaves(os.getpid(), sample_leaves(os.getpid(), 0.05))\n"
        "print(procfs.status_of(os.getpid())['CapEff'])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root)
    assert int(done.stdout, 16) == 0, done.stderr


EXECS = """
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
volatile unsigned long sink;
__attribute__((noinline)) void OWN_NAME(void) { clock_t until = clock() + CLOCKS_PER_SEC / 20; while (clock() < until) for (int i = 0; i < 100000; i++) sink += i; }
int main(int count, char **words) { alarm(60); OWN_NAME(); execl(words[2], words[2], words[2], words[1], (char *)0); }
"""


def test_what_ran_before_an_exec_has_no_name_of_what_runs_now(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Two programs at the same addresses execute each other: a name would be the other one's in half of all."""
    programs = [str(tmp_path / name) for name in ("one", "other")]
    for program in programs:
        Path(f"{program}.c").write_text(EXECS)
        words = [
            require_tool("gcc"),
            "-O1",
            "-no-pie",
            f"-DOWN_NAME=burn_{Path(program).name}",
            "-o",
            program,
            f"{program}.c",
        ]
        subprocess.run(words, check=True)
    with subprocess.Popen([programs[0], *programs]) as process:
        leaves = observed(process.pid)["leaves"]
        process.kill()
    assert isinstance(leaves, dict)
    assert "stacks" not in leaves
    assert leaves["refused"]
