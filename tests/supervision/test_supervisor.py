"""Both modes of the supervisor: whatever happens to a command or its owner, nothing of it outlives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitord import supervision
from monitord.supervision import Supervised, supervisor
from tests.capture.targets import wait_for
from tests.supervision.commands import (
    HANGS,
    HIDES_CHILDREN,
    LIMIT_WORDS,
    READY,
    Commands,
    leader_of,
    report_of,
    supervisor_of,
    wait_until_ready,
)


def test_what_a_command_leaves_running_ends_with_it(commands: Commands) -> None:
    """Children in sessions of their own, and orphans, also such as heed nothing."""
    report = commands.run(HIDES_CHILDREN + "exit 7")
    assert (report["ended"], report["exit_status"]) == ("exited", 7)
    assert commands.living() == []


def test_a_command_that_hangs_is_killed_after_its_time(commands: Commands) -> None:
    report = commands.run(HANGS, limit_s=0.3)
    assert (report["ended"], report["exit_status"]) == (LIMIT_WORDS[commands.mode], -signal.SIGKILL)
    assert commands.living() == []


@pytest.mark.parametrize(("heeded", "status"), [("INT", 3), ("TERM", 4)])
def test_a_command_is_asked_twice_before_it_is_killed(commands: Commands, heeded: str, status: int) -> None:
    """SIGINT, on which profilers write what they have, then SIGTERM."""
    text = f"trap '' INT TERM; trap 'exit {status}' {heeded}{READY}while :; do sleep 0.05; done"
    with Supervised(commands.mode, commands.order(text, grace_periods_s=(1.0, 300.0))) as command:
        wait_until_ready(command, commands)
        command.stop()
        report = report_of(command)
    assert (report["ended"], report["exit_status"]) == ("stopped", status)


def test_a_stop_before_the_start_ends_it(commands: Commands) -> None:
    with Supervised(commands.mode, commands.order(HANGS)) as command:
        command.stop()
        assert report_of(command)["ended"] == "stopped"


def test_a_stop_ends_what_runs(commands: Commands) -> None:
    """Of one that heeds nothing; the tool's owner is waited for, a script has its own graces."""
    with Supervised(commands.mode, commands.order(HANGS)) as command:
        wait_until_ready(command, commands)
        command.stop()
        report = report_of(command)
    assert (report["ended"], report["exit_status"]) == ("stopped", -signal.SIGKILL)


def test_a_stop_hastens_an_end_that_has_begun(commands: Commands) -> None:
    """Its graces would take ten minutes."""
    text = "trap '' TERM; trap ': >\"$READY\"' INT; while :; do sleep 0.05; done"
    order = commands.order(text, limit_s=1.0, grace_periods_s=(300.0, 300.0))
    with Supervised(commands.mode, order) as command:
        wait_until_ready(command, commands)
        command.stop()
        report = report_of(command)
    assert (report["ended"], report["exit_status"]) == (LIMIT_WORDS[commands.mode], -signal.SIGKILL)


def test_a_stop_after_the_end_changes_nothing(commands: Commands) -> None:
    with Supervised(commands.mode, commands.order("exit 0")) as command:
        report = report_of(command)
        command.stop()
    assert (report["ended"], report["exit_status"]) == ("exited", 0)


def test_a_signal_to_the_supervisor_stops_the_command(commands: Commands) -> None:
    with Supervised(commands.mode, commands.order(HANGS)) as command:
        number = supervisor_of(command)
        wait_for(commands.ready.exists, "the command to be ready")
        os.kill(number, signal.SIGTERM)
        assert report_of(command)["ended"] == "stopped"


OWNER = """
import sys
sys.path[:0] = sys.argv.pop().split(":")
from monitord.supervision import Supervised
with Supervised(sys.argv[1], eval(sys.argv[2])) as command:
    for _ in command.messages():
        pass
"""


def test_a_killed_owner_takes_everything_with_it(commands: Commands) -> None:
    path = ":".join([str(Path(supervision.__file__).parents[2]), *(part for part in sys.path if part)])
    words = [sys.executable, "-c", OWNER, commands.mode, repr(commands.order(HANGS)), path]
    with subprocess.Popen(words) as owner:
        wait_for(commands.ready.exists, "the command to be ready")
        owner.kill()
    wait_for(lambda: commands.living() == [], "all of it to be gone")


