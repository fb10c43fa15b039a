"""Standing by under Scalene: switched on and off by signals that would kill anybody else; so nobody else
gets one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitord import procfs
from monitord.capture import Consent, ProfileCaptureService
from monitord.capture.target import Target, start_of
from monitord.model import Capture, CapturePlan, CaptureStatus, ProcessKey
from monitord.scripts.profiler import StandbyProfiler
from monitord.scripts.registry import StandbyRegistry
from monitord.scripts.standby import Standby, find_standby, switch, why_not
from monitord.storage.state import open_state
from tests.scripts.conftest import wait_for

PHASES = """
import os, sys, time
def first_phase():
    total = 0
    for number in range(20000):
        total += number * number
    return total
def second_phase():
    text = ""
    for number in range(5000):
        text += str(number)
    return text
print("ready", flush=True)
while True:
    if os.path.exists("become"):
        os.execv(sys.argv[2], [sys.argv[2], "bystander.py", "-m", "scalene", "run", "-o", sys.argv[1]])
    second_phase() if os.path.exists("second") else first_phase()
"""
BYSTANDER = """
import faulthandler
faulthandler.enable()  # it catches both signals, and dies of either
def bystanding():
    return sum(number * number for number in range(20000))
print("bystanding", flush=True)
while True:
    bystanding()
"""
PLAN = CapturePlan(duration_s=1.5)
_CAUGHT = 1 << (signal.SIGILL - 1) | 1 << (signal.SIGBUS - 1)


class Programs:
    """Real processes in one folder, ended with their children at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "data" / "standby" / "abc123"
        self.store.mkdir(parents=True)
        (folder / "phases.py").write_text(PHASES)
        (folder / "bystander.py").write_text(BYSTANDER)
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=self.folder, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TMPDIR": str(self.folder)}, start_new_session=True,
        )  # fmt: skip
        self._started.append(process)
        assert process.stdout is not None
        while "ready" not in (line := process.stdout.readline()) and line:
            if "bystanding" in line:
                break
        return process

    def bystander(self) -> ProcessKey:
        return key_of(self.start("bystander.py").pid)

    def standby(self) -> Standby:
        """A program under Scalene, switched off, as `monitord profile --standby` starts it."""
        profile = str(self.store / "profile.json")
        launcher = self.start(
            *(
                "-m",
                "scalene",
                "run",
                "--cpu-only",
                "--off",
                "-o",
                profile,
                "phases.py",
                "---",
                profile,
                sys.executable,
            )
        )
        found: list[Standby] = []

        def has_come() -> bool:
            one = find_standby(launcher.pid, self.store, str(self.folder), "phases.py", "2.4.0")
            found.extend([one] if one else [])
            return bool(found)

        wait_for(has_come, "Scalene's process")
        return found[0]

    def end(self) -> None:
        for process in self._started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.communicate()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    made = Programs(tmp_path)
    yield made
    made.end()


def key_of(pid: int) -> ProcessKey:
    start = start_of(pid)
    assert start is not None
    return ProcessKey(pid, start)


def capture(standby: Standby, target: ProcessKey, folder: Path) -> list[Capture]:
    """What the daemon's worker does when an alert names this process."""
    service = ProfileCaptureService(Consent(), own_profiler=lambda _key: StandbyProfiler(standby))
    folder.mkdir(0o700, exist_ok=True)
    return service.capture(target, PLAN, folder)


def profiles_of(captures: list[Capture]) -> dict[str, Capture]:
    return {capture.profiler: capture for capture in captures if capture.role == "profile"}


def lives(key: ProcessKey) -> bool:
    stat = procfs.stat_of(key.pid)
    return stat is not None and stat.start_ticks == key.start_ticks and stat.state not in "ZX"


# ------------------------------------------------------------------------------ who is switched on


