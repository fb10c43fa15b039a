"""What the context record measured is shown: every field of it, or its reason stands in NOT_SHOWN."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitord.capture import ProfileCaptureService, context
from monitord.capture.context_text import NOT_SHOWN, render_context
from monitord.model import CONTEXT_LABELS, CapturePlan
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the record is of /proc")
RICH: dict[str, Any] = {
    "taken_at": "2026-01-01T00:00:00+00:00", "window_s": 0.3, "cpu_percent": 12.0,
    "cut": "threads were left out to keep this record small",
    "not_readable": {"/proc/7/io": "permission denied"},
    "identity": {
        "pid": 7, "name": "app", "start_ticks": 3, "is_kernel_thread": False, "executable": "/usr/bin/app",
        "command_line": ["app"], "python": "3.11", "cwd": "/srv", "oom_score": "667",
        "namespaces": {"pid": "pid:[1]"}, "ancestors": [{"pid": 3, "name": "bash"}, {"pid": 1, "name": "init"}],
    },
    "status": {
        **dict.fromkeys(("VmPeak", "VmSize", "VmHWM", "VmRSS", "VmSwap", "RssAnon", "RssFile", "RssShmem", "HugetlbPages"), "5000 kB"),
        "State": "S (sleeping)", "Threads": "3", "TracerPid": "44", "NSpid": "7 2", "Seccomp": "2", "CapEff": "0",
        "SigCgt": "0", "SigBlk": "0", "NoNewPrivs": "1", "Uid": "0", "Gid": "0", "voluntary_ctxt_switches": "5",
        "nonvoluntary_ctxt_switches": "6", "Cpus_allowed_list": "0-1",
    },
    "memory": dict.fromkeys(context._MEMORY, "3000 kB"),
    "limits": {"Max open files": "1024", "Max processes": "5000"},
    "cgroup": {
        "paths": {"unified": "/a.service"}, "unit": "a.service", "container_id": "f" * 64,
        "limits": {
            "memory.current": "5000000", "memory.max": "6000000", "memory.high": "5500000",
            "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2", "cpu.stat": "usage_usec 7\nnr_periods 120\nnr_throttled 118",
            "cgroup.events": "populated 1\nfrozen 1",
            "cpu.max": "40000 100000", "pids.current": "8", "pids.max": "10",
            **{f"{name}.pressure": "some avg10=31.00 avg60=0.00 avg300=0.00 total=1" for name in ("cpu", "memory", "io")},
        },
    },
    "system": {
        "loadavg": "3.1 2.0 1.0 4/100 7",
        "pressure": dict.fromkeys(("cpu", "memory", "io"), "some avg10=40.10 avg60=1.0 avg300=0.1 total=5"),
        "meminfo": dict.fromkeys(["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree", "Dirty", "Writeback", "AnonPages", "Shmem", "Slab", "SUnreclaim", "Committed_AS", "HugePages_Total", "Hugetlb"], "700000 kB"),
        "arc_bytes": 9_000_000_000,
    },
    "files": {
        "count": 9000, "looked_at": 2000, "kinds": {"file": 1900, "socket": 100},
        "top_folders": {"/srv/data": 1800}, "sockets": {"established": 3, "close_wait": 40},
    },
    "io": {
        f"{name}_per_s": 5_000_000
        for name in ("rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes")
    },
    "threads": {
        "count": 3, "is_cut": True,
        "shown": [
            {"thread_id": 7, "name": "main", "state": "R", "cpu_percent": 95.0, "wchan": "0", "syscall": "running",
             "kernel_stack": []},
            {"thread_id": 8, "name": "writer", "state": "D", "cpu_percent": 0.0, "wchan": "percpu_rwsem_wait",
             "syscall": "1", "call": "write", "file": "/srv/frozen/x",
             "kernel_stack": ["[<0>] percpu_rwsem_wait+0x1/0x2", "[<0>] vfs_write+0x3/0x4"]},
        ],
    },
}  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        for name, held in value.items():
            yield from leaves(held, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, held in enumerate(value):
            yield from leaves(held, (*path, index))
    else:
        yield path


def changed(record: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    made = copy.deepcopy(record)
    held: Any = made
    for name in path[:-1]:
        held = held[name]
    old = held[path[-1]]
    if isinstance(old, bool):
        held[path[-1]] = not old
    elif isinstance(old, int | float):
        held[path[-1]] = old // 3 + 7
    elif isinstance(old, list):
        held[path[-1]] = []
    elif old.isdigit():
        held[path[-1]] = "0"
    else:
        held[path[-1]] = "" if "pressure" in path or "events" in str(path) or "stat" in str(path) else "31 x"
    return made


def spelt(path: tuple[Any, ...]) -> str:
    return ".".join(str(name) for name in path if not isinstance(name, int))


# What is counted or shown only of some of many: shown of another one, or in another place of this record.
HIDDEN_HERE = {
    "threads.shown.state", "threads.shown.wchan", "threads.shown.syscall", "threads.shown.thread_id",
    "threads.shown.cpu_percent", "threads.shown.kernel_stack",
}  # fmt: skip


@pytest.mark.parametrize("path", list(leaves(RICH)), ids=spelt)
def test_every_field_of_the_record_changes_what_is_shown_or_has_its_reason(path: tuple[Any, ...]) -> None:
    name = spelt(path)
    has_reason = any(name == one or name.startswith(f"{one}.") for one in NOT_SHOWN)
    if render_context(changed(RICH, path)) == render_context(RICH):
        assert has_reason or name in HIDDEN_HERE, f"{name} is measured, never shown"


def test_the_rich_record_has_every_field_that_a_real_one_has(targets: Targets) -> None:
    """Else a new field could be measured and never shown."""
    process = targets.python(t.PYTHON_BUSY_BESIDE_IDLE, "2")
    record = context.take(process.pid, key_of(process).start_ticks, 0.1)
    known = {spelt(path) for path in leaves(RICH)}
    open_maps = ("limits", "identity.namespaces", "cgroup.paths", "cgroup.limits", "files.kinds", "files.top_folders", "files.sockets", "not_readable")  # fmt: skip
    for path in leaves(record):
        name = spelt(path)
        assert name in known or name.startswith(open_maps) or name in NOT_SHOWN, name


def test_a_hung_writer_is_shown_with_its_path() -> None:
    said = render_context(RICH)
    assert said["waits"].startswith(
        "1 thread waits in percpu_rwsem_wait ← vfs_write, system call write, on /srv/frozen/x (state D"
    )
    assert set(said) == set(CONTEXT_LABELS)


@pytest.mark.parametrize(
    "limits",
    [
        RICH["cgroup"]["limits"],
        {
            "memory.usage_in_bytes": "5000000", "memory.limit_in_bytes": "6000000", "memory.failcnt": "3",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2", "freezer.state": "FROZEN",
            "cpu.cfs_quota_us": "40000", "cpu.cfs_period_us": "100000",
            "cpu.stat": "nr_periods 120\nnr_throttled 118\nthrottled_time 7",
        },
    ],
    ids=["version 2", "version 1"],
)  # fmt: skip
def test_what_presses_on_a_group_is_shown_alike_of_both_versions(limits: dict[str, str]) -> None:
    """Kills, failed allocations, throttled periods, the quota and that it is paused."""
    said = render_context({**RICH, "cgroup": {"limits": limits}})
    for words in (
        "memory 4.8 MiB of 5.7 MiB",
        "CPU quota 40 % of a core",
        "2 killed for lack of memory",
        "at its memory limit 3 times",
        "held back by its CPU quota in 118 of 120 periods",
    ):
        assert words in said["group"], said["group"]
    assert said["state"].startswith("its control group is frozen (a paused container)")


def test_a_group_of_version_1_without_a_limit_is_at_none() -> None:
    """Its limit is the largest number of pages, and its use that of the whole machine."""
    free = {
        "memory.usage_in_bytes": "5000000", "memory.limit_in_bytes": str(0x7FFFFFFFFFFFF000), "memory.failcnt": "0",
        "memory.oom_control": "oom_kill 0", "cpu.cfs_quota_us": "-1", "freezer.state": "THAWED",
    }  # fmt: skip
    assert set(render_context({"cgroup": {"limits": free}})) == set()


WAITS_IN_READ = """
import os, sys
os.mkfifo(sys.argv[1])
fd = os.open(sys.argv[1], os.O_RDWR)
print("ready", flush=True)
os.read(fd, 1)
"""

LEAKS_FILES = """
import sys, time
kept = [open(sys.argv[1]) for _ in range(300)]
print("ready", flush=True)
time.sleep(600)
"""


def test_where_a_real_process_waits_is_shown_with_the_file(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    fifo = targets.folder / "fifo"
    process = targets.python(WAITS_IN_READ, str(fifo))
    wait_for(lambda: b"pipe" in Path(f"/proc/{process.pid}/wchan").read_bytes(), "it to wait")
    (taken,) = service.capture(key_of(process), CapturePlan(profiler="none"), folder)
    assert "system call read" in taken.notes["waits"]
    assert str(fifo) in taken.notes["waits"]


def test_a_leak_of_files_is_shown_with_kinds_and_folders(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    script = targets.script("", "leaked.txt")
    process = targets.python(LEAKS_FILES, str(script))
    (taken,) = service.capture(key_of(process), CapturePlan(profiler="none"), folder)
    files = taken.notes["files"]
    assert f"300 in {targets.folder}" in files
    assert " file" in files
    assert str(os.sysconf("SC_OPEN_MAX")) in files or " of " in files
