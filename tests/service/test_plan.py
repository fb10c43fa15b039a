"""What installing, removing and controlling the service would do, and that doing it is safe."""

from __future__ import annotations

import errno
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.errors import MonitordError, NotFoundError, PermissionDeniedError, UsageError
from monitord.ownership import closed_to_others, is_for_all
from monitord.service import ServicePaths, ServicePlan, apply, control, plan_install, plan_uninstall
from monitord.service.accounts import why_no_system_account
from monitord.service.paths import require_rights
from tests.service.machine import Manager

REPOSITORY = Path(__file__).parents[2]


def test_the_user_service_is_written_started_and_explained(place: ServicePaths) -> None:
    manager = Manager()
    plan = plan_install(False, place)
    apply(plan, run=manager)
    unit = place.home / ".config/systemd/user/monitord.service"
    assert "ExecStart=/usr/bin/env run\n" in unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o644
    assert manager.told == [
        "systemctl --user daemon-reload",
        "systemctl --user enable monitord.service",
        "systemctl --user reset-failed monitord.service",
        "systemctl --user restart monitord.service",
    ]
    assert any("loginctl enable-linger alice" in hint for hint in plan.hints)


def test_installing_twice_changes_nothing_more(place: ServicePaths) -> None:
    apply(plan_install(False, place), run=Manager())
    unit = place.unit_path(system=False)
    before = unit.stat()
    assert f"unchanged {unit}" in apply(plan_install(False, place), run=Manager())
    assert (unit.stat().st_ino, unit.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_an_older_service_file_is_replaced_and_a_link_is_not_followed(
    place: ServicePaths, tmp_path: Path
) -> None:
    unit = place.unit_path(system=False)
    unit.parent.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    unit.symlink_to(precious)
    apply(plan_install(False, place), run=Manager())
    assert precious.read_text() == "mine"
    assert not unit.is_symlink()


def test_printing_shows_files_and_commands_and_changes_nothing(place: ServicePaths, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    text = plan_install(True, place).text()
    assert f"# file {tmp_path}/etc/systemd/system/monitord.service (mode 0644)" in text
    assert "User=monitord" in text
    assert "$ systemctl restart monitord.service" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_system_service_needs_root_and_says_the_sudo_line(place: ServicePaths) -> None:
    with pytest.raises(PermissionDeniedError, match="sudo /usr/bin/env service install --system"):
        apply(plan_install(True, place), run=Manager())
    with pytest.raises(PermissionDeniedError, match="sudo /usr/bin/env service stop --system"):
        control("stop", place, system=True)


def test_the_sudo_line_can_be_typed_as_it_stands(place: ServicePaths) -> None:
    odd = replace(place, uid=1000, program=("/opt/my tools/python", "-c", "import sys; sys.exit()"))
    with pytest.raises(PermissionDeniedError) as refused:
        require_rights(odd, "install", system=True)
    line = str(refused.value).partition("`")[2].rstrip("`")
    assert shlex.split(line) == ["sudo", *odd.program, "service", "install", "--system"]


def test_a_system_service_is_refused_when_its_user_could_not_start_it(
    place: ServicePaths, tmp_path: Path
) -> None:
    """systemd would say status=203/EXEC; here the reason and the way out come before anything is written."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").touch(mode=0o755)
    root = replace(place, uid=0, interpreter=closed / "python")
    with pytest.raises(PermissionDeniedError, match=r"python3(\.\d+)? -m venv /opt/monitord"):
        apply(plan_install(True, root), run=Manager())
    assert not place.unit_path(system=True).exists()


def test_root_installs_the_system_service(place: ServicePaths) -> None:
    manager = Manager()
    apply(plan_install(True, replace(place, uid=0)), run=manager)
    assert "User=monitord" in place.unit_path(system=True).read_text()
    assert manager.told[-1] == "systemctl restart monitord.service"


@pytest.mark.parametrize(
    ("uid", "group", "said"),
    [
        (0, "monitord", "is root"),
        (1000, "monitord", "a person's account"),
        (998, "users", "its group is users"),
        (998, "monitord", None),
    ],
)
def test_an_account_of_the_services_name_must_be_one_for_a_service(
    uid: int, group: str, said: str | None
) -> None:
    """Else it records as root, or everybody in that group reads every user's processes."""
    reason = why_no_system_account("monitord", uid, group)
    assert (reason is None) == (said is None)
    assert said is None or said in str(reason)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing_is_told_in_one_line(error: int, place: ServicePaths) -> None:
    def refuse(_argv: object) -> object:
        raise OSError(error, os.strerror(error), "/opt/monitord")

    with pytest.raises(MonitordError, match=r"cannot change /opt/monitord: .*; mend that and try again"):
        apply(plan_install(False, place), run=refuse)  # type: ignore[arg-type]


def test_each_component_must_be_executable_by_everybody(tmp_path: Path) -> None:
    assert closed_to_others(Path("/usr/bin/env")) is None
    assert closed_to_others(Path("/usr/bin/no-such-program")) == Path("/usr/bin/no-such-program")
    tmp_path.chmod(0o700)
    assert closed_to_others(tmp_path / "python") is not None


def test_without_systemd_there_is_one_clear_line(place: ServicePaths, tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").rmdir()
    for attempt in (
        lambda: apply(plan_install(False, place), run=Manager()),
        lambda: control("status", place),
    ):
        with pytest.raises(NotFoundError, match="cannot use systemd"):
            attempt()


def test_a_failing_command_is_told_in_the_managers_words(place: ServicePaths) -> None:
    with pytest.raises(
        MonitordError, match=r"cannot run `systemctl --user enable monitord.service`: no such unit$"
    ):
        apply(plan_install(False, place), run=Manager(fails="enable"))
    with pytest.raises(MonitordError, match="log in as that user"):
        apply(plan_install(False, place), run=Manager(fails="enable", says="Failed to connect to bus: No"))


@pytest.mark.root  # else all of it is ours, which is said first
def test_the_machines_service_is_made_of_what_only_root_can_change(
    place: ServicePaths, tmp_path: Path
) -> None:
    """A program below a home, or one that others may write: refused before anything is done, with a way out."""
    program = tmp_path / "bin/monitord"
    program.parent.mkdir()
    program.touch(mode=0o755)
    for mode, reason in ((0o777, "can be written by others"), (0o700, "can't enter")):
        program.parent.chmod(mode)
        fit = replace(place, uid=0, program=(str(program),), interpreter=Path("/bin/sh"))
        manager = Manager()
        with pytest.raises(PermissionDeniedError, match=reason) as refused:
            apply(plan_install(True, fit), run=manager)
        assert "-m venv /opt/monitord && sudo /opt/monitord/bin/pip install /" in str(refused.value)
        assert "pip install monitord" not in str(refused.value)
        assert manager.told == []


@pytest.mark.parametrize(
    ("verb", "system", "argv"),
    [
        ("start", False, "systemctl --user start monitord.service"),
        ("status", True, "systemctl status --no-pager monitord.service"),
        ("logs", True, "journalctl -u monitord.service -n 100 -f"),
        ("logs", False, "journalctl --user -u monitord.service -n 100 -f"),
    ],
)
def test_control_is_systemds_own_command(place: ServicePaths, verb: str, system: bool, argv: str) -> None:
    assert " ".join(control(verb, place, system=system, follow=True)) == argv


def test_an_unknown_verb_is_refused(place: ServicePaths) -> None:
    for one in (place, replace(place, platform="darwin")):
        with pytest.raises(UsageError):
            control("dance", one)


def test_on_macos_launchctl_is_used_as_documented(place: ServicePaths) -> None:
    """Written from launchctl(1); no macOS was at hand."""
    mac = replace(place, platform="darwin")
    manager = Manager(fails="bootout")
    apply(plan_install(False, mac), run=manager)
    agent = mac.home / "Library/LaunchAgents/dev.monitord.agent.plist"
    assert agent.exists()
    assert (mac.home / "Library/Logs/monitord").is_dir()
    assert manager.told == [
        "launchctl bootout gui/1000/dev.monitord.agent",
        f"launchctl bootstrap gui/1000 {agent}",
    ]
    assert control("restart", mac) == ("launchctl", "kickstart", "-k", "gui/1000/dev.monitord.agent")
    assert control("logs", mac)[-1] == str(mac.home / "Library/Logs/monitord/monitord.log")
    apply(plan_uninstall(False, mac), run=manager)
    assert not agent.exists()


def test_this_machine_knows_itself() -> None:
    here = ServicePaths.here()
    assert here.interpreter.is_absolute()
    assert Path(here.program[0]).exists()


# What pipx and uv leave below a home: an environment, and a link to its program where PATH finds it.
TOOLS = {
    "pipx": (".local/share/pipx/venvs/monitord", "pipx_metadata.json"),
    "an older pipx": (".local/pipx/venvs/monitord", "pipx_metadata.json"),
    "uv": (".local/share/uv/tools/monitord", "uv-receipt.toml"),
}


def installed_by(tool: str, home: Path) -> Path:
    """A program of that tool's layout that runs, of an ordinary user, in a home that everybody may enter."""
    folder, receipt = TOOLS[tool]
    prefix, packages = home / folder, sysconfig.get_path("purelib")
    site = prefix / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    site.mkdir(parents=True)
    (prefix / "bin").mkdir()
    (prefix / receipt).touch()
    (prefix / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    (prefix / "bin/python").symlink_to(Path(sys.executable).resolve())
    (site / "shared.pth").write_text(f"{REPOSITORY}\n{packages}\n")
    script = prefix / "bin/monitord"
    script.write_text(f"#!{prefix}/bin/python\nfrom monitord.cli import main\nmain()\n")
    script.chmod(0o755)
    (home / ".local/bin").mkdir(exist_ok=True)
    (home / ".local/bin/monitord").symlink_to(script)
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, 4321, 4321, follow_symlinks=False)
    return home / ".local/bin/monitord"


@pytest.mark.root  # of what belongs to who asks, root makes an environment of its own
@pytest.mark.parametrize("tool", TOOLS)
def test_what_pipx_or_uv_installed_is_refused_as_the_machines_service(
    tool: str, place: ServicePaths, tmp_path: Path
) -> None:
    """Root's service would run what its user can change: nothing is written, and the way out is one line."""
    program = installed_by(tool, tmp_path / "home")
    root = replace(place, uid=0, program=(str(program),), interpreter=Path(sys.executable).resolve())
    manager = Manager()
    with pytest.raises(
        PermissionDeniedError, match=r"cannot make this monitord the machine's service: .* belongs to "
    ) as refused:
        apply(plan_install(True, root), run=manager)
    assert "-m venv /opt/monitord && sudo /opt/monitord/bin/pip install " in str(refused.value)
    assert manager.told == []
    assert not root.unit_path(system=True).exists()
    (hint,) = [hint for hint in plan_install(False, root).hints if "for everybody's" in hint]
    assert "-m venv /opt/monitord" in hint  # and not a sudo line that would be refused


@pytest.mark.root
@pytest.mark.parametrize("tool", TOOLS)
def test_printing_says_that_it_would_be_refused_and_why(tool: str, tmp_path: Path) -> None:
    """Beside what it prints, whatever else is in the way on this machine."""
    program = installed_by(tool, tmp_path / "home")
    printed = subprocess.run(
        [program, "service", "install", "--system", "--print"], cwd="/", capture_output=True, text=True
    )
    assert printed.returncode == 0, printed.stderr
    assert "User=monitord" in printed.stdout
    assert re.search(r"this would be refused: cannot make this monitord .* belongs to ", printed.stderr)


@pytest.mark.root
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(("caller", "is_taken"), [("4321", True), ("4322", False), ("", False), ("x", False)])
def test_root_takes_over_what_belongs_to_who_called_sudo(
    tool: str, caller: str, is_taken: bool, tmp_path: Path
) -> None:
    """And to nobody else: an environment of root's own is made of it, and the service runs from there."""
    if not is_for_all(Path(f"/usr/bin/python3.{sys.version_info.minor}")) and not is_for_all(
        Path(sys.executable).resolve()
    ):
        pytest.skip("needs a Python of this version that everybody can execute: apt-get install python3")
    program = installed_by(tool, tmp_path / "home")
    printed = subprocess.run(
        [program, "service", "install", "--system", "--print"],
        cwd="/", capture_output=True, text=True, env={**os.environ, "SUDO_UID": caller},
    )  # fmt: skip
    assert printed.returncode == 0, printed.stderr
    assert ("cannot make this monitord" in printed.stderr) != is_taken, printed.stderr
    assert ("# environment /opt/monitord/versions/" in printed.stdout) == is_taken
    assert ("ExecStart=/opt/monitord/current/bin/monitord run" in printed.stdout) == is_taken
    assert ("rights of uid 4321" in printed.stdout) == is_taken


def test_on_macos_the_machines_store_is_shared_with_a_group(place: ServicePaths) -> None:
    """Written from dseditgroup(8) and chmod(1); no macOS was at hand."""
    mac = replace(place, platform="darwin", uid=0)
    manager = Manager()
    apply(plan_install(True, mac), run=manager)
    data = place.data_dir
    assert manager.told[:3] == [
        "dseditgroup -o create monitord",
        f"chgrp monitord {data}",
        f"chmod 2750 {data}",
    ]
    assert manager.told[-1].startswith("launchctl bootstrap system ")
    assert "$ dseditgroup -o delete monitord" in plan_uninstall(True, mac, purge=data).text()


def test_upgrading_what_is_not_installed_is_refused(place: ServicePaths) -> None:
    with pytest.raises(NotFoundError, match=r"cannot upgrade: .* try `monitord service install`"):
        apply(plan_install(False, place, verb="upgrade"), run=Manager())
    apply(plan_install(False, place), run=Manager())
    manager = Manager()
    apply(plan_install(False, place, verb="upgrade"), run=manager)
    assert manager.told[-1] == "systemctl --user restart monitord.service"


@pytest.mark.parametrize("fails", ["daemon-reload", "enable", "restart"])
def test_an_install_that_fails_leaves_no_service(fails: str, place: ServicePaths) -> None:
    """Else the next login starts what nobody has."""
    manager = Manager(fails=fails)
    with pytest.raises(MonitordError, match=fails):
        apply(plan_install(False, place), run=manager)
    unit = place.unit_path(system=False)
    assert list(unit.parent.iterdir()) == []
    assert "systemctl --user disable --now monitord.service" in manager.told


def test_an_update_that_fails_gives_back_the_bytes_and_the_mode_of_the_service_before_it(
    place: ServicePaths,
) -> None:
    """A person wrote the unit, in whatever encoding, and may have closed it for a secret that it holds."""
    unit = place.unit_path(system=False)
    unit.parent.mkdir(parents=True)
    unit.write_bytes(b"# caf\xe9\n[Service]\nEnvironment=TOKEN=x\n")
    unit.chmod(0o600)
    before = unit.read_bytes()
    with pytest.raises(MonitordError, match="enable"):
        apply(plan_install(False, place), run=Manager(fails="enable"))
    assert (unit.read_bytes(), unit.stat().st_mode & 0o777) == (before, 0o600)


def test_an_update_that_fails_leaves_the_service_before_it(place: ServicePaths) -> None:
    unit = place.unit_path(system=False)
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/usr/bin/true\n")
    manager = Manager(fails="enable")
    with pytest.raises(MonitordError, match="enable"):
        apply(plan_install(False, place), run=manager)
    assert unit.read_text() == "[Service]\nExecStart=/usr/bin/true\n"
    told = manager.told
    assert told[told.index("systemctl --user enable monitord.service") + 1 :] == [
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed monitord.service",
        "systemctl --user restart monitord.service",
    ]


@pytest.mark.parametrize("plan", [plan_install, plan_uninstall])
def test_a_second_install_meanwhile_is_refused_in_one_line(
    plan: Callable[[bool, ServicePaths], ServicePlan], place: ServicePaths
) -> None:
    manager, refused = Manager(), []

    def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        if "enable" in argv:
            with pytest.raises(
                MonitordError, match=r"another install or uninstall .* is under way"
            ) as caught:
                apply(plan(False, place), run=Manager())
            refused.append(caught.value)
        return manager(argv)

    apply(plan_install(False, place), run=run)
    assert len(refused) == 1
    unit = place.unit_path(system=False)
    assert list(unit.parent.iterdir()) == [unit], "the lock is gone, the unit stays"
    apply(plan(False, place), run=Manager())  # and afterwards it goes
