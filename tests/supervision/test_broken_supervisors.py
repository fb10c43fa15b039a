"""A supervisor that is killed, hangs, can't be started or can't do its work: nothing outlives, nobody waits."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import signal
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from monitord import supervision
from monitord.capture import cgroups
from monitord.capture.tool_runner import Runner, ToolRun
from monitord.supervision import Supervised
from monitord.supervision.supervisor import direct_children
from tests.capture.targets import state_of, wait_for, working_in
from tests.patience import PATIENCE_S
from tests.supervision.commands import READY, Commands, supervisor_of
from tests.supervision.unkillable import make_unkillable


def test_a_killed_supervisor_takes_its_command_with_it(commands: Commands) -> None:
    """The kernel ends the command itself, also while its owner is busy."""
    with Supervised(commands.mode, commands.order(READY + "exec sleep 300")) as command:
        number = supervisor_of(command)
        wait_for(commands.ready.exists, "the command to be ready")
        os.kill(number, signal.SIGKILL)
        wait_for(lambda: commands.living() == [], "the command to be gone")
    assert command.report is None


def test_a_killed_supervisor_takes_the_group_of_its_command_with_it(commands: Commands) -> None:
    with Supervised(
        commands.mode, commands.order("trap '' INT TERM" + READY + "sleep 300; sleep 300")
    ) as command:
        number = supervisor_of(command)
        wait_for(commands.ready.exists, "the command to be ready")
        os.kill(number, signal.SIGKILL)


def test_a_supervisor_that_is_killed_before_its_command_runs_leaves_none(commands: Commands) -> None:
    """The command is between fork and exec then, and nobody has been told that it started."""
    with Supervised(commands.mode, commands.order(READY + "sleep 300; sleep 300")) as command:
        listener = threading.Thread(target=lambda: list(command.messages(limit_s=PATIENCE_S)))
        listener.start()
        number = command._process.pid
        wait_for(lambda: direct_children(number), "the command to be forked")
        (forked,) = direct_children(number)
        os.kill(forked, signal.SIGSTOP)
        wait_for(lambda: state_of(forked) == "T", "it to stop")
        os.kill(number, signal.SIGKILL)
        wait_for(lambda: state_of(number) == "Z", "the supervisor to be gone")
        os.kill(forked, signal.SIGCONT)
        listener.join()
        assert command.leader in (forked, None)
    wait_for(lambda: not Path(f"/proc/{forked}").exists(), "the command to be gone")


def test_a_hanging_supervisor_is_killed_with_its_command(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "_END_LIMIT_S", 0.2)
    with Supervised(
        commands.mode, commands.order("trap '' INT TERM" + READY + "sleep 300; sleep 300")
    ) as command:
        number = supervisor_of(command)
        wait_for(commands.ready.exists, "the command to be ready")
        os.kill(number, signal.SIGSTOP)
    assert not Path(f"/proc/{number}").exists()


def test_a_supervisor_that_never_reads_holds_nobody_up(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code alone is larger than a pipe: it is not waited for beyond the limit, and is killed then."""
    program, pid_file = commands.folder / "program", commands.folder / "pid"
    program.write_text(f"#!/bin/sh\necho $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 20\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(supervision, "_END_LIMIT_S", 0.2)
    with Supervised(commands.mode, commands.order("exit 0")) as command:
        command.stop()
        assert not any(command.messages(tick_s=0.01, limit_s=0.1))
        wait_for(pid_file.exists, "its pid")
        number = int(pid_file.read_text())
        assert state_of(number) != "Z", "nobody waited for its end"
    assert command.report is None
    assert not Path(f"/proc/{number}").exists()


def test_no_descriptor_is_lost_where_there_are_not_enough(commands: Commands) -> None:
    """Whatever number of them is free: it can't be started, or it runs."""
    order = commands.order("exit 0")

    def failed_with(free: int) -> bool:
        kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(free)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(kept[-1], *open_descriptors()) + 1, hard))
            with ExitStack() as rest:
                with suppress(OSError):
                    while True:
                        rest.callback(os.close, os.open(os.devnull, os.O_RDONLY))
                while kept:
                    os.close(kept.pop())
                try:
                    with Supervised(commands.mode, order):
                        return False
                except OSError as error:
                    assert error.errno == errno.EMFILE  # noqa: PT017 - it may also succeed
                    return True
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    commands.run("exit 0")
    before = open_descriptors()
    for free in itertools.count(1):
        failed = failed_with(free)
        assert open_descriptors() == before, free
        if not failed:
            break
    assert free > 4


def open_descriptors() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()}


def test_a_tool_that_cannot_be_killed_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor gives it up and says so, and its owner listens until then."""
    make_unkillable(monkeypatch)
    monkeypatch.setattr(cgroups, "make_cgroup", lambda: None)
    tmp_path.chmod(0o700)
    text = "trap '' INT TERM; exec sleep 300"
    outcome = Runner().run(ToolRun(("/bin/bash", "-c", text), tmp_path, 0.3, (0.1, 0.1)))
    assert (outcome.failure, outcome.ended, outcome.exit_status, outcome.left_behind) == (
        None, "left_behind", None, 1,
    )  # fmt: skip
    wait_for(lambda: working_in(tmp_path) == [], "the kernel to end it with its supervisor")
