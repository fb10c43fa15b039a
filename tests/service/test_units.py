"""The service files themselves, judged by systemd's own tools and, for launchd, key by key."""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.errors import UsageError
from monitord.service.templates import render_plist, render_unit
from monitord.stacks.rings import MOST_BYTES

REPOSITORY = Path(__file__).parents[2]
SYSTEM, USER = "systemd/monitord.service", "systemd/monitord-user.service"


KEEPS_ENVIRONMENT = re.compile(r"\bsudo (?:-\w*E\w*|--preserve-env)\b|`su (?:-c|root)\b")


def written(folder: Path, name: str, program: tuple[str, ...] = ("/bin/true",)) -> Path:
    unit = folder / "monitord.service"
    unit.write_text(render_unit(name, program))
    return unit


def settings(name: str) -> dict[str, str]:
    lines = render_unit(name, ("/bin/true",)).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize(("name", "flag"), [(SYSTEM, "--system"), (USER, "--user")])
def test_systemd_finds_nothing_to_say_about_the_units(
    name: str, flag: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    tool = require_tool("systemd-analyze")
    unit = written(tmp_path, name)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    verdict = subprocess.run([tool, flag, "verify", str(unit)], capture_output=True, text=True, env=env)
    assert (verdict.returncode, verdict.stderr.strip()) == (0, "")


def test_the_system_unit_is_hardened_to_23_or_better(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    tool = require_tool("systemd-analyze")
    unit = written(tmp_path, SYSTEM)
    words = [tool, "security", "--offline=yes", "--threshold=23", "--no-pager", str(unit)]
    verdict = subprocess.run(words, capture_output=True, text=True)
    assert verdict.returncode == 0, verdict.stdout[-400:] + verdict.stderr


def test_nothing_in_the_system_unit_hides_what_it_is_here_to_watch() -> None:
    blinding = {"ProtectProc", "ProcSubset", "PrivateUsers", "PrivatePIDs", "PrivateNetwork"}
    assert blinding.isdisjoint(settings(SYSTEM))
    assert "AF_NETLINK" in settings(SYSTEM)["RestrictAddressFamilies"]


def test_the_system_unit_may_lock_the_memory_of_all_rings() -> None:
    """CAP_PERFMON alone does not lift the limit, and the default one is half of what many CPUs need."""
    values = settings(SYSTEM)
    megabytes = int(values["LimitMEMLOCK"].removesuffix("M"))
    assert megabytes << 20 >= 2 * MOST_BYTES
    assert {"perf_event_open", "process_vm_readv"} <= set(values["SystemCallFilter"].split())
    assert {"CAP_PERFMON", "CAP_SYS_PTRACE"} <= set(values["AmbientCapabilities"].split())
    # A user's manager may not raise it: the service would not start.
    assert "LimitMEMLOCK" not in settings(USER)


def test_the_system_units_interpreter_obeys_no_environment() -> None:
    """The console script honours PYTHONPATH before our code runs: root's service is never given one."""
    text = render_unit("systemd/monitord.service", ("/opt/monitord/bin/monitord",))
    (unset,) = [line for line in text.splitlines() if line.startswith("UnsetEnvironment=")]
    assert {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "LD_PRELOAD"} <= set(
        unset.partition("=")[2].split()
    )


def test_every_documented_line_of_root_goes_through_sudo() -> None:
    """Which drops PYTHONPATH; `su` and `sudo -E` would hand a user's to an interpreter of root's."""
    pages = [REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "CONTRIBUTING.md"]
    sources = (REPOSITORY / "monitord").rglob("*.py")
    for page in [*pages, *sources]:
        for line in page.read_text(encoding="utf-8").splitlines():
            assert not KEEPS_ENVIRONMENT.search(line), f"{page}: {line}"


def test_the_user_unit_leaves_its_directories_to_the_program() -> None:
    assert not [key for key in settings(USER) if key.endswith("Directory")]
    assert settings(USER)["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("name", [SYSTEM, USER])
def test_both_units_report_readiness_feed_a_watchdog_and_come_back(name: str) -> None:
    values = settings(name)
    assert values["Type"] == "notify"
    assert values["WatchdogSec"] == "30s"
    assert values["Restart"] == "on-failure"
    assert values["StartLimitIntervalSec"] == "0"  # else some restarts in a row leave it off for good
    assert values["ExecReload"] == "/bin/true service reload"  # which fails when it is refused
    assert "Group" not in values


def test_a_program_with_a_difficult_path_is_quoted_as_systemd_reads_it(
    tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    """Space, percent and dollar: verify resolves the path, so a wrong quote is a missing file."""
    tool = require_tool("systemd-analyze")
    folder = tmp_path / "a b%h $HOME;c"
    folder.mkdir()
    program = folder / "monitord"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = written(tmp_path, SYSTEM, (str(program),))
    verdict = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True)
    assert (verdict.returncode, verdict.stderr.strip()) == (0, "")


@pytest.mark.parametrize("path", ['/opt/a"b/monitord', "/opt/a\\b/monitord", "/opt/a\nb/monitord"])
def test_a_path_that_systemd_can_not_start_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="install monitord elsewhere"):
        render_unit(SYSTEM, (path,))


LAUNCHD_TYPES = {
    "Label": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ProcessType": str,
    "LowPriorityIO": bool,
    "Nice": int,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "Umask": int,
    "EnvironmentVariables": dict,
    "StandardErrorPath": str,
}


@pytest.mark.parametrize("kind", ["agent", "daemon"])
def test_every_key_of_the_property_lists_is_known_and_has_its_type(kind: str) -> None:
    """launchd.plist(5) by table: launchctl itself can't run here."""
    text = render_plist(f"launchd/dev.monitord.{kind}.plist", ("/opt/a b/monitord",), Path("/L/m.log"))
    values = plistlib.loads(text.encode())
    assert {key: type(value) for key, value in values.items()} == LAUNCHD_TYPES
    assert values["Label"] == f"dev.monitord.{kind}"
    assert values["ProgramArguments"] == ["/opt/a b/monitord", "run"]
    assert values["KeepAlive"] == {"SuccessfulExit": False, "Crashed": True}
    assert values["Umask"] == 0o077
    assert values["StandardErrorPath"] == "/L/m.log"
    assert "@" not in text


@pytest.mark.parametrize("kind", ["agent", "daemon"])
def test_the_property_lists_survive_the_binary_form(
    kind: str, tmp_path: Path, require_tool: Callable[[str], str]
) -> None:
    tool = require_tool("plistutil")
    xml, binary, again = tmp_path / "a.plist", tmp_path / "b.plist", tmp_path / "c.plist"
    xml.write_text(render_plist(f"launchd/dev.monitord.{kind}.plist", ("/opt/monitord",), Path("/L/m.log")))
    subprocess.run([tool, "-i", str(xml), "-f", "bin", "-o", str(binary)], check=True)
    subprocess.run([tool, "-i", str(binary), "-f", "xml", "-o", str(again)], check=True)
    assert binary.read_bytes().startswith(b"bplist")
    assert plistlib.loads(again.read_bytes()) == plistlib.loads(xml.read_bytes())
