"""Waits for files, pipes, sockets, children: the other end, the holder or the mount is named, in real programs."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.causes.wait_words import called, process_called
from monitord.procfs import key_of
from tests.causes import hanging
from tests.causes.conftest import Run, waits_in
from tests.causes.test_hang import cause_of, explained
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc/locks is Linux's")
Build = Callable[[str], str]


# --------------------------------------------------------------------------------- locks on files


@pytest.mark.parametrize("how", ["flock", "fcntl", "OFD", "flock of an ended parent"])
def test_the_holder_of_a_lock_on_a_file_is_named(how: str, run: Run, file: Path) -> None:
    """Also where the kernel names no process (OFD), or one that has ended and left the file to its child."""
    holder, (holding,) = run(hanging.HOLDS_A_LOCK, how, str(file))
    if "ended" in how:
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(PATIENCE_S)
    try:
        waiter, _ = run(hanging.WAITS_FOR_A_LOCK, how.split()[0], str(file))
        waits_in(waiter.pid, "flock", "fcntl")
        cause = cause_of(waiter.pid)
    finally:
        os.kill(holding, signal.SIGKILL)
    assert (cause.kind, cause.confidence) == ("held lock", "certain"), cause
    assert f"lock on {file}, held by python" in cause.sentence
    assert f"(pid {holding})" in cause.sentence


@pytest.mark.root
def test_who_has_the_pid_of_one_that_took_a_lock_and_ended_does_not_hold_it(
    built: Build, run: Run, file: Path
) -> None:
    """The kernel's list still has the number of who took it; the lock is there as long as who shares his descriptors."""
    shares, (taker,) = run(built(hanging.SHARES_ITS_LOCKS), str(file))
    waiter, _ = run(hanging.WAITS_FOR_A_LOCK, "fcntl", str(file))
    waits_in(waiter.pid, "fcntl")
    assert f"(pid {shares.pid})" in (cause := cause_of(waiter.pid)).sentence, cause
    told, deadline_s = None, time.monotonic() + PATIENCE_S
    while told is None:
        assert time.monotonic() < deadline_s, f"nobody got the pid {taker}"
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(taker - 1), encoding="ascii")
        with subprocess.Popen(["sleep", "1000"]) as victim:
            if (key := key_of(taker)) is not None:  # whosever: beside other tests it need not be ours
                cause = cause_of(waiter.pid)
                told = cause if key_of(taker) == key else None
            victim.kill()
    assert f"(pid {taker})" not in told.sentence, told
    assert f"(pid {shares.pid}) (process {taker} took it" in told.sentence, told


def test_of_two_ranges_the_holder_of_the_wanted_one_is_named(run: Run, file: Path) -> None:
    other, _ = run(
        "import fcntl, sys, time\nfile = open(sys.argv[1], 'r+')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX, 10, 500); print('ready', flush=True); time.sleep(600)\n",
        str(file),
    )
    holder, _ = run(hanging.HOLDS_A_LOCK, "fcntl", str(file))
    waiter, _ = run(hanging.WAITS_FOR_A_LOCK, "fcntl", str(file))
    waits_in(waiter.pid, "fcntl")
    cause = cause_of(waiter.pid)
    assert f"(pid {holder.pid})" in cause.sentence
    assert str(other.pid) not in cause.sentence


def test_two_processes_that_wait_for_each_others_files_are_a_deadlock(run: Run, tmp_path: Path) -> None:
    text = """
import fcntl, sys, time
own, other = (open(path, "w") for path in sys.argv[1:])
fcntl.flock(own, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
fcntl.flock(other, fcntl.LOCK_EX)
"""
    one, two = (str(tmp_path / name) for name in ("one", "two"))
    first, second = run(text, one, two)[0], run(text, two, one)[0]
    for process in (first, second):
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        waits_in(process.pid, "flock")
    for process, other in ((first, second), (second, first)):
        cause = cause_of(process.pid)
        assert (cause.kind, cause.confidence) == ("deadlock", "certain"), cause
        assert f"(pid {other.pid})" in cause.sentence


# ------------------------------------------------------------------- pipes, sockets, children, files


