"""What an incident was about is found again: the very process, or the newest of the same program; nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monitord.actions.again import SameProgram, capture_again, find_again
from monitord.actions.capturing import CaptureRequest, capture_now
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError, UsageError
from monitord.model import ProcessKey, ProfileRecord, TriggerMetric
from monitord.procfs import boot_id, key_of
from monitord.sampling.details import details
from monitord.storage import open_store
from tests.cli.conftest import make_incident
from tests.patience import PATIENCE_S

SLEEPS = """
import os, sys
if "RUN_AS" in os.environ:
    os.setuid(int(os.environ["RUN_AS"]))
print(flush=True)
sys.stdin.read()
"""


class Program:
    """A script of a name of its own, which can run several times."""

    def __init__(self, folder: Path, name: str) -> None:
        self._script = folder / name
        self._script.write_text(SLEEPS)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, user: int | None = None) -> ProfileRecord:
        """Start it, and return the record of an incident about it."""
        words = [sys.executable, str(self._script)]
        environment = os.environ if user is None else os.environ | {"RUN_AS": str(user)}
        self.started.append(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        )
        pid = self.started[-1].pid
        assert self.started[-1].stdout is not None
        self.started[-1].stdout.readline()  # it runs what it was started for
        key = key_of(pid)
        assert key is not None
        found = details(key)
        assert found is not None
        return ProfileRecord(
            found.name, pid, TriggerMetric.CPU, 90.0, datetime.now(UTC), "", 10, started_ticks=key.start_ticks,
            command_line=found.command_line,
        )  # fmt: skip

    def end(self) -> None:
        for one in self.started:
            one.kill()
            one.communicate(timeout=PATIENCE_S)
        self.started.clear()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, "shop_of_this_test.py")
    yield made
    made.end()


def test_while_it_runs_it_is_the_one(program: Program) -> None:
    """Also when younger ones of the same program run."""
    first = program.start()
    program.start()
    found = find_again(first, boot_id(), SameProgram(first))
    assert found is not None
    assert (found.target.pid, found.is_same) == (first.pid, True)


def test_when_it_is_gone_it_is_the_newest_like_it(program: Program, tmp_path: Path) -> None:
    """Another script of the same interpreter is not like it."""
    first = program.start()
    program.end()
    other = Program(tmp_path, "another_of_this_test.py")
    try:
        other.start()
        assert find_again(first, boot_id(), SameProgram(first)) is None
        program.start()
        second = program.start()
        found = find_again(first, boot_id(), SameProgram(first))
        assert found is not None
        assert (found.target.pid, found.is_same) == (second.pid, False)
    finally:
        other.end()


def test_a_pid_of_another_boot_or_another_start_is_not_the_one(program: Program) -> None:
    first = program.start()
    found = find_again(first, "00000000-0000-0000-0000-000000000000", SameProgram(first))
    assert found is not None
    assert not found.is_same
    earlier = replace(first, started_ticks=1)
    found = find_again(earlier, boot_id(), SameProgram(earlier))
    assert found is not None
    assert not found.is_same


@pytest.mark.root
def test_another_user_s_process_of_the_same_name_is_not_like_it(program: Program) -> None:
    """Anybody can give a process a name; root would profile what somebody put there."""
    first = program.start()
    own = details(ProcessKey(first.pid, first.started_ticks))
    program.end()
    theirs = program.start(user=65534)
    alike = SameProgram(first, own)
    assert find_again(first, boot_id(), alike) is None
    assert find_again(first, boot_id(), SameProgram(first)) is not None
    mine = program.start()
    found = find_again(first, boot_id(), alike)
    assert found is not None
    assert found.target.pid == mine.pid != theirs.pid


def test_a_process_that_became_another_program_is_not_the_one(tmp_path: Path) -> None:
    """It kept its pid and its start; one that only took another name is the one still."""
    script = tmp_path / "becomes_another.py"
    script.write_text("import os, sys; print(flush=True); os.read(0, 1); os.execv('/bin/cat', ['shop'])")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as started:
        assert started.stdin is not None
        assert started.stdout is not None
        started.stdout.readline()
        key = key_of(started.pid)
        assert key is not None
        own = details(key)
        assert own is not None
        record = ProfileRecord(
            own.name, key.pid, TriggerMetric.CPU, 90.0, datetime.now(UTC), "", 10, started_ticks=key.start_ticks,
            command_line=own.command_line,
        )  # fmt: skip
        renamed = replace(record, process_name="what it was called then", command_line=("worker: idle",))
        found = find_again(renamed, boot_id(), SameProgram(renamed, own))
        assert found is not None
        assert found.is_same
        started.stdin.write(b"gecho\n")
        started.stdin.flush()
        assert started.stdout.readline() == b"echo\n"  # the other program runs
        assert find_again(record, boot_id(), SameProgram(record, own)) is None
        started.kill()


def test_who_got_the_pid_meanwhile_is_not_captured(program: Program, tmp_path: Path) -> None:
    """The process that was chosen has ended, and another has its number."""
    record = program.start()
    open_store(tmp_path / "data").close()
    request = CaptureRequest(duration_s=0.5, started_ticks=record.started_ticks - 1)
    with pytest.raises(NotFoundError, match="ended meanwhile"):
        capture_now(Workspace(tmp_path / "data"), record.pid, request, lambda *_: True)


def test_strangers_are_looked_at_once(program: Program) -> None:
    """Waiting for a process costs a look at what is new, not at everybody."""
    first = program.start()
    program.end()
    alike = SameProgram(first)
    deadline = time.monotonic() + PATIENCE_S
    while not alike._settled and time.monotonic() < deadline:
        assert alike.running() == []
    assert alike._settled
    second = program.start()
    assert [key.pid for key in alike.running()] == [second.pid]


def test_who_waits_in_vain_is_told(tmp_path: Path, program: Program) -> None:
    record = program.start()
    program.end()
    store = open_store(tmp_path / "data")
    made = make_incident(name=record.process_name, pid=record.pid, command_line=record.command_line)
    store.save_incident(made)
    store.close()
    told: list[str] = []
    looks: list[float] = []

    def waits(seconds: float) -> bool:
        looks.append(seconds)
        return len(looks) < 3

    workspace = Workspace(tmp_path / "data", tell=told.append)
    with pytest.raises(NotFoundError, match=r"no process like .*shop_of_this_test.py runs"):
        capture_again(workspace, made.correlation_id, CaptureRequest(), lambda *_: True, waits)
    assert len(looks) == 3
    assert "waiting for the next process like it" in told[0]


def test_the_whole_machine_can_not_be_captured_again(tmp_path: Path) -> None:
    store = open_store(tmp_path / "data")
    made = make_incident(metric=TriggerMetric.FREE_MEMORY, pid=1)
    alert = replace(made.alert, target=None, process_name="the machine")
    store.save_incident(replace(made, alert=alert, process=None, captures=()))
    store.close()
    with pytest.raises(UsageError, match="monitord snapshot"):
        capture_again(
            Workspace(tmp_path / "data"), "1", CaptureRequest(), lambda *_: True, lambda _seconds: False
        )
