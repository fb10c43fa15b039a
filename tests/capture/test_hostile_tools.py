"""Profilers that misbehave: each ends in a word and a reason, in time, and leaves nothing."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService, cgroups
from monitord.capture.profilers.py_spy import PySpyRecord
from monitord.capture.tool_runner import Outcome, Runner, ToolRun
from monitord.capture.tools import Toolbox
from monitord.installation import reinstall_command
from monitord.model import CapturePlan, CaptureStatus
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of, state_of, take, wait_for
from tests.patience import PATIENCE_S

PLAN = CapturePlan(profiler="py-spy", duration_s=0.5)
HEAD = """#!/bin/bash
[ "$1" = --version ] && { echo "py-spy 9.9.9"; exit 0; }
[ "$1" = dump ] && { echo "Error: this one can't dump" >&2; exit 1; }
out="${@: -1}"
"""
SUMMARY = 'echo "py-spy> Sampling process"; echo "py-spy> Wrote to \'x\'. Samples: 5 Errors: 0"\n'
# what the fake does, the status it must end in, a part of the reason
MISDEEDS = {
    "says nothing, writes nothing": (SUMMARY, CaptureStatus.TOOL_ERROR, "wrote nothing"),
    "empty file": (SUMMARY + ': >"$out"', CaptureStatus.TOOL_ERROR, "wrote nothing"),
    "junk": (SUMMARY + 'head -c 4096 /dev/urandom >"$out"', CaptureStatus.TOOL_ERROR, "unreadable output"),
    "nesting": (
        SUMMARY + '{ printf \'{"a":\'; head -c 3000000 /dev/zero | tr "\\0" "["; } >"$out"',
        CaptureStatus.TOOL_ERROR,
        "unreadable output",
    ),
    "endless file": ('dd if=/dev/zero of="$out" bs=1M status=none', CaptureStatus.TOOL_ERROR, ""),
    "endless stdout": ("exec yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", CaptureStatus.TOOL_ERROR, "flooded"),
    "endless stderr": ("exec yes xxxxxxxxxxxxxxxxxxxxxxxxxx >&2", CaptureStatus.TOOL_ERROR, "flooded"),
    "its own error": (
        'printf "Error: it broke\\n\\nCaused by:\\n    0: the reason\\n\\nStack backtrace:\\n  0: x\\n" >&2; exit 1',
        CaptureStatus.TOOL_ERROR,
        "Error: it broke; caused by the reason",
    ),
    "symlink planted": (SUMMARY + 'ln -s /etc/hostname "$out"', CaptureStatus.TOOL_ERROR, "wrote nothing"),
    "hangs, ignores signals, hides children": (
        "trap '' TERM INT HUP\nsetsid sleep 300 &\n(setsid sleep 300 & ) &\nsleep 300",
        CaptureStatus.TIMEOUT,
        "was killed",
    ),
}


def fake(folder: Path, body: str, head: str = HEAD) -> str:
    path = folder / "fake-profiler"
    path.write_text(head + body + "\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_misbehaving_profiler_ends_in_a_reason(
    targets: Targets, folder: Path, tmp_path: Path, misdeed: str
) -> None:
    body, status, words = MISDEEDS[misdeed]
    process = targets.python(t.PYTHON_IDLER)
    grace_s = 2.0 if status is CaptureStatus.TIMEOUT else t.GRACE_S
    tools = Toolbox({"py-spy": fake(tmp_path, body)})
    capture = take(PySpyRecord(), process, folder, tools, PLAN, grace_s=grace_s)
    assert capture.status is status
    assert words in (capture.reason or "")
    assert len(capture.reason or "") <= 400
    assert capture.path is None
    assert t.names_in(folder) == []
    assert process.poll() is None
    assert state_of(process.pid) in "RS"


def test_what_a_step_leaves_besides_its_evidence_goes(targets: Targets, folder: Path, tmp_path: Path) -> None:
    """Files, folders and links, also of a tool that was no use; what a link leads to stays."""
    litter = "mkdir -p x/y; echo 1 >x/y/z; echo 2 >left; ln -s /etc/hostname link; exit 1"
    process = targets.python(t.PYTHON_IDLER)
    path = fake(tmp_path, litter, "#!/bin/bash\n")
    (folder / "before").write_text("somebody else's")
    service = ProfileCaptureService(Consent(), grace_s=1.0, tools={"py-spy": path})
    service.first_look(key_of(process), folder)
    captures = service.capture(key_of(process), PLAN, folder)
    assert [capture for capture in captures if capture.profiler == "py-spy"]
    kept = {capture.path.name for capture in captures if capture.path}
    assert {name for name in t.names_in(folder) if name != "before"} == kept
    assert Path("/etc/hostname").exists()


def test_a_profiler_that_hangs_at_everything_costs_the_dump_and_the_profile(
    targets: Targets, folder: Path, tmp_path: Path
) -> None:
    process = targets.python(t.PYTHON_IDLER)
    path = fake(tmp_path, "trap '' TERM INT; sleep 300", "#!/bin/bash\n")
    service = ProfileCaptureService(Consent(), grace_s=1.0, tools={"py-spy": path})
    captures = service.capture(key_of(process), PLAN, folder)
    assert [(c.role, c.status) for c in captures[1:]] == [
        ("dump", CaptureStatus.TIMEOUT),
        ("profile", CaptureStatus.TIMEOUT),
    ]
    assert captures[-1].profiler_version is None


@pytest.mark.parametrize(("mode", "words"), [(0o644, "is not an executable file"), (None, "does not exist")])
def test_a_missing_profiler_says_what_to_type(
    targets: Targets, folder: Path, tmp_path: Path, mode: int | None, words: str
) -> None:
    path = tmp_path / "py-spy"
    if mode is not None:
        path.touch(mode)
    look = take(PySpyRecord(), targets.python(t.PYTHON_IDLER), folder, Toolbox({"py-spy": str(path)}))
    assert look.status is CaptureStatus.TOOL_MISSING
    assert words in (look.reason or "")
    assert look.fix == reinstall_command("py-spy")


def test_a_file_that_is_no_program_is_a_tool_error(targets: Targets, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "py-spy"
    path.write_bytes(b"\0\1\2")
    path.chmod(0o755)
    look = take(PySpyRecord(), targets.python(t.PYTHON_IDLER), folder, Toolbox({"py-spy": str(path)}))
    assert (look.status, look.reason) == (CaptureStatus.TOOL_ERROR, "py-spy: Exec format error")


def test_a_target_left_stopped_by_a_profiler_is_continued(
    targets: Targets, folder: Path, tmp_path: Path
) -> None:
    process = targets.python(t.PYTHON_IDLER)
    path = fake(tmp_path, f"kill -STOP {process.pid}")
    profile = take(PySpyRecord(), process, folder, Toolbox({"py-spy": path}), PLAN)
    assert "it was continued" in profile.notes["continued"]
    wait_for(lambda: state_of(process.pid) in "RS", "the target to run on")


def test_a_tool_sees_an_empty_environment_and_its_own_folder(tmp_path: Path, folder: Path) -> None:
    """No PATH, LD_PRELOAD or PYTHONPATH of ours; stdin empty, no descriptors, files private."""
    path = fake(
        tmp_path, 'env; pwd; umask; cat; ls /proc/self/fd | wc -l; cut -d" " -f6 /proc/$$/stat; echo $$'
    )
    outcome = Runner().run(ToolRun((path, "x"), folder, 10.0))
    lines = [
        line for line in outcome.stdout.decode().split("\n") if not line.startswith(("_=", "SHLVL=", "PWD="))
    ]
    assert lines[:2] == ["PATH=/usr/bin:/bin", "LC_ALL=C"] or lines[:2] == ["LC_ALL=C", "PATH=/usr/bin:/bin"]
    assert lines[2:4] == [str(folder), "0077"]
    assert int(lines[4]) <= 4
    assert lines[5] == lines[6], "it leads a session of its own"


def test_a_killed_supervisor_takes_its_tool_with_it(tmp_path: Path, folder: Path) -> None:
    path = fake(tmp_path, "trap '' TERM INT\nsleep 300")
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(Runner().run(ToolRun((path, "x"), folder, 60.0))))
    thread.start()
    wait_for(lambda: t.working_in(folder), "the tool to run")
    supervisors = [
        pid
        for pid, text in t.command_lines()
        if "supervisor" in text and t.stat_fields(pid)[1] == str(os.getpid())
    ]
    for pid in supervisors:
        os.kill(pid, signal.SIGKILL)
    thread.join(PATIENCE_S)
    assert found[0].ended == "broken"
    assert found[0].failure is not None
    wait_for(lambda: not t.working_in(folder), "the tool to be gone")


def test_a_killed_daemon_takes_its_profiler_with_it(targets: Targets, tmp_path: Path, folder: Path) -> None:
    """kill -9 of the process that captures: the profiler's tree ends, and a target it stopped runs on."""
    target = targets.python(t.PYTHON_IDLER)
    path = fake(tmp_path, f"trap '' TERM INT\nkill -STOP {target.pid}\nsetsid sleep 300 &\nsleep 300")
    source = (
        "import sys; from pathlib import Path; from monitord.capture import *; from monitord.model import *\n"
        "service = ProfileCaptureService(Consent(), tools={'py-spy': sys.argv[1]})\n"
        "plan = CapturePlan(profiler='py-spy', duration_s=60)\n"
        "service.capture(ProcessKey(int(sys.argv[2]), int(sys.argv[3])), plan, Path(sys.argv[4]))\n"
    )
    key = key_of(target)
    daemon = targets.start(
        sys.executable, "-c", "import sys; sys.path[:0] = sys.argv.pop().split(':')\n" + source,
        path, str(key.pid), str(key.start_ticks), str(folder), ":".join(p for p in sys.path if p) + ":" + str(Path.cwd()),
    )  # fmt: skip
    wait_for(lambda: len(t.working_in(folder)) >= 3 and state_of(key.pid) == "T", "the fake profiler to hang")
    daemon.kill()
    wait_for(lambda: not t.working_in(folder), "the profiler's tree to be gone")
    wait_for(lambda: state_of(key.pid) in "RS", "the target to run on")