def test_an_owner_that_fails_leaves_nothing(commands: Commands) -> None:
    def fail() -> None:
        with Supervised(commands.mode, commands.order(HANGS)) as command:
            wait_until_ready(command, commands)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert commands.living() == []


def test_an_order_larger_than_a_pipe_arrives(commands: Commands) -> None:
    """A script has its user's whole environment."""
    environment = {f"NAME_{number}": "x" * 1000 for number in range(500)}
    assert commands.run("exit 7", environment=environment)["exit_status"] == 7


def test_a_command_that_cant_be_started_says_why(commands: Commands) -> None:
    report = commands.run("", argv=("/nowhere/tool",))
    assert (report["failure"], report["exit_status"]) == ("No such file or directory", None)


SEEN = 'status=$(</proc/self/status); limits="$(ulimit -t) $(ulimit -n)"; printf "%s\\nlimits:\\t%s\\n" "$status" "$limits"'


def test_a_tool_has_few_rights_and_a_script_those_of_its_user(commands: Commands) -> None:
    """Capabilities, new ones by setuid, system calls; time and files."""
    written = commands.folder / "own" / "seen"
    before = os.umask(0o022)
    os.umask(before)
    commands.run(f"{{ {SEEN}; umask; ls /proc/self/fd | wc -w; }} >{written}; cp {written} {commands.ready}")
    seen = commands.ready.read_text()
    facts = dict(line.split(":\t", 1) for line in seen.splitlines() if ":\t" in line)
    ours = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
    )
    if commands.mode == "tool":
        assert int(facts["CapEff"], 16) == 0
        assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
        assert facts["limits"] == "20 256"
        assert seen.splitlines()[-2] == "0077"
    else:
        assert {name: facts[name] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Uid")} == {
            name: ours[name] for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Uid")
        }
        assert seen.splitlines()[-2] == f"{before:04o}"
    assert int(seen.splitlines()[-1]) <= 4, "no pipe of the supervisor's"


@pytest.mark.parametrize(("text", "what"), [("exec yes", "stdout"), ("exec yes >&2", "stderr")])
def test_a_tool_that_floods_its_output_is_ended_and_what_is_kept_is_bounded(
    tmp_path: Path, text: str, what: str
) -> None:
    report = Commands("tool", tmp_path).run(text, output_cap_bytes=1000)
    assert (report["ended"], report["truncated"]) == ("output_limit_exceeded", True)
    assert len(report[what]) == 1000


@pytest.mark.parametrize("body", ['head -c 1000000 /dev/zero >"$i"', ': >"n$i"'])
def test_a_tool_that_fills_the_disk_is_killed_long_before_its_time(tmp_path: Path, body: str) -> None:
    """One file is bounded by its limit, many are by what lies in the folder, in bytes and in names."""
    text = f"i=0; while :; do i=$((i+1)); {body}; done"
    assert (
        Commands("tool", tmp_path).run(text, folder_cap_bytes=5_000_000)["ended"] == "output_limit_exceeded"
    )


def test_a_scripts_profile_is_read_and_its_files_are_gone(tmp_path: Path) -> None:
    """What the script itself left in its temporary folder stays, and is named."""
    commands = Commands("script", tmp_path)
    text = "cd {0}; echo kept >own/profile; mkdir temporary/scalene-x; {1}"
    report = commands.run(text.format(tmp_path, ":"))
    assert (report["profile"], report["kept_folder"]) == (b"kept\n", None)
    assert [path.name for path in tmp_path.iterdir()] == []
    report = commands.run(text.format(tmp_path, ": >temporary/result"))
    assert report["kept_folder"] == str(tmp_path / "temporary")
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["result"]


def test_a_link_in_place_of_a_scripts_profile_is_not_followed(tmp_path: Path) -> None:
    text = f"ln -s /etc/hostname {tmp_path}/own/profile"
    assert Commands("script", tmp_path).run(text)["profile"] == b""


def test_a_scripts_helpers_may_finish_before_they_are_ended(tmp_path: Path) -> None:
    """Its launcher may be gone while the script still writes; who goes on is ended, and counted."""
    commands = Commands("script", tmp_path)
    report = commands.run(f"(sleep 0.1; echo late >{tmp_path}/own/profile) & exit 0")
    assert (report["profile"], report["left_behind"]) == (b"late\n", 0)
    assert commands.run(HIDES_CHILDREN)["left_behind"] == 2


