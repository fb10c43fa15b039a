"""`service …`: monitord under systemd or launchd."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, say
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.service import ServicePlan

SystemFlag = Annotated[
    bool, typer.Option("--system", help="The machine's service (needs root) instead of yours.")
]
PrintFlag = Annotated[
    bool, typer.Option("--print", "--dry-run", help="Show every file and command, do nothing.")
]


FromFlag = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SOURCE",
        help="With --system, not of this installation: a wheel, a folder of wheels, monitord==VERSION.",
    ),
]


def install(
    context: CliContext, system: SystemFlag = False, source: FromFlag = None, print_only: PrintFlag = False
) -> None:
    """Install monitord as a service and start it; installing again updates it."""
    from monitord.actions.service import install_plan

    _carry_out(install_plan(context.recording_workspace, system=system, source=source), print_only)


def upgrade(
    context: CliContext, system: SystemFlag = False, source: FromFlag = None, print_only: PrintFlag = False
) -> None:
    """Let the installed service run this version; one that does not start gives way to the one before."""
    from monitord.actions.service import install_plan

    workspace = context.recording_workspace
    _carry_out(install_plan(workspace, system=system, source=source, verb="upgrade"), print_only)


def uninstall(
    context: CliContext,
    system: SystemFlag = False,
    print_only: PrintFlag = False,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Also delete recordings, configuration, all that the install made."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm --purge.")] = False,
) -> None:
    """Stop and remove the service; --purge leaves nothing of it."""
    from monitord.actions.service import uninstall_plan

    plan = uninstall_plan(
        context.data_dir_flag,
        context.recording_workspace,
        system=system,
        purge=purge,
        confirmed=yes or print_only,
    )
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
    from monitord.actions.service import reload_service

    waiting = reload_service(context.data_dir_flag, context.workspace, system=system)
    emit("reloaded\n")
    if waiting:
        say(f"only a restart takes up: {printable(', '.join(waiting))}; `monitord service restart`")


def status(context: CliContext, system: SystemFlag = False) -> None:
    """Show what the service manager says of the service; exit 3 when it does not run."""
    _control("status", system)


def logs(
    context: CliContext,
    system: SystemFlag = False,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many of the last ones.")] = 100,
) -> None:
    """Show what the service logged."""
    from monitord.actions.service import log_command

    program, command = log_command(context.data_dir(), system=system, follow=follow, lines=lines)
    sys.stdout.flush()
    os.execv(program, command)  # noqa: S606 - an argv list made by the service room, no shell


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
    from monitord.actions.service import NOT_RUNNING, control_service

    if not control_service(verb, system=system):
        flag = " --system" if system else ""
        say(f"it does not run; `monitord service start{flag}` starts it, whatever ended it before")
        raise typer.Exit(NOT_RUNNING)