def test_the_other_end_of_a_pipe_is_named(run: Run) -> None:
    process, (child,) = run(hanging.READS_A_PIPE)
    waits_in(process.pid, "read")
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("pipe", "likely")
    assert "its write end is held by python" in cause.sentence
    assert f"(pid {child})" in cause.sentence


def test_a_process_that_reads_its_own_pipe_is_its_writer(run: Run) -> None:
    process, _ = run(hanging.READS_ITS_OWN_PIPE)
    waits_in(process.pid, "read")
    assert "held by python" in cause_of(process.pid).sentence
    assert f"(pid {process.pid})" in cause_of(process.pid).sentence


def test_the_other_end_of_a_socket_is_named(run: Run) -> None:
    process, (child, port) = run(hanging.WAITS_FOR_AN_ANSWER)
    waits_in(process.pid, "recvfrom")
    cause = cause_of(process.pid)
    assert cause.kind == "remote end"
    assert f"to 127.0.0.1:{port}, which python" in cause.sentence
    assert f"(pid {child})" in cause.sentence


def test_the_child_that_is_waited_for_is_named(run: Run) -> None:
    process, (child,) = run(hanging.WAITS_FOR_A_CHILD)
    waits_in(process.pid, "wait4", "waitid")
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("child", "likely")
    assert f"waits for a child: sleep (pid {child}), which sleeps" in cause.sentence


def test_a_parent_in_vfork_can_not_be_interrupted(built: Build, run: Run) -> None:
    """State D, the rule's own: until the child execs or ends."""
    process, _ = run(built(hanging.VFORK))
    waits_in(process.pid, "vfork", "clone", "clone3")
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("child", "likely"), cause
    assert "can't be interrupted: waits for a child:" in cause.sentence


SILENT_FUSE = """
import ctypes, os, sys
point = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
failed = libc.mount(b"dead:/export", point.encode(), b"fuse", 0, options)
print("ready" if not failed else os.strerror(ctypes.get_errno()), flush=True)
sys.stdin.readline()
"""
READS_THERE = """
import os, sys
print("ready", flush=True)
open(sys.argv[1] + "/table")
"""


@pytest.mark.root
def test_a_file_system_that_does_not_answer_is_named_with_file_and_mount(run: Run, tmp_path: Path) -> None:
    """A FUSE server that is silent: state D, the path from the call's argument, mount and source."""
    point = tmp_path / "share"
    point.mkdir()
    run(SILENT_FUSE, str(point))
    try:
        process, _ = run(READS_THERE, str(point))
        waits_in(process.pid, "openat")
        cause = cause_of(process.pid)
    finally:
        ctypes.CDLL(None).umount2(str(point).encode(), 1 | 2)  # MNT_FORCE, MNT_DETACH
    assert (cause.kind, cause.confidence) == ("I/O wait", "likely"), cause
    assert f"at {point}/table, on dead:/export (fuse) at {point}" in cause.sentence
    assert "fuse" in " ".join(text for _label, text in cause.evidence), "the kernel's own stack"


def test_a_frozen_file_system_is_told_with_what_lets_it_go_on() -> None:
    """As it was seen of a writer on a frozen ext4."""
    group = {
        "state": "D", "call": "write", "on": "file", "what": "/srv/x", "mount": "/srv", "mount_kind": "ext4",
        "mount_source": "/dev/loop0", "is_steady": True, "count": 1, "named": [[7, "writer"]],
        "stack": ["percpu_rwsem_wait", "vfs_write", "ksys_write", "do_syscall_64"],
    }  # fmt: skip
    cause = explained({"threads": 1, "looked_at": 1, "groups": [group]})
    assert (cause.kind, cause.confidence) == ("I/O wait", "likely")
    assert "at /srv/x, on /dev/loop0 (ext4) at /srv; the file system is frozen" in cause.sentence
    assert cause.decides == "sudo fsfreeze -u /srv lets it go on"


def test_a_process_without_a_name_is_told_by_its_number() -> None:
    """One that ended before it could be read: no gap where its name would stand."""
    assert [process_called(name, 7) for name in ("dd", "", None, 5)] == ["dd (pid 7)", *["pid 7"] * 3]
    assert called({"pid": 7}) == "pid 7"
