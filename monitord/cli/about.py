"""`version` and `completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from monitord import __version__
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit


class Shell(StrEnum):
    """Shells that get a completion script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def version(context: CliContext) -> None:
    """Print the version."""
    emit(f"monitord {__version__}\n")


def completion(
    context: CliContext, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish")]
) -> None:
    """Print a completion script, to be sourced: `source <(monitord completion bash)`."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # Typer's own way to it

    script = get_completion_script(prog_name="monitord", complete_var="_MONITORD_COMPLETE", shell=shell.value)
    emit(script.strip() + "\n")
