"""The function that used the CPU is named, whatever waits beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitord.best_evidence import leading_hotspots
from monitord.capture import Consent, ProfileCaptureService
from monitord.capture.profilers.py_spy import PySpyDump
from monitord.capture.tools import Toolbox
from monitord.model import BY_PY_SPY, Capture, CapturePlan, CaptureStatus, ProcessKey
from monitord.profiles import hotspots, parse
from tests.burners import burn_command
from tests.capture import targets as t
from tests.capture.targets import GRACE_S, Targets, key_of, look_at, take

SHORT = CapturePlan(duration_s=2.0)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scheduler's times are Linux's")


def named(service: ProfileCaptureService, key: ProcessKey, folder: Path) -> tuple[Capture, Capture, Capture]:
    """The first look with its hotspots, and of the ladder the dump with its own, and the profile."""
    look = service.read(look_at(service, key.pid, folder), folder)
    _context, dump, profile = service.capture(key, SHORT, folder)[:3]
    return look, service.read(dump, folder), profile


@pytest.mark.parametrize("idle", [0, 1, 8, 45])
def test_idle_threads_take_no_blame(
    idle: int, targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """In the first look, in the dump and in the profile the busy function leads, and nothing else is hot.

    Those that wait are told apart, by the function that has them wait.
    """
    process = targets.python(t.PYTHON_BUSY_BESIDE_IDLE, str(idle))
    captures = named(service, key_of(process), folder)
    told = {0: None, 1: "1 thread waits in waits_for_ever"}.get(
        idle, f"{idle} threads wait in waits_for_ever"
    )
    assert [capture.notes.get("waiting") for capture in captures[:2]] == [told, told]
    for capture in captures:
        assert capture.status is CaptureStatus.OK, capture.reason
        assert capture.hotspots[0].function == "leaf_burner"
        assert capture.hotspots[0].self_share > 0.95
        assert "Condition.wait" not in {spot.function for spot in capture.hotspots}


@pytest.fixture
def starve() -> Iterator[Callable[[int], None]]:
    """Leave a process next to nothing of the one CPU that it may run on; for a minute at the most."""
    burners: list[subprocess.Popen[bytes]] = []

    def leave_nothing(pid: int) -> None:
        cpu = min(os.sched_getaffinity(pid))
        for number in range(2):
            burners.append(subprocess.Popen(burn_command(60), start_new_session=True))
            os.sched_setaffinity(burners[number].pid, {cpu})
        for entry in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(entry.name), {cpu})
            os.sched_setscheduler(int(entry.name), os.SCHED_IDLE, os.sched_param(0))

    yield leave_nothing
    for one in burners:
        one.kill()
        one.wait()


def test_idle_threads_take_no_blame_on_a_machine_where_hardly_anything_runs(
    targets: Targets, service: ProfileCaptureService, folder: Path, starve: Callable[[int], None]
) -> None:
    """A process that gets no turn is not taken for one that wants none."""
    process = targets.python(t.PYTHON_BUSY_BESIDE_IDLE, "8")
    starve(process.pid)
    captures = service.capture(key_of(process), CapturePlan(duration_s=4.0), folder)
    (profile,) = [capture for capture in captures if capture.role == "profile"][:1]
    assert "--idle" not in profile.notes.get("flags", ""), profile.notes
    leading = [spot.function for spot in profile.hotspots[:1]]
    assert leading in ([], ["leaf_burner"]), "nothing is known of it, or the truth"


@pytest.mark.parametrize("idle", [1, 20, 80])
def test_idle_threads_take_no_blame_in_a_pid_namespace(
    idle: int, targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """There py-spy calls every thread busy; the artefact that is kept says the same as the hotspots."""
    pid = targets.python_in_pid_namespace(t.PYTHON_BUSY_BESIDE_IDLE, str(idle))
    for capture in named(service, key_of(pid), folder):
        assert capture.status is CaptureStatus.OK, capture.reason
        assert capture.hotspots[0].function == "leaf_burner"
        assert capture.hotspots[0].self_share > 0.95
        data = capture.payload if capture.path is None else capture.path.read_bytes()
        again = hotspots(parse(capture.format or "", data or b"", pid=pid))
        assert again[0].function == "leaf_burner"


def test_the_waits_of_a_half_busy_thread_take_no_blame_in_a_pid_namespace(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """It waits longer than it runs: the wait is neither the hottest function nor a warm one."""
    pid = targets.python_in_pid_namespace(t.PYTHON_HALF_BUSY)
    captures = service.capture(key_of(pid), SHORT, folder)
    profile = next(capture for capture in captures if capture.role == "profile")
    assert (profile.profiler, profile.status) == ("py-spy", CaptureStatus.OK), profile.reason
    assert profile.hotspots[0].function == "leaf_burner"
    assert "rests" not in {spot.function for spot in profile.hotspots if spot.self_share > 0.1}
    assert (profile.explained_share or 0) > 0.5


def test_work_without_pythons_lock_is_not_explained_by_the_little_with_it(
    targets: Targets, folder: Path, require_tool: Callable[[str], str], service: ProfileCaptureService
) -> None:
    """In a pid namespace only what holds the lock is sampled: a function of C without it is asked of perf."""
    require_tool("perf")
    library = targets.library(require_tool("gcc"), t.NATIVE_THREAD)
    pid = targets.python_in_pid_namespace(t.PYTHON_WITH_HELPERS, str(library))
    captures = service.capture(key_of(pid), SHORT, folder)
    told = [(one.profiler, one.status, one.reason, one.hotspots[:1]) for one in captures]
    shown = leading_hotspots(captures)
    assert shown[0].function in ("native_leaf", "calls"), told
    assert captures[-1].profiler == "perf", told


def test_waiting_workers_of_a_pool_take_no_blame(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_POOL)
    _context, _dump, profile = service.capture(key_of(process), SHORT, folder)[:3]
    assert profile.hotspots[0].function == "leaf_burner"


def test_a_pool_of_45_idle_workers_beside_a_guilty_function_is_a_sentence_and_no_hotspot(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_IDLE_POOL, "45")
    look, dump, profile = named(service, key_of(process), folder)
    for capture in (look, dump, profile):
        assert capture.hotspots[0].function == "leaf_burner"
        assert capture.hotspots[0].self_share > 0.95
        assert "_worker" not in {spot.function for spot in capture.hotspots}
    assert look.notes["waiting"] == dump.notes["waiting"] == "45 threads wait in _worker"


def test_what_a_hardly_busy_program_waits_in_is_no_hotspot_beside_what_it_runs(
    targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """It uses 8 % of a core: py-spy samples waits, too, and they are told as such."""
    process = targets.python(t.PYTHON_HARDLY_BUSY, "8")
    plan = CapturePlan(profiler="py-spy", duration_s=2.0)
    for _again in range(
        8
    ):  # where its main thread runs at the very moment of the question, waits are not asked for
        profile = service.capture(key_of(process), plan, folder)[-1]
        if "--idle" in profile.notes["flags"]:
            break
    assert "--idle" in profile.notes["flags"]
    assert not {"waits_for_ever", "Condition.wait"} & {spot.function for spot in profile.hotspots}
    assert profile.notes["waiting"] == "8 threads wait in waits_for_ever"


def test_a_native_thread_is_found_behind_an_innocent_python_line(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """py-spy's answer is doubted, with the reason; perf is asked next, and names the native function."""
    require_tool("perf")
    library = targets.library(require_tool("gcc"), t.NATIVE_THREAD)
    process = targets.python(t.PYTHON_WITH_NATIVE_THREAD, str(library))
    captures = service.capture(key_of(process), SHORT, folder)
    by_py_spy, by_perf = captures[-2:]
    assert (by_py_spy.profiler, by_perf.profiler) == ("py-spy", "perf")
    assert by_py_spy.status in (CaptureStatus.PARTIAL, CaptureStatus.NO_SAMPLES)
    assert "of the CPU that the process used" in (by_py_spy.reason or "")
    assert by_py_spy.explained_share is not None
    assert by_py_spy.explained_share < 0.2
    assert by_perf.status is CaptureStatus.OK
    assert by_perf.hotspots[0].function == "native_leaf"
    assert (by_perf.explained_share or 0) > 0.8


