"""Consent, folding, identity, argv construction: what can be said without running a profiler."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.capture import Consent, cgroups
from monitord.capture.doubts import doubted, is_enough
from monitord.capture.dumps import DUMP_CAP_BYTES, join_dumps, kept_dump, read_dump
from monitord.capture.perf_fold import stacks
from monitord.capture.profilers import NAMES, mac_sample, mac_spindump
from monitord.capture.profilers.eu_stack import EuStack
from monitord.capture.profilers.perf import Perf
from monitord.capture.profilers.perf import record_command as perf_command
from monitord.capture.profilers.py_spy import PySpyRecord
from monitord.capture.session import MAIN_THREAD_SLEPT, first_words
from monitord.capture.target import Target
from monitord.capture.thread_cpu import slept_share
from monitord.capture.tools import Toolbox
from monitord.model import CaptureStatus, Hotspot
from monitord.procfs import parse_stat
from monitord.profiles import hotspots, parse
from tests.capture import targets as t
from tests.capture.targets import Targets, key_of
from tests.fakes import a_capture
from tests.patience import PATIENCE_S

SAMPLES = Path(__file__).parent / "samples"


@pytest.mark.parametrize(
    ("consent", "is_refused"),
    [
        (Consent(), False),
        (Consent("auto", deny=("web*",)), True),
        (Consent("auto", deny=("/usr/bin/*",)), True),
        (Consent("auto", deny=("WEB",)), False),
        (Consent("listed"), True),
        (Consent("listed", allow=("web",)), False),
        (Consent("listed", allow=("*",), deny=("/usr/bin/web",)), True),
        (Consent("never", allow=("*",)), True),
    ],
)
def test_consent_is_deny_over_allow(consent: Consent, is_refused: bool) -> None:
    refusal = consent.refusal("web", "/usr/bin/web")
    assert (refusal is not None) == is_refused
    assert refusal is None or all(refusal)


@pytest.mark.parametrize(
    ("consent", "name", "executable", "is_allowed"),
    [
        (Consent(), "", None, True),
        (Consent("auto", deny=("secretd",)), "", "/usr/bin/x", False),
        (Consent("auto", deny=("secretd",)), "web", None, True),
        (Consent("auto", deny=("/opt/secret/*",)), "web", None, False),
        (Consent("auto", deny=("/opt/secret/*",)), "", "/usr/bin/x", True),
        (Consent("auto", deny=("*secret*",)), "web", None, False),
        (Consent("auto", deny=("secretd", "/opt/secret/*")), "web", "/usr/bin/x", True),
        (Consent("listed", allow=("web",)), "", None, False),
        (Consent("never"), "web", "/usr/bin/x", False),
    ],
)
def test_who_is_not_known_any_more_may_be_one_that_is_denied(
    consent: Consent, name: str, executable: str | None, is_allowed: bool
) -> None:
    """The black box tells of processes that are gone."""
    assert consent.permits(name, executable) is is_allowed


def test_an_unreadable_executable_is_not_on_a_list_of_paths() -> None:
    assert Consent("listed", allow=("/usr/bin/*",)).refusal("web", None) is not None


def test_perf_script_is_folded_root_first() -> None:
    """Blanks and brackets in names, unknown symbols, kernel frames, semicolons: one frame stays one frame."""
    text = [
        "Web Content 12/13  1.5: ",
        "\t 1226 operator()(int, char) (/srv/app/hot fp)",
        "\t 10c8 [unknown] (/srv/app/hot;fp)",
        "",
        "swapper 0/0  1.6: ",
        "\tffffffff81436e95 tmigr_handle_remote ([kernel.kallsyms])",
    ]
    assert list(stacks(text)) == [
        ("[unknown] (/srv/app/hot:fp)", "operator()(int, char) (/srv/app/hot fp)"),
        ("tmigr_handle_remote ([kernel.kallsyms])",),
    ]


def test_a_name_with_brackets_does_not_shift_the_fields_of_stat() -> None:
    tail = b" R 7 1 1 0 -1 2097152 0 0 0 0 30 12 0 0 20 0 4 0 555 1 1 0 111 0 222 " + b"0 " * 26
    stat = parse_stat(b"42 (a) S 1 1)" + tail)
    assert (stat.name, stat.state, stat.parent_pid) == ("a) S 1 1", "R", 7)
    assert (stat.cpu_ticks, stat.thread_count, stat.start_ticks, stat.image) == (42, 4, 555, (111, 222))
    assert stat.is_kernel_thread


def test_python_is_told_by_its_executable_not_by_its_name(targets: Targets) -> None:
    """A shell that calls itself python3 is no Python, and a Python under another name is one."""
    impostor = targets.folder / "python3-tool"
    impostor.symlink_to("/bin/sleep")
    fake = targets.start(str(impostor), "600")
    real = targets.python("import ctypes; ctypes.CDLL(None).prctl(15, b'sleep', 0, 0, 0)\n" + t.PYTHON_IDLER)
    t.wait_for(lambda: "sleep" in t.executable(fake.pid), "the impostor to run")
    with Target(key_of(fake)) as target:
        assert not target.is_python
    with Target(key_of(real)) as target:
        assert target.name == "sleep"
        assert target.is_python


def test_a_tools_heading_is_not_taken_for_its_reason() -> None:
    """perf 6.1 writes "Error:" on a line of its own; the reason stands under it."""
    stderr = b"Error:\nAccess to performance monitoring and observability operations is limited.\nConsider\n"
    assert first_words(stderr) == "Access to performance monitoring and observability operations is limited."
    assert first_words(b"Error:\n") == "Error:"


def test_a_tools_backtrace_is_left_out() -> None:
    text = b"Error: Failed\n\nCaused by:\n    0: No such file (os error 2)\n    1: x\n\nStack backtrace:\n 0: y\n"
    assert first_words(text) == "Error: Failed; caused by No such file (os error 2)"
    assert first_words(b"") == ""
    assert len(first_words(b"x" * 5000)) == 300


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("Permission Denied: Try running again with elevated permissions", CaptureStatus.PERMISSION_DENIED),
        ("Error: Failed to find python version from target process", CaptureStatus.NOT_PYTHON),
        (
            "Error: No python processes found in process 1 or any of its subprocesses",
            CaptureStatus.NOT_PYTHON,
        ),
        ("Error: Unsupported version of Python: 3.99", CaptureStatus.UNSUPPORTED_VERSION),
        (
            "Error: Failed to get process executable name.\nCaused by:\n 0: No such file or directory (os error 2)",
            CaptureStatus.TARGET_GONE,
        ),
        (
            "Error: Failed to get process executable name.\nCaused by:\n 0: Permission denied (os error 13)",
            CaptureStatus.PERMISSION_DENIED,
        ),
        (
            "Error: Failed to suspend process\nunexpected waitpid result PtraceEvent(Pid(1), SIGSTOP, 128)",
            CaptureStatus.TARGET_STOPPED,
        ),
    ],
)
def test_the_words_of_py_spy_are_understood(words: str, status: CaptureStatus) -> None:
    found = PySpyRecord().explain(words)
    assert found is not None
    assert found[0] is status


def test_the_words_of_perf_and_eu_stack_are_understood() -> None:
    denied = Perf().explain("Access to performance monitoring and observability operations is limited.")
    assert denied is not None
    assert denied[0] is CaptureStatus.PERMISSION_DENIED
    assert ("CAP_PERFMON" if os.geteuid() == 0 else "perf_event_paranoid") in (denied[2] or "")
    gone = Perf().explain("Couldn't create thread/CPU maps: No such process")
    assert gone is not None
    assert gone[0] is CaptureStatus.TARGET_GONE
    for words, status in (
        ("eu-stack: dwfl_linux_proc_report pid 9: No such file or directory", CaptureStatus.TARGET_GONE),
        ("eu-stack: dwfl_linux_proc_report pid 9: Permission denied", CaptureStatus.PERMISSION_DENIED),
    ):
        found = EuStack().explain(words)
        assert found is not None
        assert found[0] is status


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"null", b'[{"frames": 7}]', b"[" * 100_000, b"\xff"])
def test_what_is_not_a_dump_is_not_kept(data: bytes) -> None:
    assert kept_dump(data, {}) is None
    assert read_dump(data) is None


def test_of_a_dump_that_is_too_big_the_busiest_threads_are_kept_and_the_rest_is_counted() -> None:
    """1,500 threads of 20 frames in any order; the two that ran are there, first, and values never are."""
    frames = [
        {
            "name": f"function_{depth}",
            "filename": "/srv/app.py",
            "line": depth,
            "locals": [{"repr": "secret"}],
        }
        for depth in range(20)
    ]
    threads = [{"os_thread_id": number, "active": True, "frames": frames} for number in range(1, 1501)]
    shares = dict.fromkeys(range(1, 1501), 0.0) | {700: 0.9, 1400: 0.1}
    kept = kept_dump(json.dumps(threads).encode(), shares)
    assert kept is not None
    payload, count, left_out = kept
    shown = json.loads(payload)
    assert len(payload) <= DUMP_CAP_BYTES
    assert (count, left_out) == (1500, 1500 - len(shown))
    assert [thread["os_thread_id"] for thread in shown[:2]] == [700, 1400]
    assert [thread["active"] for thread in shown[:3]] == [True, True, False]
    assert b"secret" not in payload


def test_joined_dumps_are_one_dump_with_the_samples_of_both() -> None:
    one, empty = b'[{"os_thread_id":1,"cpu_share":0.5,"active":true,"frames":[{"name":"f"}]}]', b"[]"
    joined = join_dumps(join_dumps(empty, join_dumps(one, one)), empty)
    profile = parse("py-spy-dump", joined)
    assert (profile.sample_count, profile.total) == (2, 1.0)


def test_perf_records_into_the_folder_only_and_ends_by_itself() -> None:
    command = perf_command("/usr/bin/perf", 42, 99, 1.5)
    assert command[:2] == ("/usr/bin/perf", "record")
    assert command[-5:] == ("-o", "perf.data", "--", "/bin/sleep", "1.50")
    assert "-N" in command
    assert command[command.index("-e") : command.index("-e") + 2] == ("-e", "cpu-clock")


def test_the_tools_of_macos_are_called_as_their_manual_says() -> None:
    assert mac_sample.command("/usr/bin/sample", 42, 9.6, "/x/sample.txt") == (
        "/usr/bin/sample", "42", "10", "10", "-mayDie", "-file", "/x/sample.txt",
    )  # fmt: skip
    assert mac_spindump.command("/usr/sbin/spindump", 42, 0.2, "/x/spindump.txt") == (
        "/usr/sbin/spindump", "42", "1", "10", "-file", "/x/spindump.txt",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "total", "function"),
    [("sample", 1600, "memmove"), ("spindump", 1000, "-[NSView _layoutSubtreeWithOldSize:]")],
)
def test_reports_of_macos_are_read(name: str, total: int, function: str) -> None:
    """On re-created reports: none could be recorded."""
    data = (SAMPLES / f"{name}.txt").read_bytes()
    profile = parse(name, data, pid=4242)
    assert profile.sample_count == total
    assert function in {spot.function for spot in hotspots(profile)}
    assert name in NAMES


def test_a_report_of_sample_without_a_call_graph_is_a_refusal() -> None:
    assert mac_sample.has_call_graph((SAMPLES / "sample.txt").read_bytes())
    assert not mac_sample.has_call_graph(b"Analysis of sampling x (pid 1) every 1 millisecond\n")


def test_py_spy_is_the_one_beside_the_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever PATH says."""
    planted = tmp_path / "py-spy"
    planted.write_text("#!/bin/sh\n")
    planted.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = Toolbox().path("py-spy")
    assert found is not None
    assert Path(found).parent in (Path(sys.executable).parent, Path("/usr/bin"), Path("/usr/local/bin"))


