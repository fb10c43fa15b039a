"""`prefer`: what a person wants in every call; flags still win."""

from __future__ import annotations

from typing import Annotated

import typer

from monitord.actions import preferences
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_json


def prefer(
    context: CliContext,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="utc or pager.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="true or false.")] = None,
    as_json: bool = False,
) -> None:
    """Show your preferences, or set one: `monitord prefer utc true`."""
    if name is not None:
        preferences.prefer(context.workspace, name, value)
    chosen = preferences.preferences(context.workspace)
    if as_json:
        emit_json(chosen)
        return
    emit("".join(f"{key:<6} {str(held).lower()}\n" for key, held in chosen.items()))
