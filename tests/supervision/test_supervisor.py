"""Both modes of the supervisor: whatever happens to a command, its supervisor or its owner, nothing outlives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from monitord import supervision
from monitord.supervision import Supervised, supervisor
from tests.capture.targets import stat_fields, wait_for
from tests.patience import PATIENCE_S

Mode = Literal["tool", "script"]
MODES: tuple[Mode, ...] = ("tool", "script")
LIMIT_WORDS = {"tool": "timeout", "script": "duration"}
HIDES_CHILDREN = (
    "(trap '' INT TERM; exec setsid sleep 300) &\n((trap '' INT TERM; exec setsid sleep 300) &)\n"
)
READY = '\n: >"$READY"\n'
HANGS = "trap '' INT TERM\n" + HIDES_CHILDREN + READY + "sleep 300; sleep 300"
OF_A_TOOL: dict[str, Any] = {
    "descriptors": (), "target_pid": -1, "target_fd": -1, "watch_target": False, "attached_text": "",
    "attached_link": "", "is_hurried": False, "cgroup": "", "output_cap_bytes": 1 << 18,
    "file_cap_bytes": 1 << 26, "folder_cap_bytes": 1 << 27, "memory_cap_bytes": 1 << 32, "cpu_cap_s": 20,
    "open_files_cap": 256, "own_tmp": {}, "folder_owner": None, "user": None, "capabilities": (),
    "is_reader": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Commands:
    """Starts shells under a supervisor; each is known by what stands in its environment."""

    mode: Mode
    folder: Path

    @property
    def ready(self) -> Path:
        return self.folder / "ready"

    def order(self, text: str, **changes: Any) -> dict[str, Any]:
        for name in ("own", "temporary"):
            (self.folder / name).mkdir(exist_ok=True)
        own = OF_A_TOOL if self.mode == "tool" else {}
        return {
            "argv": ("/bin/bash", "-c", text), "folder": str(self.folder / "own"),
            "environment": {"PATH": "/usr/bin:/bin", "READY": str(self.ready)},
            "temporary": str(self.folder / "temporary"), "profile": str(self.folder / "own" / "profile"),
            "limit_s": 300.0, "grace_periods_s": (0.2, 0.2), "stdout_to_stderr": False, **own, **changes,
        }  # fmt: skip

    def run(self, text: str, **changes: Any) -> dict[str, Any]:
        """The report of a command that ends by itself, or at its limit."""
        with Supervised(self.mode, self.order(text, **changes)) as command:
            return report_of(command)

    def living(self) -> list[int]:
        """Everything that was started, the supervisor excepted."""
        mark, found = f"READY={self.ready}\0".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


def report_of(command: Supervised) -> dict[str, Any]:
    for _ in command.messages(limit_s=PATIENCE_S):
        pass
    assert command.report is not None, command.complaint
    return command.report


def leader_of(command: Supervised) -> int:
    return next(message["started"] for message in command.messages(limit_s=PATIENCE_S) if message)


def supervisor_of(command: Supervised) -> int:
    return int(stat_fields(leader_of(command))[1])


@pytest.fixture(params=MODES)
def commands(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Commands]:
    """Afterwards nothing lives that any of them started."""
    made = Commands(request.param, tmp_path)
    yield made
    wait_for(lambda: made.living() == [], "all that was started to be gone")


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
        wait_for(commands.ready.exists, "the command to be ready")
        command.stop()
        report = report_of(command)
    assert (report["ended"], report["exit_status"]) == ("stopped", status)


class StoppedAtOnce(Supervised):
    """Its owner wants it to end before it has begun."""

    def _send(self, data: bytes) -> None:
        super()._send(data + b"end\n")


def test_a_stop_before_the_start_ends_it(commands: Commands) -> None:
    with StoppedAtOnce(commands.mode, commands.order(HANGS)) as command:
        assert report_of(command)["ended"] == "stopped"


def test_a_stop_ends_what_runs(commands: Commands) -> None:
    """Of one that heeds nothing; the tool's owner is waited for, a script has its own graces."""
    with Supervised(commands.mode, commands.order(HANGS)) as command:
        wait_for(commands.ready.exists, "the command to be ready")
        command.stop()
        report = report_of(command)
    assert (report["ended"], report["exit_status"]) == ("stopped", -signal.SIGKILL)


def test_a_stop_hastens_an_end_that_has_begun(commands: Commands) -> None:
    """Its graces would take ten minutes."""
    text = "trap '' TERM; trap ': >\"$READY\"' INT; while :; do sleep 0.05; done"
    order = commands.order(text, limit_s=1.0, grace_periods_s=(300.0, 300.0))
    with Supervised(commands.mode, order) as command:
        wait_for(commands.ready.exists, "the end to have begun")
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
        with Supervised(commands.mode, commands.order(HANGS)):
            wait_for(commands.ready.exists, "the command to be ready")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert commands.living() == []


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
        wait_for(commands.ready.exists, "the script to be ready")
        command.stop()
        assert report_of(command)["profile"] == profile
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