@pytest.mark.parametrize(
    ("heeds", "after_s", "profile"),
    [("trap 'exit 3' INT", 1.5, b"late\n"), ("trap '' INT TERM", 12, b"")],
    ids=["ended by itself", "killed"],
)
def test_helpers_of_a_stopped_script_may_write_its_profile_unless_it_had_to_be_killed(
    tmp_path: Path, heeds: str, after_s: float, profile: bytes
) -> None:
    commands = Commands("script", tmp_path)
    helper = (
        f"(trap '' INT TERM{READY}exec setsid sh -c 'sleep {after_s}; echo late >{tmp_path}/own/profile') &"
    )
    with Supervised("script", commands.order(f"{heeds}\n{helper}\nwhile :; do sleep 0.05; done")) as command:
        wait_until_ready(command, commands)
        command.stop()
        assert report_of(command)["profile"] == profile
    assert commands.living() == []


LEAVES_A_WRITER = """
(trap '' INT TERM; exec setsid sh -c ': >"$READY"; sleep {0}; echo late >{1}/own/profile') &
trap 'exit 3' INT
while :; do sleep 0.05; done
"""


def stop_and_await_helpers(command: Supervised, commands: Commands) -> int:
    """The script has ended when told to, its helper goes on; the supervisor's pid."""
    number = supervisor_of(command)
    leader = command.leader
    wait_until_ready(command, commands)
    command.stop()
    wait_for(lambda: not Path(f"/proc/{leader}").exists(), "the script to end")
    return number


@pytest.mark.parametrize("how", ["a stop", "a signal"])
def test_one_more_stop_ends_helpers_that_still_write(tmp_path: Path, how: str) -> None:
    """A first stop lets them write for some time; who asks again does not want to wait for it."""
    commands = Commands("script", tmp_path)
    with Supervised("script", commands.order(LEAVES_A_WRITER.format(12, tmp_path))) as command:
        number = stop_and_await_helpers(command, commands)
        if how == "a stop":
            command.stop()
        else:
            os.kill(number, signal.SIGTERM)
        report = report_of(command)
    assert (report["ended"], report["exit_status"], report["profile"]) == ("stopped", 3, b"")
    assert commands.living() == []


def test_an_owner_that_fails_leaves_no_helper_that_still_writes(tmp_path: Path) -> None:
    commands = Commands("script", tmp_path)

    def fail() -> None:
        with Supervised("script", commands.order(LEAVES_A_WRITER.format(300, tmp_path))) as command:
            stop_and_await_helpers(command, commands)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert commands.living() == []


def test_stops_that_arrive_together_are_as_many(commands: Commands) -> None:
    """The second hastens what the first began: its graces alone would take ten minutes."""
    order = commands.order("trap '' INT TERM\nexec sleep 300", grace_periods_s=(300.0, 300.0))
    with Supervised(commands.mode, order) as command:
        command.stop()
        command.stop()
        report = report_of(command)
    assert report["ended"] == "stopped"


def test_a_command_that_ended_by_itself_is_not_told_as_stopped(tmp_path: Path) -> None:
    """The stop meant its helpers."""
    commands = Commands("script", tmp_path)
    with Supervised("script", commands.order(f"{HIDES_CHILDREN}{READY}exit 7")) as command:
        leader = leader_of(command)
        wait_for(lambda: not Path(f"/proc/{leader}").exists(), "the script to end")
        command.stop()
        report = report_of(command)
    assert (report["ended"], report["exit_status"], report["left_behind"]) == ("exited", 7, 2)
    assert commands.living() == []


def test_the_supervisor_starts_without_what_is_slow_to_import() -> None:
    """A first look waits for its start, and each of these would add as much as all the rest takes."""
    code = (
        "import sys; exec(open(sys.argv[1]).read(), {'__name__': 'x'})\n"
        "print(len(sys.modules), *{'collections', 'ctypes', 'enum', 'json', 're', 'shutil', 'signal', 'subprocess',"
        " 'typing'} & set(sys.modules))"
    )
    words = [sys.executable, "-I", "-S", "-c", code, supervisor.__file__]
    count, *slow = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert slow == []
    assert int(count) < 40
