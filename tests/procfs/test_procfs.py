"""What /proc says, compared with what the kernel and the standard library say of the same process."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from pathlib import Path

import pytest

from monitord import procfs
from monitord.procfs.maps import mappings
from monitord.procfs.mounts import mount_points

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
LINE = b"7 (%s) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 3 0 5000 9000000 300 " + b"1 " * 28


@pytest.mark.parametrize("name", [b"a", b"a b", b"a) S 1 1 (", b"))", b"(((", b"\n", b"\xff\xfe", b""])
def test_no_name_moves_the_fields_behind_it(name: bytes) -> None:
    """By every reader of a stat line, whole or cut where a pass cuts it."""
    line = LINE % name
    stat = procfs.parse_stat(line)
    assert (os.fsencode(stat.name), stat.state, stat.parent_pid, stat.thread_count) == (name, "S", 1, 3)
    assert (stat.cpu_ticks, stat.start_ticks) == (42, 5000)
    assert procfs.start_ticks(line) == 5000
    assert procfs.split_stat(line, 22)[1][21] == b"300"


def test_of_this_process_it_says_what_the_system_calls_say() -> None:
    own = os.getpid()
    stat = procfs.stat_of(own)
    assert stat is not None
    assert (stat.parent_pid, stat.start_ticks) == (os.getppid(), procfs.key_of(own).start_ticks)  # type: ignore[union-attr]  # we live
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert abs(stat.cpu_ticks / procfs.TICKS_PER_S - used.ru_utime - used.ru_stime) < 1
    assert procfs.image_of(own) == stat.image
    assert threading.get_native_id() in procfs.threads(own)
    assert procfs.stat_of(own, threading.get_native_id()) is not None
    assert own in procfs.pids()
    assert procfs.status_of(own)["Uid"].split()[0] == str(os.getuid())
    assert 0 <= procfs.age_s(stat.start_ticks) < time.clock_gettime(time.CLOCK_BOOTTIME)
    assert procfs.arguments(procfs.read(procfs.path(own, "cmdline"))) == tuple(sys.orig_argv)
    assert procfs.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_nobody_is_none_by_every_reader() -> None:
    gone = 2**22 + 5
    readers = (procfs.stat_of, procfs.key_of, procfs.image_of, procfs.memory_of, procfs.count_descriptors)
    assert [read(gone) for read in readers] == [None] * len(readers)
    assert procfs.status_of(gone).get("Uid") is None
    assert procfs.text(procfs.path(gone, "cgroup")) == ""
    assert procfs.huge_bytes_of(gone) == 0


def test_mappings_and_mounts_are_those_that_the_kernel_checks_itself() -> None:
    """The executable is mapped with its own inode; every mount point's device is that of its folder, or hidden."""
    maps = list(mappings(procfs.read(procfs.path(os.getpid(), "maps"), 1 << 21)))
    status = Path("/proc/self/exe").stat()
    mine = [one for one in maps if one.inode == status.st_ino]
    assert any(one.is_code for one in mine)
    assert min(mine, key=lambda one: one.begin).offset == 0
    root = [one for one in mount_points(procfs.text("/proc/self/mountinfo", 1 << 18)) if one.point == "/"]
    assert Path("/").stat().st_dev in {one.device for one in root}


@pytest.mark.parametrize("line", ["", "1 2 3", "a b c:d / / rw - ext4 x rw", "1 2 0:1 / /x rw - ext4"])
def test_a_mount_that_makes_no_sense_is_left_out(line: str) -> None:
    assert list(mount_points(f"{line}\n{line}")) == []
