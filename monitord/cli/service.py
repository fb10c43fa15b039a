"""`service …`: monitord under systemd or launchd. The service room decides; this shows."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.children import system_program
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, say
from monitord.errors import MonitordError, NotFoundError, UsageError
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.service import ServicePlan

SystemFlag = Annotated[
    bool, typer.Option("--system", help="The machine's service (needs root) instead of yours.")
]
PrintFlag = Annotated[
    bool, typer.Option("--print", "--dry-run", help="Show every file and command, do nothing.")
]

_NOT_RUNNING = 3  # LSB, and systemctl's own word for it
_NO_SUCH_UNIT = (4, 5)


def install(context: CliContext, system: SystemFlag = False, print_only: PrintFlag = False) -> None:
    """Install monitord as a service and start it; installing again updates it."""
    from monitord.service import ServicePaths, plan_install

    context.config()  # a service that can't read its configuration would only restart for ever
    _carry_out(plan_install(system, ServicePaths.here()), print_only)


def uninstall(
    context: CliContext,
    system: SystemFlag = False,
    print_only: PrintFlag = False,
    purge: Annotated[bool, typer.Option("--purge", help="Also delete everything recorded.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm --purge.")] = False,
) -> None:
    """Stop and remove the service; --purge also deletes what was recorded."""
    from monitord.config.places import SYSTEM_DATA_DIR
    from monitord.service import ServicePaths, plan_uninstall

    if purge and not (yes or print_only):
        raise UsageError("--purge deletes every incident for good; say --yes too if that is meant")
    # Of the service's own folder, whether it is there still or not: never of root's instead.
    data_dir = context.data_dir_flag or (SYSTEM_DATA_DIR if system else context.data_dir())
    plan = plan_uninstall(system, ServicePaths.here(), purge=data_dir if purge else None)
    _carry_out(plan, print_only)


def start(context: CliContext, system: SystemFlag = False) -> None:
    """Start the installed service."""
    _control("start", system)


def stop(context: CliContext, system: SystemFlag = False) -> None:
    """Stop the service; it comes back at the next boot or login."""
    _control("stop", system)


def restart(context: CliContext, system: SystemFlag = False) -> None:
    """Stop and start the service."""
    _control("restart", system)


def reload(context: CliContext, system: SystemFlag = False) -> None:
    """Make the recorder read its configuration again; exit 6 with the reason when it refuses it."""
    from monitord.config.places import SYSTEM_DATA_DIR
    from monitord.daemon.asking import is_ours, reload_recorder

    is_system = system and context.data_dir_flag is None
    if is_system:
        from monitord.service import ServicePaths
        from monitord.service.paths import require_rights

        require_rights(ServicePaths.here(), "reload", system=True)
    folder = SYSTEM_DATA_DIR if is_system else context.data_dir()
    # Root trusts no pid in somebody else's file: the unit's ExecReload asks as the service's own user.
    by_manager = os.geteuid() == 0 and sys.platform == "linux" and not is_ours(folder)
    waiting = reload_recorder(folder, _ask_manager if by_manager else None)
    emit("reloaded\n")
    if waiting:
        say(f"only a restart takes up: {printable(', '.join(waiting))}; `monitord service restart`")


def _ask_manager(_pid: int) -> None:
    """Its exit status is left alone: the status that follows says why."""
    command = (_program("systemctl"), "reload", "monitord.service")
    subprocess.run(command, check=False, cwd="/", capture_output=True)


def status(context: CliContext, system: SystemFlag = False) -> None:
    """What the service manager says about it; exit 3 when it does not run."""
    _control("status", system)


def logs(
    context: CliContext,
    system: SystemFlag = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many of the last ones.")] = 100,
) -> None:
    """Show what the service logged."""
    from monitord.service import ServicePaths, control

    command = control("logs", ServicePaths.here(), system=system, follow=follow, lines=lines)
    sys.stdout.flush()
    os.execv(_program(command[0]), command)  # noqa: S606 - an argv list made by the service room, no shell


def _program(name: str) -> str:
    program = system_program(name)
    if program is None:
        raise NotFoundError(f"{name} is not installed here")
    return program


def _carry_out(plan: ServicePlan, print_only: bool) -> None:
    from monitord.service import apply

    if print_only:
        for obstacle in plan.obstacles():
            say(f"monitord: this would be refused: {obstacle}")
        emit(plan.text())
        return
    for line in apply(plan):
        emit(f"{line}\n")
    for hint in plan.hints:
        say(hint)


def _control(verb: str, system: bool) -> None:
    from monitord.service import ServicePaths, control

    here = ServicePaths.here()
    command = control(verb, here, system=system)
    if verb in ("start", "restart") and not here.is_mac:  # after too many failures systemd would refuse
        reset = [_program(command[0]), *command[1 : command.index(verb)], "reset-failed", command[-1]]
        subprocess.run(reset, check=False, cwd="/", capture_output=True)
    code = subprocess.run([_program(command[0]), *command[1:]], check=False, cwd="/").returncode
    if code in _NO_SUCH_UNIT:
        whose = " --system" if system else ""
        raise NotFoundError(f"the service is not installed; type `monitord service install{whose}`")
    if verb == "status" and code == _NOT_RUNNING:
        flag = " --system" if system else ""
        say(f"it does not run; `monitord service start{flag}` starts it, whatever ended it before")
        raise typer.Exit(_NOT_RUNNING)
    if code:
        raise MonitordError(f"`{' '.join(command)}` failed with exit status {code}")
