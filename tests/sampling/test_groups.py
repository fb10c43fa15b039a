"""What a control group allows its processes counts: quota and throttling, memory, frozen; both versions."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.model import Demand, ProcessKey, ProcessRates
from monitord.procfs import huge_bytes_of, uptime_s
from monitord.sampling import Sampler
from monitord.sampling.groups import (
    MAX_ASKED,
    GroupKills,
    Groups,
    kills_in,
    memory_limit_bytes,
    quota_percent,
    throttled_s,
)
from tests.patience import PATIENCE_S
from tests.sampling.limited_groups import cpu_group

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


KILLS = {1: ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
         2: ("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill {}\noom_group_kill 0\n")}  # fmt: skip


def kill(proc: Path, version: int, count: int, depth: str = "/docker/abc") -> None:
    """The group's counter stands at this; in version 2 the process lies in a group within."""
    name, text = KILLS[version]
    folder = Path(f"{proc.parent}/fs{depth}" + ("/inner" if version == 2 else ""))
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text.format(count))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("machine_kills", [1, None], ids=["counted by the machine", "by the group alone"])
def test_a_kill_in_a_group_is_counted_once_with_its_group(
    tmp_path: Path, version: int, machine_kills: int | None
) -> None:
    """What it had counted before it was met is nobody's; where the machine has no counter the groups have."""
    proc = machine(tmp_path, version, V1 if version == 1 else V2)
    kill(proc, version, 7)
    groups, kills = Groups(str(proc)), GroupKills()
    (seen,) = groups.with_limits((busy(),), RAM)
    kills.watch(groups.of_memory())
    name = "/docker/abc" if version == 1 else "/docker/abc/inner"
    assert seen.memory_group == name
    assert kills.since(machine_kills and 0) == (0, {})
    kill(proc, version, 8)
    assert kills.since(machine_kills) == (1, {name: 1})
    assert kills.since(machine_kills and 0) == (0, {})


def test_a_kill_that_came_between_two_counters_is_told_once(tmp_path: Path) -> None:
    """The group has counted two when the machine had counted one: the other is the next pass's."""
    proc = machine(tmp_path, 2, V2)
    kill(proc, 2, 0)
    groups, kills = Groups(str(proc)), GroupKills()
    groups.with_limits((busy(),), RAM)
    kills.watch(groups.of_memory())
    kill(proc, 2, 2)
    assert [kills.since(1), kills.since(1), kills.since(1)] == [
        (1, {"/docker/abc/inner": 1}), (1, {"/docker/abc/inner": 1}), (1, {}),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "oom_kill", "oom_kill x", "oom_kill -1", "\0\xff"])
def test_a_group_that_counts_nothing_is_unknown(tmp_path: Path, text: str) -> None:
    (tmp_path / "memory.events").write_text(text)
    assert kills_in(str(tmp_path)) is None
    kills = GroupKills()
    kills.watch({(str(tmp_path), "/x")})
    assert kills.since(None) == (None, {})
    assert kills.since(2) == (2, {})


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


def test_the_members_of_a_group_are_asked_for_their_limits_once(tmp_path: Path) -> None:
    """Hundreds of workers in one container cost one look at its limits a minute."""
    proc = machine(tmp_path, 2, V2)
    workers = tuple(busy(pid) for pid in range(4711, 4761))
    for worker in workers[1:]:
        (proc / str(worker.key.pid)).mkdir()
        (proc / str(worker.key.pid) / "cgroup").write_text((proc / "4711/cgroup").read_text())
    opened: list[str] = []
    sys.addaudithook(lambda event, words: opened.append(str(words[0])) if event == "open" else None)
    groups = Groups(str(proc))
    seen = groups.with_limits(workers, RAM)
    assert {one.memory_limit_bytes for one in seen} == {120 << 20}
    assert len([path for path in opened if path.endswith("/abc/memory.max")]) == 1
    opened.clear()
    groups.with_limits(workers, RAM)
    assert [path for path in opened if "memory.max" in path or path.endswith("/cgroup")] == []


def test_on_a_full_machine_everybody_is_asked_after_some_passes(tmp_path: Path) -> None:
    """So many are new to a pass that one is not enough; who is known keeps its limit."""
    proc = machine(tmp_path, 2, V2)
    workers = tuple(busy(pid) for pid in range(4711, 4711 + 2 * MAX_ASKED))
    for worker in workers[1:]:
        (proc / str(worker.key.pid)).mkdir()
        (proc / str(worker.key.pid) / "cgroup").write_text((proc / "4711/cgroup").read_text())
    groups = Groups(str(proc))
    limited = [
        sum(one.memory_limit_bytes is not None for one in groups.with_limits(workers, RAM)) for _ in "ab"
    ]
    assert limited == [MAX_ASKED, 2 * MAX_ASKED]


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


