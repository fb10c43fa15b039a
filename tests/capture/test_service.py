"""The ladder on real processes with real tools: the guilty function is named, or the reason why not."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.capture import Consent, ProfileCaptureService
from monitord.model import Capture, CapturePlan, CaptureStatus, ProcessKey
from tests.capture import targets as t
from tests.capture.targets import GRACE_S, Targets, key_of, look_at, state_of, wait_for
from tests.strangers import process_of_another, without

SHORT = CapturePlan(duration_s=1.0)
Tool = Callable[[str], str]


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def of_role(captures: list[Capture], role: str) -> Capture:
    return next(capture for capture in captures if capture.role == role)


def test_a_python_burner_is_named(targets: Targets, service: ProfileCaptureService, folder: Path) -> None:
    """Context, dump and profile, in this order, all ok; the hottest function is the guilty one."""
    process = targets.python(t.PYTHON_BURNER)
    captures = service.capture(key_of(process), SHORT, folder)
    assert [(c.role, c.profiler, c.status) for c in captures] == [
        ("context", "context", CaptureStatus.OK),
        ("dump", "py-spy", CaptureStatus.OK),
        ("profile", "py-spy", CaptureStatus.OK),
    ]
    profile = captures[-1]
    assert profile.hotspots[0].function == "leaf_burner"
    assert profile.hotspots[0].file == str(targets.folder / "target0.py")
    assert profile.sample_count is not None
    assert profile.sample_count > 10
    assert profile.error_count is not None
    assert profile.path is not None
    assert profile.path.parent == folder
    assert profile.path.stat().st_mode & 0o777 == 0o600
    assert profile.profiler_version is not None
    assert profile.target_cpu_percent is not None
    assert profile.target_cpu_percent > 5
    assert t.names_in(folder) == [profile.path.name]
    assert process.poll() is None
    assert state_of(process.pid) in "RS"


def test_a_native_burner_is_named_by_perf(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    process = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    profile = service.capture(key_of(process), SHORT, folder)[-1]
    assert (profile.profiler, profile.status, profile.format) == ("perf", CaptureStatus.OK, "folded")
    assert profile.hotspots[0].function == "hot_leaf"
    assert t.names_in(folder) == ["perf.folded"]
    assert process.poll() is None


def test_eu_stack_takes_over_where_perf_is_missing(
    targets: Targets, folder: Path, require_tool: Tool
) -> None:
    require_tool("eu-stack")
    process = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    service = ProfileCaptureService(Consent(), grace_s=GRACE_S, tools={"perf": "/nonexistent/perf"})
    captures = service.capture(key_of(process), SHORT, folder)
    assert [(c.profiler, c.status) for c in captures[1:]] == [
        ("perf", CaptureStatus.TOOL_MISSING),
        ("eu-stack", CaptureStatus.OK),
    ]
    assert captures[1].reason == "/nonexistent/perf does not exist"
    assert "apt install" in (captures[1].fix or "")
    assert "hot_leaf" in {spot.function for spot in captures[2].hotspots}
    assert (captures[2].target_cpu_percent or 0) > 5
    assert process.poll() is None


def test_what_waits_is_seen_by_eu_stack_after_perf_saw_nothing(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("eu-stack")
    require_tool("perf")
    process = targets.native(require_tool("gcc"), t.NATIVE_IDLER)
    captures = service.capture(key_of(process), SHORT, folder)
    assert [(c.profiler, c.status) for c in captures[1:]] == [
        ("perf", CaptureStatus.NO_SAMPLES),
        ("eu-stack", CaptureStatus.OK),
    ]
    assert "waits_natively" in {spot.function for spot in captures[2].hotspots}


def test_an_idle_python_shows_where_it_waits(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_IDLER)
    profile = service.capture(key_of(process), SHORT, folder)[-1]
    assert profile.status is CaptureStatus.OK
    assert "--idle" in profile.notes["flags"]
    assert "waits_for_ever" in {spot.function for spot in profile.hotspots}


def test_many_threads_are_sampled_more_seldom(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """About a thousand threads a second are looked at, whatever their number."""
    process = targets.python(t.PYTHON_CROWD)
    profile = service.capture(key_of(process), SHORT, folder)[-1]
    assert profile.status.has_evidence
    assert profile.rate_hz == 1000 // 61


def test_the_first_look_names_the_function_without_any_file(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    look = look_at(service, process, folder)
    assert (look.role, look.status, look.format) == ("dump", CaptureStatus.OK, "py-spy-dump")
    assert b"outer_loop" in (look.payload or b"")
    assert t.names_in(folder) == []
    spots = {spot.function for spot in service.read(look, folder).hotspots}
    assert "outer_loop" in spots
    assert t.names_in(folder) == []


def test_the_first_look_at_a_native_process(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("eu-stack")
    process = targets.native(require_tool("gcc"), t.NATIVE_BURNER)
    look = look_at(service, process, folder, "eu-stack")
    assert (look.profiler, look.status, look.format) == ("eu-stack", CaptureStatus.OK, "eu-stack")
    assert b"middle" in (look.payload or b"")


def test_a_process_that_exits_while_profiled_leaves_a_partial_profile(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_BURNER)

    def end() -> None:
        t.wait_until_sampled(process.pid)
        process.kill()
        process.wait()

    killer = in_thread(end)
    profile = service.capture(key_of(process), CapturePlan(duration_s=30.0), folder)[-1]
    killer.join()
    assert (profile.status, profile.reason) == (
        CaptureStatus.PARTIAL,
        "the process ended while it was profiled",
    )
    assert profile.hotspots[0].function == "leaf_burner"
    assert profile.duration_s < 28, "it ended with the process, not with its 30 s"


def test_a_native_process_killed_while_profiled_leaves_a_partial_profile(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Tool
) -> None:
    require_tool("perf")
    process = targets.native(require_tool("gcc"), t.NATIVE_BURNER)

    def end() -> None:
        t.wait_until_counted(process.pid)
        used = int(t.stat_fields(process.pid)[11])
        wait_for(lambda: int(t.stat_fields(process.pid)[11]) > used + 30, "0.3 s of CPU")
        process.kill()
        process.wait()

    killer = in_thread(end)
    profile = service.capture(key_of(process), CapturePlan(duration_s=30.0), folder)[-1]
    killer.join()
    assert profile.status is CaptureStatus.PARTIAL
    assert profile.hotspots[0].function == "hot_leaf"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (t.EXECUTES_ANOTHER, "executed another program"),
        pytest.param(t.DROPS_ITS_USER, "changed its user", marks=pytest.mark.root),
    ],
)
def test_evidence_of_a_process_that_became_another_is_thrown_away(
    targets: Targets, service: ProfileCaptureService, folder: Path, source: str, words: str
) -> None:
    process = targets.python(source)

    def change() -> None:
        t.wait_until_sampled(process.pid)
        process.send_signal(signal.SIGUSR1)

    changer = in_thread(change)
    # Long enough for the change to come within it: the target is seen traced only by chance.
    captures = service.capture(key_of(process), CapturePlan(duration_s=8.0), folder)
    changer.join()
    assert captures[-1].status is CaptureStatus.TARGET_REPLACED
    assert words in (captures[-1].reason or "")
    assert captures[-1].path is None
    assert t.names_in(folder) == []
    assert process.poll() is None


def test_a_stopped_process_is_left_alone(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """It gets its context, the reason and what to type; it is not continued behind its owner's back."""
    process = targets.python(t.PYTHON_BURNER)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: state_of(process.pid) == "T", "the target to stop")
    captures = service.capture(key_of(process), SHORT, folder)
    assert [(c.role, c.status) for c in captures] == [
        ("context", CaptureStatus.OK),
        ("dump", CaptureStatus.TARGET_STOPPED),
    ]
    assert captures[-1].fix == f"kill -CONT {process.pid}"
    assert state_of(process.pid) == "T"


