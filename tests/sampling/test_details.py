"""Who a suspect is: the same answer by both ways, hostile arguments kept whole, never somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.model import Demand, ProcessKey
from monitord.procfs import memory_of
from monitord.sampling import Sampler, key_of
from monitord.sampling import details as room

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="compares both ways on Linux")

SLEEP = "import time; print('ready'); time.sleep(300)"


def test_both_ways_tell_the_same(start: Callable[..., subprocess.Popen[str]]) -> None:
    child = start(SLEEP, "one", "two words", "--token=abcdef0123456789")
    key = key_of(child.pid)
    assert key is not None
    by_proc, by_psutil = room._from_proc(key), room._from_psutil(key)
    assert by_proc is not None
    assert by_psutil is not None
    assert abs(by_proc.started_at - by_psutil.started_at).total_seconds() < 2
    unlike = {"started_at": by_proc.started_at, "cgroup": by_proc.cgroup, "unit": by_proc.unit}
    assert replace(by_psutil, **unlike, container_id=by_proc.container_id) == by_proc


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([b"sleep", b"300"], ("sleep", "300")),
        ([b"\xff\n=1+1\x1b[2J", b"300"], (os.fsdecode(b"\xff\n=1+1\x1b[2J"), "300")),
        ([b"", b"300"], ("", "300")),
    ],
)
def test_arguments_are_kept_whole(
    argv: list[bytes], expected: tuple[str, ...], until: Callable[..., object]
) -> None:
    """(Between the exec and the moment when the kernel knows the arguments there are none.)"""
    child = subprocess.Popen(argv, executable="/bin/sleep")
    try:
        key = key_of(child.pid)
        assert key is not None
        until(lambda: (seen := room.details(key)) is not None and seen.command_line)
        found = room.details(key)
        assert found is not None
        assert found.command_line == expected
    finally:
        child.kill()
        child.wait()


def test_a_huge_command_line_is_cut(start: Callable[..., subprocess.Popen[str]]) -> None:
    child = start(SLEEP, "x" * 120_000)
    key = key_of(child.pid)
    assert key is not None
    found = room.details(key)
    assert found is not None
    assert sum(len(argument) for argument in found.command_line) < 5000


def test_a_zombie_still_has_a_name_and_no_program(until: Callable[..., object]) -> None:
    child = subprocess.Popen(["/bin/true"])
    key = key_of(child.pid)
    assert key is not None
    until(lambda: (seen := room.details(key)) is not None and seen.executable is None)
    found = room.details(key)
    assert found is not None
    assert found.command_line == ()
    child.wait()
    assert room.details(key) is None
    assert room._from_psutil(key) is None


def test_somebody_elses_number_is_nobody(start: Callable[..., subprocess.Popen[str]]) -> None:
    key = key_of(start(SLEEP).pid)
    assert key is not None
    other = ProcessKey(key.pid, key.start_ticks + 1)
    assert room.details(other) is None
    assert room._from_psutil(other) is None


def test_an_unknown_uid_is_shown_as_its_number() -> None:
    assert room.user_name(0) == "root"
    assert room.user_name(4_000_000_000) == "4000000000"
    assert room.user_name(None) is None


@pytest.mark.root
def test_a_unit_is_read_from_the_cgroup_that_the_process_is_in(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    """A group named as systemd would name it, made by hand, because no systemd runs in a test container."""
    root = next(
        (
            path
            for path in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup")
            if Path(path, "cgroup.procs").exists()
        ),
        None,
    )
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no writable cgroup hierarchy here: run where /sys/fs/cgroup can be written")
    child = start(SLEEP)
    group = Path(root, f"monitord-test-{child.pid}.service")
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(child.pid))
        key = key_of(child.pid)
        assert key is not None
        found = room.details(key)
        assert found is not None
        assert found.unit == room.unit_of(child.pid) == group.name
        sampler = Sampler()
        rates = sampler.look(Demand(needs_unit=True))
        assert next(one.unit for one in rates.processes if one.key == key) == group.name
        sampler.close()
    finally:
        child.kill()
        child.wait()
        group.rmdir()


def test_details_through_the_sampler(start: Callable[..., subprocess.Popen[str]]) -> None:
    sampler = Sampler()
    key = key_of(start(SLEEP).pid)
    assert key is not None
    through_the_front, directly = sampler.details(key), room.details(key)
    assert through_the_front is not None
    assert directly is not None
    assert replace(through_the_front, started_at=directly.started_at) == directly
    sampler.close()


MAIN_THREAD_ENDS = """
import ctypes, threading, time
held = bytearray(64 << 20)
def go_on():
    print("ready", flush=True)
    while True: held[0] ^= 1
threading.Thread(target=go_on, daemon=False).start()
ctypes.CDLL(None).syscall(60 if __import__("platform").machine() == "x86_64" else 93, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads that outlive the first are Linux's")
def test_a_process_whose_main_thread_has_ended_is_told_by_another(
    start: Callable[..., subprocess.Popen[str]], until: Callable[..., object]
) -> None:
    """Program, command line and memory are there as before."""
    child = start(MAIN_THREAD_ENDS)
    stat = Path(f"/proc/{child.pid}/stat")
    until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "Z")
    key = key_of(child.pid)
    assert key is not None
    found = room.details(key)
    assert found is not None
    assert found.executable == str(Path("/proc/self/exe").readlink())
    assert found.command_line[1:3] == ("-u", "-c")
    memory = memory_of(child.pid)
    assert memory is not None
    assert memory[0] > 64 << 20