def test_helper_threads_of_a_library_leave_the_calling_line_in_the_lead(
    targets: Targets, service: ProfileCaptureService, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """Two native threads keep step with the Python thread that called: it is told, perf is asked, Python leads."""
    require_tool("perf")
    library = targets.library(require_tool("gcc"), t.NATIVE_THREAD)
    process = targets.python(t.PYTHON_WITH_HELPERS, str(library))
    captures = service.capture(key_of(process), SHORT, folder)
    by_py_spy, by_perf = captures[-2:]
    assert (by_py_spy.profiler, by_py_spy.status) == ("py-spy", CaptureStatus.OK)
    assert by_py_spy.hotspots[0].function == "calls"
    assert "of the CPU that the process used" in by_py_spy.notes["explained"]
    assert by_perf.profiler == "perf"
    shown = leading_hotspots(captures)
    assert shown[0].function == "calls"


@pytest.mark.parametrize(("threads", "depth"), [(90, 60), (600, 10)])
def test_the_dump_of_a_crowd_is_kept_and_says_what_it_left_out(
    threads: int, depth: int, targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    process = targets.python(t.PYTHON_DEEP_CROWD, str(threads), str(depth))
    look = service.read(look_at(service, process, folder), folder)
    assert look.status is CaptureStatus.OK, look.reason
    assert look.sample_count == threads + 1
    assert look.hotspots[0].function == "leaf_burner"


@pytest.mark.parametrize("depth", [3000, 60_000])
def test_a_recursion_deeper_than_anybody_reads_is_named_or_unknown(
    depth: int, targets: Targets, service: ProfileCaptureService, folder: Path
) -> None:
    """In the look and in the profile the Python function leads or nobody; never a function of the interpreter."""
    process = targets.python(t.PYTHON_DEEP, str(depth))
    t.give_way(process.pid)  # what it has to say is read for many seconds
    look = service.read(service.first_look(key_of(process), folder), folder)
    profile = service.capture(key_of(process), t.SHORT, folder)[-1]
    for capture in (look, profile):
        leading = [spot.function for spot in capture.hotspots[:1]]
        assert leading in (["leaf_burner"], ["[unknown]"], []), (capture.profiler, capture.hotspots[:3])
        if leading == ["[unknown]"]:
            told = capture.notes["unnamed"]  # or of an interpreter whose names were taken away, as Debian's
            assert "not of the Python program" in told or "is stripped" in told


def test_a_dump_that_fails_is_tried_once_more(targets: Targets, folder: Path, tmp_path: Path) -> None:
    """A tool that fails the first time only: the second dump is kept, and the first failure is noted."""
    real = Toolbox().path("py-spy")
    marker, tool = tmp_path / "failed", tmp_path / "py-spy"
    tool.write_text(f'#!/bin/sh\n[ -e {marker} ] && exec {real} "$@"\n: > {marker}\necho raced >&2\nexit 1\n')
    tool.chmod(0o755)
    look = take(PySpyDump(), targets.python(t.PYTHON_BURNER), folder, Toolbox({"py-spy": str(tool)}))
    assert (look.status, look.notes.get("first_try")) == (CaptureStatus.OK, "raced")


def test_native_threads_that_wait_in_any_call_take_no_blame_from_eu_stack(
    targets: Targets, folder: Path, require_tool: Callable[[str], str]
) -> None:
    """Six threads in `read`, which may be a disk at work, and one that runs: the scheduler tells them apart."""
    require_tool("eu-stack")
    process = targets.native(require_tool("gcc"), t.NATIVE_AMONG_READERS)
    service = ProfileCaptureService(Consent(), grace_s=GRACE_S, tools={"perf": "/nonexistent/perf"})
    key = key_of(process)
    profile = service.capture(key, SHORT, folder)[-1]
    assert (profile.profiler, profile.status) == ("eu-stack", CaptureStatus.OK), profile.reason
    assert profile.hotspots[0].function == "hot_leaf"
    assert profile.notes["waiting"].startswith("6 threads wait in ")
    assert "reads" not in {spot.function for spot in profile.hotspots}


@pytest.mark.parametrize("by", ["thread", "pool"])
def test_compiled_code_that_a_thread_was_given_is_named_and_not_who_called_it(
    by: str,
    targets: Targets,
    service: ProfileCaptureService,
    folder: Path,
    require_tool: Callable[[str], str],
) -> None:
    """Python's own library only called it: py-spy's answer is partial, and perf names the function."""
    require_tool("perf")
    library = targets.library(require_tool("gcc"), t.NATIVE_THREAD)
    process = targets.python(t.PYTHON_THAT_RUNS_NATIVE_CODE, str(library), by)
    captures = service.capture(key_of(process), SHORT, folder)
    shown = leading_hotspots(captures)
    told = [(one.profiler, one.status, one.reason, one.hotspots[:2]) for one in captures]
    assert shown[0].function == "native_leaf", told
    beside = [spot for spot in shown if spot.seen == BY_PY_SPY]
    assert [spot.kind for spot in beside] == ["python"], "the line of Python is told, too"