def test_a_zombie_is_gone(targets: Targets, service: ProfileCaptureService, folder: Path) -> None:
    parent = targets.start(sys.executable, str(targets.script(t.LEAVES_A_ZOMBIE)))
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    captures = service.capture(key_of(pid), SHORT, folder)
    assert [c.status for c in captures] == [CaptureStatus.TARGET_GONE]
    assert "zombie" in (captures[0].reason or "")


def test_a_process_that_is_gone_is_said_to_be_gone(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    key = key_of(process)
    process.kill()
    process.wait()
    assert [c.status for c in service.capture(key, SHORT, folder)] == [CaptureStatus.TARGET_GONE]
    look = service.first_look(key, folder)
    assert (look.role, look.status) == ("dump", CaptureStatus.TARGET_GONE)


def test_another_process_with_the_same_pid_is_never_looked_at(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    key = key_of(targets.python(t.PYTHON_BURNER))
    captures = service.capture(ProcessKey(key.pid, key.start_ticks - 1), SHORT, folder)
    assert [(c.status, c.payload, c.path) for c in captures] == [(CaptureStatus.TARGET_REPLACED, None, None)]


def test_a_kernel_thread_has_a_context_and_no_wrong_stack(
    service: ProfileCaptureService, folder: Path
) -> None:
    captures = service.capture(key_of(2), SHORT, folder)
    assert captures[0].status is CaptureStatus.OK
    assert json.loads(captures[0].payload or b"")["identity"]["is_kernel_thread"] is True
    assert {c.profiler for c in captures[1:]} <= {"perf"}


def test_stop_from_another_thread_gives_what_there_is(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_BURNER)
    stopped_at: list[float] = []

    def stop() -> None:
        t.wait_until_sampled(process.pid)
        stopped_at.append(time.monotonic())
        service.stop()

    stopper = in_thread(stop)
    profile = service.capture(key_of(process), CapturePlan(duration_s=60.0), folder)[-1]
    took_s = time.monotonic() - stopped_at[0]
    stopper.join()
    assert (profile.status, profile.reason) == (
        CaptureStatus.PARTIAL,
        "ended early: monitord was told to stop",
    )
    assert profile.hotspots[0].function == "leaf_burner"
    assert took_s < 50, "the promise is 2 s on a quiet machine; this bound only tells it from the duration"
    assert service.capture(key_of(process), SHORT, folder)[-1].status is CaptureStatus.OK


def test_a_first_look_does_not_wait_for_a_running_capture(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """While one process is profiled for a minute, another is looked at; then stop() ends the capture."""
    profiled, other = targets.python(t.PYTHON_BURNER), targets.python(t.PYTHON_IDLER)
    captures: list[Capture] = []
    thread = in_thread(
        lambda: captures.extend(service.capture(key_of(profiled), CapturePlan(duration_s=60.0), folder))
    )
    t.wait_until_sampled(profiled.pid)
    look = look_at(service, other, folder)
    assert look.status is CaptureStatus.OK
    assert thread.is_alive()
    service.stop()
    thread.join()
    assert captures[-1].status is CaptureStatus.PARTIAL


@pytest.mark.parametrize("mode", ["never", "listed", "auto"])
def test_without_consent_nothing_is_read(targets: Targets, folder: Path, mode: str) -> None:
    """The refusal says why and what to change; not even the context is taken."""
    process = targets.python(t.PYTHON_BURNER)
    consent = Consent(mode, allow=("postgres",), deny=("*/python3*",) if mode == "auto" else ())
    captures = ProfileCaptureService(consent).capture(key_of(process), SHORT, folder)
    assert [c.status for c in captures] == [CaptureStatus.REFUSED]
    assert captures[0].reason
    assert "capture." in (captures[0].fix or "")
    look = ProfileCaptureService(consent).first_look(key_of(process), folder)
    assert (look.role, look.status) == ("dump", CaptureStatus.REFUSED)


def test_without_descriptors_a_process_is_not_called_gone(targets: Targets, folder: Path) -> None:
    """EMFILE says something of monitord, nothing of the target."""
    process = targets.python(t.PYTHON_BURNER)
    key, limits = key_of(process), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        (capture,) = ProfileCaptureService(Consent()).capture(key, SHORT, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert capture.status is CaptureStatus.TOOL_ERROR
    assert "Too many open files" in (capture.reason or "")


def test_a_listed_process_may_be_profiled(targets: Targets, folder: Path) -> None:
    process = targets.python(t.PYTHON_BURNER)
    consent = Consent("listed", allow=(os.path.realpath(sys.executable),))
    assert look_at(ProfileCaptureService(consent), process, folder).status is CaptureStatus.OK


def test_an_unknown_profiler_is_said_by_name(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    key = key_of(targets.python(t.PYTHON_BURNER))
    captures = service.capture(key, CapturePlan(profiler="vtune"), folder)
    assert captures[-1].status is CaptureStatus.TOOL_MISSING
    assert "vtune" in (captures[-1].reason or "")
    assert [c.role for c in service.capture(key, CapturePlan(profiler="none"), folder)] == ["context"]


@pytest.mark.parametrize("profiler", ["auto", "py-spy"])
def test_who_may_not_look_is_told_what_is_missing(folder: Path, profiler: str) -> None:
    """Without capabilities and for another user's process: unreadable files named, each tool refused with its fix."""
    source = (
        "import json, sys; from pathlib import Path\n"
        "from monitord.capture import *; from monitord.model import *\n"
        "target = ProcessKey(int(sys.argv[1]), int(sys.argv[2]))\n"
        "plan = CapturePlan(profiler=sys.argv[4], duration_s=1.0)\n"
        "found = ProfileCaptureService(Consent()).capture(target, plan, Path(sys.argv[3]))\n"
        "print(json.dumps([[c.profiler, c.status, c.reason, c.fix, (c.payload or b'').decode(), c.notes] for c in found]))"
    )
    with process_of_another() as pid:
        key = key_of(pid)
        ran = subprocess.run(
            [*without(), sys.executable, "-c", source,
             str(key.pid), str(key.start_ticks), str(folder), profiler],
            capture_output=True, text=True, env={"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout.splitlines()[-1])
    context = json.loads(rows[0][4])
    assert context["not_readable"][f"/proc/{key.pid}/io"] == "permission denied"
    assert "io" in rows[0][5]["unread"]
    assert "(to change that: " in rows[0][5]["unread"]
    assert {row[0] for row in rows[1:]} == ({"perf", "eu-stack"} if profiler == "auto" else {"py-spy"})
    assert {row[1] for row in rows[1:]} == {"permission_denied"}
    assert all(row[2] and "root" in row[3] for row in rows[1:])