@pytest.fixture
def quota() -> Iterator[Path]:
    """A real group that may use 30 % of a core."""
    with cpu_group(30) as folder:
        yield folder


def test_a_burner_within_a_quota_wants_the_whole_core(
    quota: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Used and held back (or, on a crowded machine, waited for) come near a core; it never used more than its part."""
    child = start(
        "print('ready')\nimport time\nend = time.monotonic() + 300\nwhile time.monotonic() < end: pass"
    )
    (quota / "cgroup.procs").write_text(str(child.pid))
    sampler, demand = Sampler(heartbeat_s=0.0), Demand(cpu_percent=90.0)
    deadline, wanted = time.monotonic() + PATIENCE_S, 0.0
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


def test_huge_pages_count_as_memory_where_the_machine_has_any(tmp_path: Path) -> None:
    """No resident set holds them: 200 MB showed as 9."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7/status").write_text(
        "Name:\tx\nVmRSS:\t 9000 kB\nHugetlbPages:\t  204800 kB\nThreads:\t1\n"
    )
    assert huge_bytes_of(7, str(tmp_path)) == 200 << 20
    (tmp_path / "7/status").write_text("Name:\tx\nHugetlbPages:\t\n")
    assert huge_bytes_of(7, str(tmp_path)) == huge_bytes_of(8, str(tmp_path)) == 0


HOLDS_HUGE_PAGES = """
import mmap, sys
MAP_HUGETLB = 0x40000
held = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
held.write(b"x" * (32 << 20))
print("ready", flush=True)
sys.stdin.readline()
"""
POOL = Path("/proc/sys/vm/nr_hugepages")


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """A pool of a few huge pages, as it was before in the end."""
    try:
        before = POOL.read_text()
        POOL.write_text(str(int(before) + 20))
    except OSError as error:
        pytest.skip(f"no huge pages can be reserved: {error}")
    try:
        if int(POOL.read_text()) < int(before) + 16:
            pytest.skip("needs more memory in one piece, for huge pages")
        yield
    finally:
        POOL.write_text(before)


@pytest.mark.usefixtures("huge_pages")
def test_a_process_that_lives_in_huge_pages_is_as_large_as_it_is() -> None:
    """32 MiB of them are in its memory, of a suspect and of others alike."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_HUGE_PAGES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    sampler = Sampler(heartbeat_s=0.0)
    try:
        assert process.stdout.readline() == b"ready\n"
        sizes = []
        for demand in (Demand(), Demand(rss_bytes=0)):
            sizes += [one.rss_bytes for one in sampler.look(demand).processes if one.key.pid == process.pid]
    finally:
        process.communicate(b"\n")
        sampler.close()
    assert sizes
    assert min(sizes) >= 32 << 20


def test_a_young_process_is_asked_for_its_group_each_time_and_an_old_one_once_a_minute(
    tmp_path: Path,
) -> None:
    """A manager moves a process to its unit after it has started; who lasts stays where they are."""
    proc = machine(tmp_path, 2, FREE_V2)
    told = proc / "4711/cgroup"
    young, old = ProcessKey(4711, int(uptime_s() * os.sysconf("SC_CLK_TCK"))), ProcessKey(4711, 1)
    groups = Groups(root=str(proc))
    told.write_text("0::/session-1.scope\n")
    assert groups.unit_of(young) == groups.unit_of(old) == "session-1.scope"
    told.write_text("0::/run-7.scope\n")
    assert (groups.unit_of(young), groups.unit_of(old)) == ("run-7.scope", "session-1.scope")


def test_a_group_that_could_not_be_read_is_asked_for_again(tmp_path: Path) -> None:
    """A moment without descriptors is no minute without units."""
    proc = machine(tmp_path, 2, V2)
    told = proc / "4711/cgroup"
    text = told.read_text()
    told.unlink()
    groups, key = Groups(root=str(proc)), ProcessKey(4711, 1)
    assert groups.unit_of(key) is None
    assert groups.with_limits((busy(),), RAM)[0].cpu_limit_percent is None
    told.write_text(text.replace("/docker/abc/inner", "/docker/abc/x.service"))
    assert groups.unit_of(key) == "x.service"
    assert groups.with_limits((busy(),), RAM)[0].cpu_limit_percent is not None