def test_a_standby_process_is_switched_on_off_and_read(programs: Programs, tmp_path: Path) -> None:
    """The guilty function and line, by Scalene, without py-spy; it lives on, and Scalene is off again."""
    standby = programs.standby()
    found = profiles_of(capture(standby, standby.key, tmp_path / "spool"))
    assert list(found) == ["scalene"], found
    one = found["scalene"]
    assert one.status is CaptureStatus.OK, one.reason
    assert one.hotspots[0].function == "first_phase"
    assert one.hotspots[0].line in (5, 6)
    assert one.hotspots[0].source_line
    assert one.hotspots[0].file == f"{tmp_path.name}/phases.py"
    assert one.path is not None
    assert str(tmp_path) not in one.path.read_text()
    assert lives(standby.key)
    assert not _timer_runs(standby.key.pid, standby)


def _timer_runs(pid: int, standby: Standby) -> bool:
    """Whether it still samples: a second reading of its file after a while has more samples than the
    first.
    """
    before = standby.profile.stat().st_mtime_ns
    with Target(standby.key) as target:
        counts = []
        for _ in range(2):
            stamp = standby.profile.stat().st_mtime_ns
            assert switch(standby, target, on=False) is None
            wait_for(lambda stamp=stamp: standby.profile.stat().st_mtime_ns != stamp or _nudge(standby), "it")
            wait_for(lambda: _samples(standby) is not None, "whole JSON")
            counts.append(_samples(standby))
    assert before
    return counts[0] != counts[1]


def _nudge(standby: Standby) -> bool:
    with Target(standby.key) as target:
        switch(standby, target, on=False)
    return False


def _samples(standby: Standby) -> int | None:
    try:
        return sum(seen["count"] for _words, seen in json.loads(standby.profile.read_text())["stacks"])
    except (ValueError, KeyError):
        return None


def test_a_later_capture_tells_only_what_is_new(programs: Programs, tmp_path: Path) -> None:
    """Scalene adds up over the process's life; the second capture shows the second phase alone."""
    standby = programs.standby()
    first = profiles_of(capture(standby, standby.key, tmp_path / "spool"))["scalene"]
    (tmp_path / "second").touch()
    second = profiles_of(capture(standby, standby.key, tmp_path / "again"))["scalene"]
    assert first.status is second.status is CaptureStatus.OK, (first.reason, second.reason)
    assert second.hotspots[0].function == "second_phase"
    shares = {spot.function: spot.self_share for spot in second.hotspots}
    assert shares.get("first_phase", 0.0) < 0.2


# ------------------------------------------------------------------------- who must never be signalled


def spared(programs: Programs, standby: Standby, target: ProcessKey, folder: Path) -> None:
    """The process gets no signal, lives on, and has the ordinary ladder's profile."""
    with Target(target) as opened:
        assert switch(standby, opened, on=True) is not None
        assert switch(standby, opened, on=False) is not None
    found = profiles_of(capture(standby, target, folder))
    assert found["scalene"].status is CaptureStatus.REFUSED
    assert found["py-spy"].status is CaptureStatus.OK, found["py-spy"].reason
    assert lives(target)


def test_a_bystander_that_was_registered_by_mistake_survives(programs: Programs, tmp_path: Path) -> None:
    """It even catches both signals; everything in the registration but the command line fits."""
    key = programs.bystander()
    stat = procfs.stat_of(key.pid)
    assert stat is not None
    assert int(procfs.status_of(key.pid)["SigCgt"], 16) & _CAUGHT == _CAUGHT
    wrong = Standby(key, key_of(stat.parent_pid), stat.image, programs.store, str(tmp_path), "x")
    spared(programs, wrong, key, tmp_path / "spool")


def test_a_process_that_took_the_pid_survives(programs: Programs, tmp_path: Path) -> None:
    """The registration names its pid and another start time, or its pid with all of another's facts."""
    standby, key = programs.standby(), programs.bystander()
    for wrong in (
        replace(standby, key=key),
        replace(standby, key=ProcessKey(key.pid, standby.key.start_ticks)),
        standby,
    ):
        spared(programs, wrong, key, tmp_path / "spool")


