"""`profile list`, `show` and `clear`: the profiles of scripts that were kept."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.actions.scripts import clear_profiles, kept_profile, kept_profiles
from monitord.cli.context import CliContext
from monitord.cli.profile_page import render_profile
from monitord.cli.rows import recent_table
from monitord.cli.show import IdArgument
from monitord.cli.terminal import emit, emit_json, say, width
from monitord.export.shapes import row
from monitord.model import counted

if TYPE_CHECKING:
    from monitord.scripts.result import ProfileResult


def list_profiles(
    context: CliContext,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many.")] = 20,
    as_json: bool = False,
) -> None:
    """List the profiles of scripts that were kept with --save, newest first."""
    records = kept_profiles(context.recording_workspace, limit)
    if as_json:
        emit_json([row(record) for record in records])
        return
    if not records:
        say("no profile of a script is kept; `monitord profile SCRIPT --save` keeps one")
        return
    now = datetime.now(UTC)
    for line in recent_table(records, now=now, utc=False, width=width(), style=context.style(), header=True):
        emit(f"{line}\n")


def show(context: CliContext, profile_id: IdArgument, as_json: bool = False) -> None:
    """Show the hot lines and functions of a kept profile of Scalene."""
    put(context, kept_profile(context.recording_workspace, profile_id), as_json)


def clear(
    context: CliContext,
    older_than: Annotated[
        float, typer.Option("--older-than", metavar="DAYS", min=0, help="Only those older than so many days.")
    ] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to delete anything.")] = False,
) -> None:
    """Delete kept profiles of scripts; those kept with `monitord keep` stay."""
    count = clear_profiles(context.recording_workspace, older_than, confirmed=yes)
    emit(f"{counted(count, 'profile')} deleted\n")


def put(context: CliContext, result: ProfileResult, as_json: bool) -> None:
    """Write one profile to stdout."""
    if as_json:
        emit_json(result.as_values())
    else:
        for line in render_profile(result, width(), context.style()):
            emit(f"{line}\n")
    sys.stdout.flush()
