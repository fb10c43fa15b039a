"""`help`, `version` and `completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from monitord import __version__
from monitord.cli.context import CliContext
from monitord.cli.terminal import emit, emit_bytes
from monitord.errors import UsageError


class Shell(StrEnum):
    """Shells that get a completion script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def version(context: CliContext) -> None:
    """Print the version."""
    emit(f"monitord {__version__}\n")


def manual(
    context: CliContext,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="As in `monitord help storage ls`.")
    ] = None,
    man: Annotated[
        bool, typer.Option("--man", help="Print the manual page of everything, for `man -l -`.")
    ] = False,
) -> None:
    """Show a command's help; without one, the list of commands."""
    if not man:
        raise UsageError("invalid call: expected --man, or a command, as in `monitord help recent`")
    from monitord.cli.manual import man_page

    emit_bytes(man_page().encode())


def completion(
    context: CliContext, shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish")]
) -> None:
    """Print a completion script, to be sourced: `source <(monitord completion bash)`."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # Typer's own way to it

    script = get_completion_script(prog_name="monitord", complete_var="_MONITORD_COMPLETE", shell=shell.value)
    emit(script.strip() + "\n")
