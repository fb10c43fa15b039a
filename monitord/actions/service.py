"""monitord under systemd or launchd: installed, removed, controlled, reloaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from monitord.actions.confirming import require_confirmation
from monitord.actions.reloading import is_ours, reload_recorder
from monitord.actions.workspace import Workspace
from monitord.children import system_program
from monitord.config.loading import SYSTEM_FILE, default_path
from monitord.config.places import SYSTEM_DATA_DIR, is_machines
from monitord.errors import MonitordError, NotFoundError, UsageError
from monitord.service import ServicePaths, ServicePlan, control, plan_install, plan_uninstall
from monitord.service.paths import require_rights

NOT_RUNNING = 3  # LSB, and systemctl's own word for it
_NO_SUCH_UNIT = (4, 5)


def install_plan(
    workspace: Workspace, *, system: bool, source: str | None = None, verb: str = "install"
) -> ServicePlan:
    """Return what is to be done to install or upgrade the service.

    `source`: a wheel, a folder of wheels or a requirement, for the machine's service. Raises UsageError, and
    ConfigError, with which it could not start.
    """
    workspace.config()
    if source is not None and not system:
        raise UsageError("invalid call: --from without --system; pipx or uv install what is yours")
    if source is not None and Path(source).exists():
        source = str(Path(source).absolute())
    return plan_install(system, ServicePaths.here(), source=source, verb=verb)


def uninstall_plan(
    named: Path | None, workspace: Workspace, *, system: bool, purge: bool, confirmed: bool
) -> ServicePlan:
    """Return what is to be done to remove the service, with `purge` all that it left, too.

    `named` is the data directory that was named. Else it is the service's own folder, whether it is there
    still or not: never root's instead.
    """
    if purge:
        whose = ("--system",) if system else ()
        words = ("service", "uninstall", *whose, "--purge")
        require_confirmation(confirmed, "delete every incident and the configuration for good", *words)
    data_dir = named or (SYSTEM_DATA_DIR if system else workspace.data_dir)
    if purge and not system and data_dir.resolve() == SYSTEM_DATA_DIR.resolve():
        raise UsageError(f"invalid call: {data_dir} is the machine's, expected --system with it")
    config = SYSTEM_FILE.parent if system else default_path().parent
    return plan_uninstall(system, ServicePaths.here(), purge=data_dir if purge else None, config=config)


def control_service(verb: str, *, system: bool) -> bool:
    """Have the service manager start, stop or restart it, or print its status; False: then it does not run.

    Raises NotFoundError when it is not installed, MonitordError when the manager refuses.
    """
    here = ServicePaths.here()
    command = control(verb, here, system=system)
    if verb in ("start", "restart") and not here.is_mac:  # after too many failures systemd would refuse
        reset = [manager(command[0]), *command[1 : command.index(verb)], "reset-failed", command[-1]]
        subprocess.run(reset, check=False, cwd="/", capture_output=True)
    code = subprocess.run([manager(command[0]), *command[1:]], check=False, cwd="/").returncode
    if code in _NO_SUCH_UNIT:
        whose = " --system" if system else ""
        raise NotFoundError(f"cannot find the service; try `monitord service install{whose}`")
    if verb == "status" and code == NOT_RUNNING:
        return False
    if code:
        raise MonitordError(f"cannot run `{' '.join(command)}`: exit status {code}")
    return True


def log_command(data_dir: Path, *, system: bool, follow: bool, lines: int) -> tuple[str, tuple[str, ...]]:
    """Return the program that shows what the service logged, and its argv.

    The machine's service is meant by `system`, and where its store is the one that answers.
    """
    system = system or is_machines(data_dir)
    command = control("logs", ServicePaths.here(), system=system, follow=follow, lines=lines)
    return manager(command[0]), command


def reload_service(named: Path | None, workspace: Workspace, *, system: bool) -> list[str]:
    """Make the recorder read its configuration again, and return the keys that only a restart takes up.

    Raises ConfigError with the reason when it refuses it.
    """
    is_system = system and named is None
    if is_system:
        require_rights(ServicePaths.here(), "reload", system=True)
    folder = SYSTEM_DATA_DIR if is_system else workspace.data_dir
    # Root trusts no pid in somebody else's file: the unit's ExecReload asks as the service's own user.
    by_manager = os.geteuid() == 0 and sys.platform == "linux" and not is_ours(folder)
    return reload_recorder(folder, ask_manager if by_manager else None)


def ask_manager(_pid: int) -> None:
    """Have systemd reload it. Its exit status is left alone: the status that follows says why."""
    command = (manager("systemctl"), "reload", "monitord.service")
    subprocess.run(command, check=False, cwd="/", capture_output=True)


def manager(name: str) -> str:
    """Return the absolute path of a program of the service manager; raises NotFoundError."""
    program = system_program(name)
    if program is None:
        raise NotFoundError(f"cannot find {name}")
    return program
