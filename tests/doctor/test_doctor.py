"""Every check against real files, real tools and a small stand-in for /proc, /sys and /etc."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.doctor import CHECKS, Check, Surroundings, run_checks
from monitord.doctor.data import check_data_folder
from monitord.doctor.machine import judge_descriptors
from monitord.service import ServicePaths, plan_install
from monitord.storage.cells import time_cell
from monitord.storage.schema import HEAD

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
NO_CAPABILITIES = "Name:\tmonitord\nCapEff:\t0000000000000000\n"
PROFILING_CAPABILITIES = "Name:\tmonitord\nCapEff:\t0000004000080004\n"


@pytest.fixture
def here(tmp_path: Path) -> Surroundings:
    """An ordinary Debian machine of an ordinary user, with nothing on it."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    root = tmp_path / "root"
    lay(root, "etc/os-release", 'ID=debian\nNAME="Debian"\n')
    lay(root, "proc/self/status", NO_CAPABILITIES)
    lay(root, "proc/sys/kernel/perf_event_paranoid", "2\n")
    lay(root, "proc/pressure/cpu", "some avg10=0.00\n")
    lay(root, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    (tmp_path / "bin").mkdir()
    return Surroundings(
        data_dir=data_dir,
        version="1.0",
        min_free_disk_bytes=1,
        now=NOW,
        root=root,
        platform="linux",
        uid=os.geteuid(),
        search_path=str(tmp_path / "bin"),
        executable=Path("/bin/sh"),
    )


def lay(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def the(name: str, here: Surroundings) -> Check:
    [check] = [check for check in run_checks(here) if check.name == name]
    return check


def tool(here: Surroundings, name: str, script: str) -> None:
    path = Path(here.search_path) / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def database(here: Surroundings, *, revision: str = HEAD, raised_at: datetime | None = None) -> Path:
    path = here.data_dir / "monitord.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.execute("CREATE TABLE profile_capture (id INTEGER)")
        # The first revision had no others; in a later one that is missing is damage.
        for table in ("incident", "history", "state", "event") if revision != "0001" else ():
            connection.execute(f"CREATE TABLE {table} (correlation_id TEXT, raised_at DATETIME)")
        if raised_at:
            connection.execute("INSERT INTO incident VALUES ('abcdefabcdef', ?)", (time_cell(raised_at),))
    connection.close()
    return path


def test_every_warning_and_failure_says_what_to_type(here: Surroundings) -> None:
    checks = run_checks(replace(here, executable=Path("/root-of-nobody/python")))
    assert {check.outcome for check in checks} == {"ok", "warning"}
    assert all(check.fix for check in checks if check.outcome != "ok")
    assert all("\n" not in check.detail + (check.fix or "") for check in checks)


def test_every_check_of_the_module_stands_in_the_table() -> None:
    import monitord.doctor as doctor

    assert {look.__name__ for look in CHECKS} == {name for name in dir(doctor) if name.startswith("check_")}


@pytest.mark.parametrize(
    ("release", "perf", "elfutils"),
    [
        ("ID=debian", "sudo apt-get install -y linux-perf", "sudo apt-get install -y elfutils"),
        (
            "ID=ubuntu\nID_LIKE=debian",
            "sudo apt-get install -y linux-tools-common linux-tools-$(uname -r)",
            "sudo apt-get install -y elfutils",
        ),
        (
            'ID="rocky"\nID_LIKE="rhel centos fedora"',
            "sudo dnf install -y perf",
            "sudo dnf install -y elfutils",
        ),
        ('ID="opensuse-leap"', "sudo zypper install -y perf", "sudo zypper install -y elfutils"),
        ("ID=plan9", "install perf with this", "install elfutils with this"),
    ],
)
def test_a_missing_tool_is_installed_the_way_of_the_distribution(
    here: Surroundings, release: str, perf: str, elfutils: str
) -> None:
    lay(here.root, "etc/os-release", release + "\n")
    assert str(the("perf", here).fix).startswith(perf)
    assert str(the("eu-stack", here).fix).startswith(elfutils)


def test_a_tool_is_there_only_when_it_starts(here: Surroundings) -> None:
    tool(here, "perf", "echo perf version 6.1")
    tool(here, "eu-stack", "echo wrong kernel >&2; exit 2")
    tool(here, "py-spy", "exec /no/such/interpreter")
    assert the("perf", here).detail.startswith("perf version 6.1 at ")
    assert "wrong kernel" in the("eu-stack", here).detail
    assert the("py-spy", here).outcome == "warning"


def test_the_real_py_spy_is_found_beside_the_interpreter(tmp_path: Path) -> None:
    real = Surroundings(data_dir=tmp_path / "none", version="1.0")
    assert the("py-spy", real).detail.startswith("py-spy ")


@pytest.mark.parametrize(
    ("level", "status", "outcome"),
    [
        ("2", NO_CAPABILITIES, "ok"),
        ("3", NO_CAPABILITIES, "warning"),
        ("4", PROFILING_CAPABILITIES, "warning"),
        ("4", "CapEff:\t0000000000200000\n", "ok"),
    ],
)
def test_perf_is_refused_above_level_two_without_all_rights(
    here: Surroundings, level: str, status: str, outcome: str
) -> None:
    """Debian's 6.1 does so in spite of CAP_PERFMON."""
    lay(here.root, "proc/sys/kernel/perf_event_paranoid", level)
    lay(here.root, "proc/self/status", status)
    assert the("perf rights", here).outcome == outcome


@pytest.mark.parametrize(
    ("level", "status", "outcome"),
    [
        ("0", NO_CAPABILITIES, "ok"),
        ("1", NO_CAPABILITIES, "warning"),
        ("2", PROFILING_CAPABILITIES, "ok"),
        ("3", PROFILING_CAPABILITIES, "warning"),
    ],
)
def test_yama_is_told_by_its_level(here: Surroundings, level: str, status: str, outcome: str) -> None:
    lay(here.root, "proc/sys/kernel/yama/ptrace_scope", level)
    lay(here.root, "proc/self/status", status)
    assert the("ptrace", here).outcome == outcome


def test_capabilities_are_named_when_missing(here: Surroundings) -> None:
    missing = the("capabilities", here)
    assert "CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_PERFMON" in missing.detail
    assert missing.fix == "sudo /bin/sh -I -m monitord service install --system"
    lay(here.root, "proc/self/status", PROFILING_CAPABILITIES)
    assert the("capabilities", here).outcome == "ok"
    assert the("whose processes", replace(here, uid=1000)).outcome == "ok"


def test_an_ordinary_user_reaches_own_processes_only(here: Surroundings) -> None:
    assert the("whose processes", replace(here, uid=1000)).detail == "those of uid 1000 only"


def test_a_data_directory_open_to_others_is_told_with_the_chmod(here: Surroundings) -> None:
    assert the("data directory", here).outcome == "ok"
    here.data_dir.chmod(0o755)
    assert the("data directory", here).outcome == "warning"
    here.data_dir.chmod(0o775)
    check = the("data directory", here)
    assert (check.outcome, check.fix) == ("failure", f"chmod 700 {here.data_dir}")


def test_a_data_directory_of_somebody_else_or_where_others_could_lay_one_is_a_failure(
    here: Surroundings, tmp_path: Path
) -> None:
    assert the("data directory", replace(here, uid=os.geteuid() + 1)).outcome == "failure"
    link = tmp_path / "link"
    link.symlink_to(here.data_dir)
    check = the("data directory", replace(here, data_dir=link))
    assert (check.outcome, "symbolic link" in check.detail) == ("failure", True)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "data").mkdir(mode=0o700)
    check = the("data directory", replace(here, data_dir=shared / "data"))
    assert (check.outcome, "others could exchange it" in check.detail) == ("failure", True)


@pytest.mark.root
def test_root_finds_the_folder_of_a_services_user_in_order(here: Surroundings) -> None:
    """A dynamic user's data directory, below folders that are root's."""
    os.chown(here.data_dir, 62432, 62432)
    check = the("data directory", replace(here, uid=0))
    assert (check.outcome, "service's user (uid 62432)" in check.detail) == ("ok", True)


def test_the_floor_of_the_disk_is_measured(here: Surroundings) -> None:
    assert the("free disk", here).outcome == "ok"
    assert the("free disk", replace(here, min_free_disk_bytes=10**18)).outcome == "warning"


def test_the_database_is_read_and_its_schema_compared(here: Surroundings) -> None:
    path = database(here)
    assert the("database", here).detail == f"schema {HEAD}, sound"
    path.unlink()
    database(here, revision="9999")
    assert the("database", here).outcome == "failure"
    path.unlink()
    database(here, revision="0001")
    assert the("database", here).fix == "monitord db upgrade"


def test_a_damaged_database_is_a_failure_and_is_not_touched(here: Surroundings) -> None:
    path = database(here)
    broken = bytearray(path.read_bytes())
    broken[4096:4196] = os.urandom(100)
    path.write_bytes(broken)
    check = the("database", here)
    assert (check.outcome, check.fix) == ("failure", "monitord db check")
    assert path.read_bytes() == bytes(broken)


def test_the_doctor_writes_nothing(here: Surroundings) -> None:
    database(here, raised_at=NOW)
    before = {path: path.stat().st_mtime_ns for path in here.data_dir.rglob("*")}
    run_checks(here)
    assert {path: path.stat().st_mtime_ns for path in here.data_dir.rglob("*")} == before


def test_the_budget_counts_database_and_artefacts(here: Surroundings) -> None:
    size = database(here).stat().st_size
    lay(here.data_dir, "artefacts/a.zst", "x" * 1000)
    check = the("budget", replace(here, max_total_bytes=size + 999))
    assert check.outcome == "warning"
    assert check.detail.endswith("kB used: over the budget")
    assert the("budget", replace(here, max_total_bytes=size + 1000)).outcome == "ok"


def test_an_incident_from_the_future_is_told_with_its_id(here: Surroundings) -> None:
    path = database(here, raised_at=NOW - timedelta(minutes=1))
    assert the("clock", here).outcome == "ok"
    path.unlink()
    database(here, raised_at=NOW + timedelta(days=3650))
    check = the("clock", here)
    assert check.outcome == "warning"
    assert "monitord delete abcdefabcdef" in str(check.fix)


def test_a_daemon_is_who_holds_the_lock_and_speaks(here: Surroundings) -> None:
    lock = here.data_dir / "lock"
    lock.write_text("4711\n")
    assert the("daemon", here).outcome == "warning"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "has not reported" in the("daemon", here).detail
        say(here, taken_at=NOW - timedelta(seconds=5), version="1.0")
        assert the("daemon", here).detail == "pid 4711 runs, last report 5 s ago"
        say(here, taken_at=NOW - timedelta(hours=1), version="0.9")
        assert "silent for 3600 s" in the("daemon", here).detail
        assert the("daemon version", here).fix == "monitord service restart"


def test_what_the_daemon_complains_of_is_told(here: Surroundings) -> None:
    """A reload that was refused, passes that fail: the doctor says it as `status` does."""
    (here.data_dir / "lock").write_text("4711\n")
    with (here.data_dir / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        say(here, taken_at=NOW, version="1.0", degraded=["the last reload was refused", 7])
        trouble = the("daemon trouble", here)
    assert (trouble.outcome, trouble.detail) == ("warning", "the last reload was refused")


def say(here: Surroundings, *, taken_at: datetime, version: str, degraded: object = ()) -> None:
    text = json.dumps({"taken_at": taken_at.isoformat(), "version": version, "degraded": degraded})
    (here.data_dir / "status.json").write_text(text)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"taken_at": 7}'])
def test_a_broken_status_file_is_as_good_as_none(here: Surroundings, text: str) -> None:
    (here.data_dir / "lock").write_text("4711\n")
    (here.data_dir / "status.json").write_text(text)
    with (here.data_dir / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "has not reported" in the("daemon", here).detail


def test_a_stale_service_file_is_told_with_the_line_that_renews_it(
    here: Surroundings, tmp_path: Path
) -> None:
    unit = tmp_path / "monitord.service"
    with_unit = replace(here, units={unit: "new", tmp_path / "absent": "x"})
    assert not [check for check in run_checks(with_unit) if check.name == "service file"]
    unit.write_text("old")
    assert the("service file", with_unit).fix == "monitord service install"
    unit.write_text("new")
    assert the("service file", with_unit).outcome == "ok"


def test_a_service_file_is_judged_apart_from_where_its_program_lies(
    here: Surroundings, tmp_path: Path
) -> None:
    place = ServicePaths("linux", ("/usr/bin/env",), Path("/usr/bin/env"), tmp_path, "alice", 1, tmp_path)
    for one in (place, replace(place, platform="darwin")):
        [wanted] = plan_install(False, one).files
        unit = tmp_path / "unit"
        with_unit = replace(here, units={unit: wanted.content})
        for program, outcome in (
            ("/usr/bin/env", "ok"),
            ("/bin/sh", "ok"),
            ("/gone away/monitord", "warning"),
        ):
            [found] = plan_install(False, replace(one, program=(program,))).files
            unit.write_text(found.content)
            check = the("service file", with_unit)
            assert (check.outcome, program in check.detail) == (outcome, outcome == "warning")


def test_an_interpreter_below_a_closed_directory_is_told(here: Surroundings, tmp_path: Path) -> None:
    assert the("interpreter", here).outcome == "ok"
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").touch(mode=0o755)
    check = the("interpreter", replace(here, executable=closed / "python"))
    assert check.outcome == "warning"
    assert ("203/EXEC" if os.geteuid() == 0 else "belongs to ") in check.detail  # what is his is no root's


def test_open_files_must_do_for_every_process() -> None:
    assert judge_descriptors(1000, 900).outcome == "ok"
    assert judge_descriptors(1000, 990).outcome == "warning"
    assert judge_descriptors(resource.RLIM_INFINITY, 10**6).outcome == "ok"


def test_pressure_and_cgroups_are_told_by_their_files(here: Surroundings) -> None:
    assert the("pressure", here).outcome == "ok"
    assert the("cgroup", here).detail == "unified (v2)"
    (here.root / "proc/pressure/cpu").unlink()
    (here.root / "sys/fs/cgroup/cgroup.controllers").unlink()
    assert the("pressure", here).outcome == "warning"
    assert the("cgroup", here).outcome == "warning"
    lay(here.root, "sys/fs/cgroup/unified/cgroup.procs", "")
    assert the("cgroup", here).detail.startswith("hybrid")


def test_on_macos_nothing_is_said_about_linux(here: Surroundings) -> None:
    """Written from documentation: no macOS was at hand."""
    names = {check.name for check in run_checks(replace(here, platform="darwin", uid=501))}
    assert names.isdisjoint(
        {"perf", "eu-stack", "ptrace", "perf rights", "pressure", "cgroup", "interpreter"}
    )
    assert {"py-spy", "sample", "spindump", "whose processes"} <= names


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the running Linux machine")
def test_the_running_machine_is_judged_without_a_traceback(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    require_tool("perf")
    require_tool("eu-stack")
    outcomes = {check.name: check.outcome for check in run_checks(Surroundings(tmp_path / "none", "1.0"))}
    assert outcomes["perf"] == outcomes["eu-stack"] == "ok"
    assert outcomes["data directory"] == "ok"


@pytest.mark.parametrize(
    ("kind", "outcome"), [("nfs4", "warning"), ("fuse.sshfs", "warning"), ("9p", "warning"), ("ext4", None)]
)
def test_a_data_directory_on_a_network_file_system_is_told(
    here: Surroundings, kind: str, outcome: str | None
) -> None:
    """SQLite's locks and shared memory are not to be relied on there."""
    lines = [
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
        f"30 20 0:40 / {here.data_dir.parent} rw - {kind} host:/x rw",
    ]
    (here.root / "proc/self").mkdir(parents=True, exist_ok=True)
    (here.root / "proc/self/mountinfo").write_text("\n".join(lines) + "\n")
    found = [check.outcome for check in check_data_folder(here) if check.name == "file system"]
    assert found == ([outcome] if outcome else [])
