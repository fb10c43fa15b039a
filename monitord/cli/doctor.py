"""`doctor`: what is missing for good evidence, each with the exact fix."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import Style, emit, emit_json, wrap
from monitord.cli.terminal import width as screen_width
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.doctor import Check

_PAINT = {"ok": "green", "warning": "yellow", "failure": "red"}


def doctor(
    context: CliContext,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are failures too: exit 1.")] = False,
    as_json: bool = False,
) -> None:
    """Check permissions, tools and the store.

    Each finding comes with the exact fix. Exit 1 when something essential is missing.
    """
    from monitord.actions.doctor import diagnose, plain, require_healthy

    checks = diagnose(context.workspace)
    if as_json:
        emit_json(list(map(plain, checks)))
    else:
        for line in _lines(checks, context.style(), screen_width()):
            emit(f"{line}\n")
    sys.stdout.flush()
    require_healthy(checks, strict=strict)


def _lines(checks: list[Check], style: Style, columns: int) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = style.paint(f"{check.outcome:<7}", _PAINT[check.outcome])
        first, *more = wrap(printable(check.detail), max(columns - width - 11, 12))
        yield f"{mark}  {check.name:<{width}}  {first}"
        yield from (f"{'':7}  {'':{width}}  {line}" for line in more)
        if check.fix and check.outcome != "ok":  # never wrapped: a person copies it
            yield f"{'':7}  {'':{width}}  fix: {style.paint(printable(check.fix), 'cyan')}"
