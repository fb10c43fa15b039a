"""An ordinary user's rings: his own processes that he follows, what they start, and what he is refused."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitord.perf_events import records
from monitord.stacks import rings
from monitord.stacks.rings import Rings
from tests.stacks.programs import burner, count_rings, functions_of, named, one_cpu
from tests.stacks.test_box import own_rings
from tests.strangers import let_in

ROOM = Path(rings.__file__).parents[2]
LEVEL = int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
about_2 = pytest.mark.skipif(
    LEVEL not in (1, 2),
    reason=f"needs perf_event_paranoid 1 or 2, which is {LEVEL}: sudo sysctl kernel.perf_event_paranoid=2",
)

ORDINARY = """
import json, os, subprocess, sys, time
from monitord.perf_events import records
from monitord.stacks.rings import Rings
program, answer = sys.argv[1], {}
try:
    Rings.open()
except OSError as error:
    answer["machine"] = error.errno
rings = Rings.open(scope="own processes")
answer["bytes"] = rings.bytes_a_cpu
shell = subprocess.Popen(["/bin/sh", "-c", f"read line; {program} 600; exit 0"], stdin=subprocess.PIPE)
answer["followed"] = rings.follow(shell.pid)
answer["again"] = rings.follow(shell.pid)
answer["init"] = rings.follow(1)
shell.communicate(b"\\n")
side = [records.side_record(raw) for _, _, raw in rings.side_records()]
child = [one.pid for one in side if isinstance(one, records.Named) and one.is_exec]
answer["child"] = len(child)
answer["samples"] = rings.samples(pids=child)
answer["hot"] = max(rings.fresh().values())
rings.close()
print(json.dumps(answer))
"""


@about_2
def test_an_ordinary_user_has_the_stacks_of_processes_he_follows_and_of_what_they_start(
    tmp_path: Path,
) -> None:
    """At perf_event_paranoid 2, without any right: user frames of own processes, others' are refused."""
    let_in(tmp_path)
    program = burner(tmp_path)
    answer = run_as_ordinary(ORDINARY, str(program))
    assert answer["machine"] in (errno.EACCES, errno.EPERM)
    assert (answer["followed"], answer["again"], answer["init"]) == (True, True, False)
    assert answer["child"] == 1
    assert len(answer["samples"]) == answer["hot"] >= 6
    functions = functions_of(program)
    chains = [named(tuple(frames), functions) for *_, frames in answer["samples"]]
    assert ["burn", "third", "second", "first", "main"] in chains
    assert all(ip < records.KERNEL for *_, frames in answer["samples"] for ip in frames)


MANY_THREADS = """
import threading
done = threading.Event()
for _ in range(99):
    threading.Thread(target=done.wait, daemon=True).start()
print(flush=True)
input()
"""


@own_rings
def test_following_is_bounded_and_says_what_it_leaves_out() -> None:
    """A process of a hundred threads takes a part of the descriptors; forty processes take the same part."""
    rings = Rings.open(scope="own processes")
    before = count_rings()
    words = [sys.executable, "-c", MANY_THREADS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    sleepers: list[subprocess.Popen[bytes]] = []
    try:
        with subprocess.Popen(words, **pipes) as crowd:  # type: ignore[call-overload]  # two pipes
            crowd.stdout.readline()
            assert rings.follow(crowd.pid)
            assert rings.lost.threads == 100 - 32
            assert count_rings() - before == 32 * 2 * len(rings.cpus)
            crowd.communicate(b"\n")
        sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(20)]
        assert [rings.follow(process.pid) for process in sleepers] == [True] * 20
        assert len(rings.followed) == 16
        assert rings.followed[-1] == sleepers[-1].pid
        assert count_rings() - before <= 1024
        assert rings.lost.threads == 0
    finally:
        rings.close()
        for process in sleepers:
            process.kill()
            process.wait()


@own_rings
def test_who_is_followed_when_a_cpu_comes_is_named_anew() -> None:
    """Events of a thread are of one CPU each."""
    first = one_cpu()
    rings = Rings.open(scope="own processes", cpus=[first])
    try:
        assert rings.follow(os.getpid())
        rings.take_cpus([first])
        assert rings.followed == (os.getpid(),)
        rings.take_cpus([])
        rings.take_cpus([first])
        assert rings.followed == ()
    finally:
        rings.close()


def run_as_ordinary(code: str, *words: str) -> Any:
    """What code of ours says as a user who cannot read our folders: all is loaded before.

    He is nobody that another test is, too: how much memory may be locked is counted for each user.
    """
    fork = (
        "import os, sys, json\n"
        "import _ctypes, monitord.stacks.rings, resource, subprocess\n"
        "from monitord import rights\nrights.keep_only((), (64321, 64321))\n"
        # A process that changed its user can be looked at by root alone, until it runs a program.
        "_ctypes.call_function(_ctypes.dlsym(_ctypes.dlopen(None, 2), 'prctl'), (4, 1, 0, 0, 0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", fork + code, *words], cwd=ROOM, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@about_2
def test_where_little_memory_may_be_locked_the_rings_are_smaller() -> None:
    """What they hold is said by `bytes_a_cpu`; a limit that grants nothing is an error of its own."""
    code = """
import resource
from monitord.stacks.rings import Rings
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
held, answer = [], {"sizes": []}
try:
    while len(held) < 100:
        held.append(Rings.open(scope="own processes"))
        answer["sizes"].append(held[-1].bytes_a_cpu)
except OSError as error:
    answer["error"] = type(error).__name__
print(__import__("json").dumps(answer))
"""
    answer = run_as_ordinary(code)
    assert answer["error"] == "LockedMemoryError"
    sizes = answer["sizes"]
    if not sizes and os.geteuid() != 0:  # root is somebody of whom nobody else has rings
        pytest.skip("the memory that this user may lock is taken by other rings of his: run as root")
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 1