def test_a_tool_given_by_a_relative_path_is_not_run() -> None:
    assert Toolbox({"perf": "perf"}).path("perf") is None


@pytest.mark.root
def test_a_cgroup_can_be_made_and_is_removed_with_what_is_in_it(targets: Targets) -> None:
    path = cgroups.make_cgroup()
    if path is None:
        pytest.skip("no cgroup can be made here: run as root where /sys/fs/cgroup can be written")
    process = targets.start("/bin/sleep", "600")
    (path / "cgroup.procs").write_text(str(process.pid))
    assert cgroups.end_cgroup(path) or process.wait(PATIENCE_S) is not None
    assert cgroups.end_cgroup(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("before", "after", "share"), [(0, 9_500_000_000, 0.05), (0, 3_600_000_000, 0.64), (None, 5, 0.0)]
)
def test_how_long_a_thread_slept_is_what_it_neither_ran_nor_waited_for(
    before: int | None, after: int, share: float
) -> None:
    assert slept_share(before, after, 10.0) == pytest.approx(share)


def test_scalene_is_not_enough_where_the_program_slept() -> None:
    """It counts sleep as work; what py-spy says after it leads, because a doubted profile is partial."""
    whole = a_capture(profiler="scalene")
    slept = replace(whole, notes={MAIN_THREAD_SLEPT: "0.64"})
    assert is_enough(doubted(whole))
    assert not is_enough(doubted(slept))
    assert doubted(slept).status is CaptureStatus.PARTIAL
    assert "slept 64 %" in (doubted(slept).reason or "")


