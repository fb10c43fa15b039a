"""`plan …`: capture plans, set while the daemon runs and used at the next alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from monitord.actions import plans
from monitord.actions.times import parse_duration
from monitord.cli.context import CliContext
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import emit, emit_json, page, say, width
from monitord.export.shapes import plan_row
from monitord.export.units import span
from monitord.model import Match, NamedPlan, PlannedConsent, PlannedProfiler
from monitord.redaction import printable

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The plan's name.")]


_COLUMNS = (
    Column("NAME", least=24),
    Column("MATCHES", least=12, gives_way=1),
    Column("PROFILER", gives_way=2),
    Column("DURATION", right=True),
    Column("RATE", right=True, gives_way=3),
    Column("CONSENT", gives_way=4),
)


def set_plan(
    context: CliContext,
    name: NameArgument,
    match_name: Annotated[
        list[str] | None,
        typer.Option("--match-name", metavar="PATTERN", help="Processes of this name; may be repeated."),
    ] = None,
    match_user: Annotated[
        list[str] | None,
        typer.Option("--match-user", metavar="USER", help="Of this user, a name or number."),
    ] = None,
    match_unit: Annotated[
        list[str] | None, typer.Option("--match-unit", metavar="PATTERN", help="Of this systemd unit.")
    ] = None,
    profiler: Annotated[PlannedProfiler | None, typer.Option("--profiler", help="Which tool.")] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="TIME", help='How long: "10s", "1min".')
    ] = None,
    rate: Annotated[int | None, typer.Option("--rate", metavar="N", help="Samples a second.")] = None,
    consent: Annotated[
        PlannedConsent | None, typer.Option("--consent", help="Always or never profile them.")
    ] = None,
) -> None:
    """Set how to profile some processes, from the next alert on; replaces an older plan of this NAME."""
    plan = NamedPlan(
        name=name,
        match=Match(
            names=tuple(match_name or ()), users=tuple(match_user or ()), units=tuple(match_unit or ())
        ),
        profiler=profiler,
        duration_s=parse_duration(duration).total_seconds() if duration else None,
        rate_hz=rate,
        consent=consent,
    )
    plans.set_plan(context.workspace, plan)
    emit(f"{plan.name}: set\n")


def get_plan(context: CliContext, name: NameArgument, as_json: bool = False) -> None:
    """Show one capture plan."""
    plan = plans.get_plan(context.workspace, name)
    if as_json:
        emit_json(plan_row(plan))
    else:
        _show(context, [plan])


def list_plans(context: CliContext, as_json: bool = False) -> None:
    """List the capture plans; the first whose match fits a process is the one that counts."""
    found = plans.list_plans(context.workspace)
    if as_json:
        emit_json([plan_row(plan) for plan in found])
    elif found:
        _show(context, found)
    else:
        say("monitord: no capture plans; everything is profiled as configured")


def delete_plan(context: CliContext, name: NameArgument) -> None:
    """Delete a capture plan: from the next alert on its processes are profiled as configured."""
    plans.delete_plan(context.workspace, name)
    emit(f"{name}: deleted\n")


def _show(context: CliContext, found: Sequence[NamedPlan]) -> None:
    rows = [
        [
            Cell(plan.name, ("bold",)),
            Cell(printable(_matches(plan.match))),
            Cell(plan.profiler or "–"),
            Cell(span(plan.duration_s) if plan.duration_s is not None else "–"),
            Cell(f"{plan.rate_hz}/s" if plan.rate_hz is not None else "–"),
            Cell(plan.consent or "–"),
        ]
        for plan in found
    ]
    page(draw(_COLUMNS, rows, width=width(), style=context.style()))


def _matches(match: Match) -> str:
    parts = [
        " or ".join(match.names),
        " or ".join(f"user {user}" for user in match.users),
        " or ".join(f"unit {unit}" for unit in match.units),
    ]
    return ", ".join(filter(None, parts)) or "all"
