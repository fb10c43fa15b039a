"""The groups of a target are read where they are mounted; a paused process is not attached to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from monitord.capture.context_system import limits
from monitord.procfs.cgroups import is_frozen

HIERARCHIES = {
    "memory": ("memory.limit_in_bytes", str(96 << 20)),
    "cpu": ("cpu.cfs_quota_us", "40000"),
    "freezer": ("freezer.state", "THAWED"),
}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process in limited groups of version 1, which can be frozen."""
    with ExitStack() as cleanup:
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        for controller, (name, value) in HIERARCHIES.items():
            folder = Path("/sys/fs/cgroup", controller, f"monitord-test-{os.getpid()}")
            try:
                folder.mkdir()
                cleanup.callback(folder.rmdir)
                (folder / name).write_text(value)
                (folder / "cgroup.procs").write_text(str(process.pid))
            except OSError as error:
                process.kill()
                process.wait()
                pytest.skip(f"no group of version 1 can be made: {error}")
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        cleanup.callback(freeze, process, "THAWED")
        yield process


def freeze(process: subprocess.Popen[bytes], state: str) -> None:
    Path("/sys/fs/cgroup/freezer", f"monitord-test-{os.getpid()}", "freezer.state").write_text(state)


def test_limits_and_counters_of_each_hierarchy_are_read(sleeper: subprocess.Popen[bytes]) -> None:
    """By the group of that hierarchy, not by one path for all."""
    found = limits(Path(f"/proc/{sleeper.pid}/cgroup").read_text())
    assert found["memory.limit_in_bytes"] == str(96 << 20)
    assert found["cpu.cfs_quota_us"] == "40000"
    assert "oom_kill 0" in found["memory.oom_control"]
    assert "nr_throttled" in found["cpu.stat"]


def test_a_frozen_process_is_known_until_it_is_thawed(sleeper: subprocess.Popen[bytes]) -> None:
    """A profiler would wait for it until its time is up."""
    assert not is_frozen(sleeper.pid)
    freeze(sleeper, "FROZEN")
    assert is_frozen(sleeper.pid)
    freeze(sleeper, "THAWED")
    assert not is_frozen(sleeper.pid)


@pytest.mark.parametrize(
    "memberships", ["", "nonsense", "4:memory:/../outside\n", "0::/../../x\n", "9:memory:/gone\n"]
)
def test_a_group_that_is_not_to_be_seen_has_no_limits(memberships: str) -> None:
    """Another namespace's, a removed one, or text that makes no sense."""
    assert not [name for name in limits(memberships) if name.startswith("memory")]


def test_nobody_is_not_frozen() -> None:
    assert not is_frozen(2**22 + 5)