@pytest.mark.parametrize(
    ("function", "file", "share", "is_doubted"),
    [
        ("Thread.run", "/usr/lib/python3.11/threading.py", 0.9, True),
        ("_WorkItem.run", "/usr/lib/python3.11/concurrent/futures/thread.py", 0.6, True),
        ("mapstar", "/usr/lib/python3.11/multiprocessing/pool.py", 0.9, True),
        ("Handle._run", "/usr/lib/python3.11/asyncio/events.py", 0.9, True),
        ("Handle._run", "/usr/lib/python3.11/asyncio/events.py", 0.3, False),
        ("run", "/srv/app/threads.py", 0.9, False),
        ("run", "threading.py", 0.9, False),
        ("Thread.run", None, 0.9, False),
    ],
)
def test_a_profile_that_leads_with_who_only_calls_others_is_partial(
    function: str, file: str | None, share: float, is_doubted: bool
) -> None:
    spot = Hotspot(function, file, 7, share, share)
    other = Hotspot("other", "/srv/app/a.py", 8, 1 - share, 1 - share)
    capture = replace(a_capture(role="profile"), status=CaptureStatus.OK, hotspots=(spot, other))
    assert (doubted(capture).status is CaptureStatus.PARTIAL) == is_doubted
    assert is_enough(doubted(capture)) != is_doubted
