"""What doctor says of the black box, when the kernel grants its rings and when it does not."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitord.doctor import Check, Surroundings
from monitord.doctor.black_box import check_black_box
from monitord.perf_events.perf_event import LockedMemoryError
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.status import write_status
from monitord.stacks.rings import Rings, Scope

ROOM = Path(__file__).parents[2]
NO_CAPABILITIES = "CapEff:\t0000000000000000\n"
PERFMON = f"CapEff:\t{1 << 38:016x}\n"


@pytest.fixture
def here(tmp_path: Path) -> Surroundings:
    (tmp_path / "proc/sys/kernel").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/sys/kernel/perf_event_paranoid").write_text("3\n")
    (tmp_path / "proc/self/status").write_text(NO_CAPABILITIES)
    return Surroundings(data_dir=tmp_path, version="1.0", root=tmp_path, platform="linux")


def refusing(*errors: OSError) -> Callable[[int, int, Scope], Rings]:
    """The kernel's answer to each scope that is tried."""
    answers = iter(errors)

    def refuse(_rate_hz: int, _bytes: int, _scope: Scope) -> Rings:
        raise next(answers)

    return refuse


def the_check(here: Surroundings) -> Check:
    [check] = check_black_box(here)
    return check


@pytest.mark.root
def test_where_all_is_granted_it_says_how_much() -> None:
    """The call is tried, and what was opened for it is closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    check = the_check(Surroundings(data_dir=Path("/tmp"), version="1.0"))
    assert (check.outcome, check.fix) == ("ok", None)
    assert check.detail.startswith("stacks of all processes: 512 KiB on each of ")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("status", "errors", "said", "fix"),
    [
        (
            NO_CAPABILITIES,
            [errno.EACCES, errno.EACCES],
            "perf_event_paranoid is 3 and CAP_PERFMON",
            "paranoid=2",
        ),
        (
            PERFMON,
            [errno.EACCES],
            "paranoid is 3, which this kernel holds against CAP_PERFMON",
            "sysctl --system",
        ),
        (PERFMON, [errno.EPERM], "a seccomp filter", "--cap-add PERFMON"),
        (NO_CAPABILITIES, [errno.EPERM, errno.EPERM], "a seccomp filter", "--cap-add PERFMON"),
        (PERFMON, [errno.EMFILE], "too many files", "ulimit -n"),
    ],
)
def test_each_refusal_has_its_reason_and_what_to_type(
    here: Surroundings, status: str, errors: list[int], said: str, fix: str
) -> None:
    (here.root / "proc/self/status").write_text(status)
    check = the_check(replace(here, open_rings=refusing(*(OSError(number, "no") for number in errors))))
    assert check.outcome == "warning"
    assert said in check.detail
    assert "only Python stacks of busy processes are read" in check.detail
    assert fix in (check.fix or "")


@pytest.mark.root
@pytest.mark.parametrize(
    ("box", "outcome"),
    [
        ({"state": "on", "scope": "machine", "reason": None}, "ok"),
        ({"state": "on", "scope": "own processes", "reason": "no\x1b[31m right"}, "warning"),
        ({"state": "off", "scope": None, "reason": "no right"}, "warning"),
        ({"state": "off", "scope": None, "reason": None}, "warning"),
        ("nonsense", "ok"),
    ],
    ids=str,
)
def test_a_recorder_that_is_granted_less_than_who_asks_is_named(
    box: Any, outcome: str, here: Surroundings
) -> None:
    """Root was told that all is well, while the service's user was refused by a kernel of Debian's."""
    write_status(here.data_dir, {"black_box": box, "taken_at": here.now, "pid": 1})
    assert the_check(here).outcome == "ok", "nobody records"
    with hold(here.data_dir / DAEMON_LOCK, "taken"):
        check = the_check(here)
    assert check.outcome == outcome
    if outcome == "warning":
        assert check.detail.startswith("the recorder is granted less than you: no")
        assert "\x1b" not in check.detail
        assert "paranoid=2" in (check.fix or "")


def test_an_unknown_machine_is_named_and_nothing_is_to_be_typed(here: Surroundings) -> None:
    said = OSError(errno.ENOSYS, "cannot open a perf event: unknown system call numbers of linux on riscv64")
    check = the_check(replace(here, open_rings=refusing(said)))
    assert "riscv64" in check.detail
    assert check.fix is None


def test_no_locked_memory_at_all_is_told_from_a_filter(here: Surroundings) -> None:
    (here.root / "proc/self/status").write_text(PERFMON)
    check = the_check(replace(here, open_rings=refusing(LockedMemoryError(errno.EPERM, "no"))))
    assert "locked memory" in check.detail
    assert "memlock 32768" in (check.fix or "")


def test_switched_off_is_no_fault(here: Surroundings) -> None:
    assert the_check(replace(here, has_black_box=False)).outcome == "ok"


@pytest.mark.parametrize(
    ("platform", "uid", "is_there", "outcome", "words"),
    [
        ("darwin", 0, True, "ok", "where it is on: sudo tailspin enable (untested)"),
        ("darwin", 501, True, "warning", "to root alone (untested)"),
        ("darwin", 0, False, "warning", "stacks begin at the first crossing"),
        ("freebsd14", 0, True, "warning", "the rings are Linux's"),
    ],
)
def test_elsewhere_it_is_said_what_there_is(
    platform: str, uid: int, is_there: bool, outcome: str, words: str, here: Surroundings
) -> None:
    """Written from documentation: no macOS was at hand."""
    tools = here.root / "tools"
    tools.mkdir()
    if is_there:
        (tools / "tailspin").touch(mode=0o755)
    check = the_check(replace(here, platform=platform, uid=uid, search_path=str(tools)))
    assert check.outcome == outcome
    assert words in check.detail


def as_ordinary(before: str) -> Any:
    """What doctor says to a process without rights, of this very kernel."""
    code = (
        "import json, os, resource, sys, _ctypes\nfrom pathlib import Path\nfrom dataclasses import asdict\n"
        "from monitord import rights\nfrom monitord.doctor import Surroundings\n"
        "from monitord.doctor.black_box import check_black_box\n"
        f"here = Surroundings(data_dir=Path('/tmp'), version='1.0', uid=65534, executable=Path('/bin/sh'))\nhere.system_install\n{before}\n"
        "[check] = check_black_box(here)\nprint(json.dumps(asdict(check)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOM, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_ordinary_user_is_told_that_it_is_his_own_processes_alone() -> None:
    """At perf_event_paranoid 2, tried for real."""
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) not in (1, 2):
        pytest.skip("needs perf_event_paranoid 1 or 2: sudo sysctl kernel.perf_event_paranoid=2")
    said = as_ordinary("rights.keep_only((), (65534, 65534))")
    assert said["outcome"] == "warning"
    assert said["detail"].startswith("stacks of your own processes")
    assert "service install --system" in said["fix"]


def test_a_filter_of_system_calls_is_told_from_missing_rights() -> None:
    """As a container runtime has one, tried for real."""
    said = as_ordinary("rights.keep_only((38, 39))\nrights.refuse_calls(profiles=False)")
    assert "a seccomp filter refuses perf_event_open" in said["detail"]


@pytest.mark.root
def test_rings_that_had_to_be_smaller_are_a_warning_with_the_limit() -> None:
    """CAP_PERFMON without CAP_IPC_LOCK, and no locked memory beyond what the kernel gives everybody."""
    said = as_ordinary(
        "from monitord.stacks.rings import Rings\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))\n"
        "rights.keep_only((38,), (65534, 65534))\n"
        "held = [Rings.open()]\n"
        "while held[-1].bytes_a_cpu == 512 << 10: held.append(Rings.open())"
    )
    assert said["outcome"] == "warning"
    assert "less than configured" in said["detail"] or "locked memory is too low" in said["detail"]
    assert "memlock 32768" in said["fix"]