@pytest.mark.parametrize("is_hurried", [False, True], ids=["patient", "hurried"])
def test_a_hanging_tool_does_not_outlive_duration_and_grace(
    tmp_path: Path, folder: Path, is_hurried: bool
) -> None:
    """It is escalated to SIGKILL; the bound is generous, it tells a killed tool from its 300 s."""
    path = fake(tmp_path, "trap '' TERM INT\nsetsid sleep 300 &\nsleep 300")
    began = time.monotonic()
    outcome = Runner().run(ToolRun((path, "x"), folder, 0.3, (0.2, 0.2), is_hurried=is_hurried))
    assert (outcome.ended, outcome.exit_status, outcome.left_behind) == ("timeout", -signal.SIGKILL, 0)
    assert time.monotonic() - began < PATIENCE_S
    assert not t.working_in(folder)


@pytest.mark.root
def test_a_hurried_tool_is_put_into_its_cgroup_with_what_it_forked_first(
    tmp_path: Path, folder: Path
) -> None:
    """It starts before it is inside; a child that it hid in a session of its own is found and follows."""
    path = fake(
        tmp_path,
        "setsid sleep 300 & hidden=$!\n"
        "for i in $(seq 400); do\n"
        "  grep -q monitord-capture /proc/self/cgroup && grep -q monitord-capture /proc/$hidden/cgroup && break\n"
        "  sleep 0.05\n"
        "done\n"
        "cat /proc/self/cgroup; echo; cat /proc/$hidden/cgroup",
    )
    outcome = Runner().run(ToolRun((path, "x"), folder, 30.0, is_hurried=True))
    own = f"monitord-capture-{os.getpid()}-"
    if not cgroups_can_be_made():
        pytest.skip("no cgroup can be made here: run as root where /sys/fs/cgroup can be written")
    assert [own in part for part in outcome.stdout.decode().split("\n\n")] == [True, True]
    assert not t.working_in(folder)


def cgroups_can_be_made() -> bool:
    path = cgroups.make_cgroup()
    return path is not None and cgroups.end_cgroup(path)


@pytest.mark.root
def test_the_cgroup_of_a_capture_is_gone_afterwards(tmp_path: Path, folder: Path) -> None:
    path = fake(tmp_path, "cat /proc/self/cgroup")
    outcome = Runner().run(ToolRun((path, "x"), folder, 10.0))
    own = f"monitord-capture-{os.getpid()}-"
    names = [word for word in outcome.stdout.decode().replace("\n", "/").split("/") if word.startswith(own)]
    if not names:
        pytest.skip("no cgroup can be made here: run as root where /sys/fs/cgroup can be written")
    assert not list(Path("/sys/fs/cgroup").rglob(names[0]))
