"""`doctor`: what is missing for good evidence, each with the exact fix."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.findings import Finding, finding_lines
from monitord.cli.terminal import emit, emit_json
from monitord.cli.terminal import width as screen_width


def doctor(
    context: CliContext,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures too: exit 1.")] = False,
    as_json: bool = False,
) -> None:
    """Check permissions, tools and the store, and print the fix of what is missing.

    Each finding comes with the exact fix. Exit 1 when something essential is missing.
    """
    from monitord.actions.doctor import diagnose, plain, require_healthy

    checks = diagnose(context.workspace)
    if as_json:
        emit_json(list(map(plain, checks)))
    else:
        found = [Finding(c.outcome, c.name, c.detail, c.fix) for c in checks]
        for line in finding_lines(found, context.style(), screen_width()):
            emit(f"{line}\n")
    sys.stdout.flush()
    require_healthy(checks, strict=strict)
