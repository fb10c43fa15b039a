"""What a control group allows its processes counts: quota and throttling, memory, frozen; both versions."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.model import Demand, ProcessKey, ProcessRates
from monitord.sampling import Sampler
from monitord.sampling.groups import Groups, memory_limit_bytes, mounts, quota_percent, throttled_s

RAM = 8 << 30
V2 = {"cpu.max": "40000 100000\n", "memory.max": "125829120\n", "cgroup.events": "populated 1\nfrozen 1\n"}
V1 = {
    "cpu.cfs_quota_us": "40000\n",
    "cpu.cfs_period_us": "100000\n",
    "memory.limit_in_bytes": "125829120\n",
    "freezer.state": "FROZEN\n",
}
FREE_V2 = {"cpu.max": "max 100000\n", "memory.max": "max\n", "cgroup.events": "populated 1\nfrozen 0\n"}
FREE_V1 = {
    "cpu.cfs_quota_us": "-1\n",
    "cpu.cfs_period_us": "100000\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "freezer.state": "THAWED\n",
}


def busy(pid: int = 4711, **changes: object) -> ProcessRates:
    values: dict[str, object] = {
        "key": ProcessKey(pid, 1), "name": "x", "parent_pid": 1, "state": "R", "uid": 0, "cpu_percent": 39.0,
        "rss_bytes": 100 << 20, "thread_count": 1,
    }  # fmt: skip
    return ProcessRates(**{**values, **changes})  # type: ignore[arg-type]


def machine(tmp_path: Path, version: int, files: dict[str, str], depth: str = "/docker/abc") -> Path:
    """A /proc with one process in a group, and the groups' file system."""
    fs, proc = tmp_path / "fs", tmp_path / "proc"
    folder = Path(f"{fs}{depth}")
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    (proc / "self").mkdir(parents=True)
    (proc / "4711").mkdir()
    if version == 2:
        info, own = f"31 23 0:28 / {fs} rw - cgroup2 cgroup2 rw\n", f"0::{depth}/inner\n"
    else:
        info = "".join(
            f"31 23 0:28 / {fs} rw - cgroup cgroup rw,{name}\n"
            for name in ("cpu,cpuacct", "memory", "freezer")
        )
        own = f"4:freezer:{depth}\n3:cpu,cpuacct:{depth}/inner\n2:memory:{depth}\n0::/\n"
    (proc / "self/mountinfo").write_text(info)
    (proc / "4711/cgroup").write_text(own)
    return proc


@pytest.mark.parametrize(("version", "files"), [(1, V1), (2, V2)])
def test_the_limits_of_a_group_above_count_too(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    """The process lies in a group within the limited one."""
    groups = Groups(str(machine(tmp_path, version, files)))
    (seen,) = groups.with_limits((busy(),), RAM)
    assert (seen.cpu_limit_percent, seen.memory_limit_bytes) == (40.0, 120 << 20)
    assert groups.is_frozen(4711)


@pytest.mark.parametrize(("version", "files"), [(1, FREE_V1), (2, FREE_V2), (1, {}), (2, {})])
def test_without_a_limit_nothing_is_said(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    """Neither "max", nor more than the machine has, nor a file that is not there is a limit."""
    groups = Groups(str(machine(tmp_path, version, files)))
    one = busy()
    assert groups.with_limits((one,), RAM) == (one,)
    assert not groups.is_frozen(4711)


def test_who_is_in_no_group_or_too_small_is_not_asked(tmp_path: Path) -> None:
    """A machine without control groups, and a process that does nothing."""
    small = busy(cpu_percent=0.1, rss_bytes=1 << 20)
    assert Groups(str(machine(tmp_path, 2, V2))).with_limits((small,), RAM) == (small,)
    assert Groups(str(tmp_path / "none")).with_limits((busy(),), RAM) == (busy(),)


@pytest.mark.parametrize("text", ["", "x y", "-1 100000", "40000 0", "max"])
def test_a_quota_that_is_none_or_makes_no_sense_is_no_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    (tmp_path / "memory.max").write_text(text)
    (tmp_path / "cpu.stat").write_text(text)
    assert quota_percent(str(tmp_path)) is None
    assert memory_limit_bytes(str(tmp_path)) is None
    assert throttled_s(str(tmp_path)) == 0.0


def test_a_container_sees_its_own_group_as_the_root() -> None:
    """The mounted group's path is taken off."""
    mount = mounts("1 2 0:1 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n")[""]
    assert mount.folders("/docker/abc/job") == ["/sys/fs/cgroup/job"]


@pytest.fixture
def quota() -> Iterator[Path]:
    """A real group that may use 30 % of a core."""
    folder = Path("/sys/fs/cgroup/cpu", f"monitord-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "cpu.cfs_quota_us").write_text("30000")
    except OSError as error:
        pytest.skip(f"no CPU group of version 1 can be made: {error}")
    yield folder
    deadline = time.monotonic() + 20
    while (folder / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    folder.rmdir()


def test_a_burner_within_a_quota_wants_the_whole_core(
    quota: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Used and held back (or, on a crowded machine, waited for) come near a core; it never used more than its part."""
    child = start(
        "print('ready')\nimport time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    )
    (quota / "cgroup.procs").write_text(str(child.pid))
    sampler, demand = Sampler(heartbeat_s=0.0), Demand(cpu_percent=90.0)
    deadline, wanted = time.monotonic() + 40, 0.0
    while wanted < 80 and time.monotonic() < deadline:
        time.sleep(1.0)
        for one in sampler.look(demand).processes:
            if one.key.pid == child.pid and one.cpu_limit_percent and (one.cpu_percent or 100) < 45:
                wanted = one.wanted_cpu_percent or 0.0
                assert one.cpu_limit_percent == 30.0
    sampler.close()
    child.kill()
    child.wait()
    assert wanted >= 80