def test_a_process_that_executed_another_program_survives(programs: Programs, tmp_path: Path) -> None:
    """Same pid, same start, same parent, and a command line that looks right: the image tells."""
    standby = programs.standby()
    (tmp_path / "become").touch()
    wait_for(lambda: "bystander.py" in _command_line(standby.key.pid), "it to become another program")
    wait_for(
        lambda: int(procfs.status_of(standby.key.pid)["SigCgt"], 16) & _CAUGHT == _CAUGHT, "its handlers"
    )
    assert start_of(standby.key.pid) == standby.key.start_ticks
    spared(programs, standby, standby.key, tmp_path / "spool")


def _command_line(pid: int) -> str:
    return procfs.read(f"/proc/{pid}/cmdline").decode(errors="replace")


def test_the_launcher_is_not_signalled(programs: Programs, tmp_path: Path) -> None:
    """It has the same command line and catches both signals, and would do nothing with them."""
    standby = programs.standby()
    stat = procfs.stat_of(standby.launcher.pid)
    assert stat is not None
    wrong = replace(standby, key=standby.launcher, launcher=key_of(stat.parent_pid), image=stat.image)
    with Target(standby.launcher) as target:
        assert switch(wrong, target, on=True) is not None


def test_without_its_launcher_nothing_is_sent(programs: Programs, tmp_path: Path) -> None:
    """Who lost its parent is not known well enough any more."""
    standby = programs.standby()
    os.kill(standby.launcher.pid, signal.SIGKILL)
    wait_for(lambda: not lives(standby.launcher), "the launcher to be gone")
    with Target(standby.key) as target:
        assert why_not(standby, target) is not None
        assert switch(standby, target, on=True) is not None
    os.kill(standby.key.pid, signal.SIGKILL)


def test_a_process_that_ended_gets_nothing(programs: Programs, tmp_path: Path) -> None:
    """Its pidfd is asked last."""
    standby = programs.standby()
    with Target(standby.key) as target:
        os.kill(standby.key.pid, signal.SIGKILL)
        wait_for(lambda: not lives(standby.key), "its end")
        assert switch(standby, target, on=True) is not None


# ------------------------------------------------------------------------------------ the registry


def test_the_registry_finds_by_pid_and_start_and_forgets_the_gone(programs: Programs, tmp_path: Path) -> None:
    """A process that has ended is struck out, and the folder it left is removed, when the next one comes."""
    state = open_state("memory://")
    registry = StandbyRegistry(state, tmp_path / "data")
    standby = programs.standby()
    registry.register(standby)
    assert registry.find(standby.key) == standby
    assert registry.find(ProcessKey(standby.key.pid, 1)) is None
    fresh = registry.new_folder()
    assert fresh.stat().st_mode & 0o777 == 0o700
    assert registry.find(standby.key) == standby, "who lives is not forgotten"
    os.kill(standby.key.pid, signal.SIGKILL)
    wait_for(lambda: not lives(standby.key), "its end")
    os.waitpid  # noqa: B018  its launcher collects it
    wait_for(lambda: start_of(standby.key.pid) is None, "its launcher to collect it")
    registry.new_folder()
    assert registry.find(standby.key) is None
    assert not standby.folder.exists()


@pytest.mark.parametrize("folder", ["../../etc", "/etc", "..", "a/b", "", "A", "x" * 50])
def test_a_registration_that_leads_elsewhere_is_none(tmp_path: Path, folder: str) -> None:
    """What stands in the database is checked like anything else that was read."""
    state = open_state("memory://")
    key = key_of(os.getpid())
    value = {
        "pid": key.pid, "start_ticks": key.start_ticks, "launcher_pid": 1, "launcher_start_ticks": 1,
        "image": [1, 1], "folder": folder, "root": "/", "script": "x", "scalene_version": "2.4.0",
    }  # fmt: skip
    state.set(f"profile.standby.{key.pid}.{key.start_ticks}", json.dumps(value).encode())
    assert StandbyRegistry(state, tmp_path).find(key) is None
