"""The command line: one table of commands, one way to end.

A MonitordError becomes one line on stderr and its exit code; anything else is a bug and shows its trace.
To add a command: one function in the file of its noun, one line in `commands.py`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from monitord import __version__
from monitord.cli.commands import ALIASES, ASKING, COMMANDS, DEFAULTS, GROUPS
from monitord.cli.context import CliContext, Colour, ColourFlag, ConfigFlag, DataDirFlag, placed
from monitord.cli.terminal import emit, open_missing_streams, say, stdout_trouble
from monitord.cli.usage import HelpPage, ListPage, plainly, refusal
from monitord.errors import MonitordError

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # as if SIGPIPE had ended it: the reader left, which needs no message
EPILOG = (
    "Exit codes: 0 ok; 1 failure; 2 the call is wrong; 3 not found or not running; 4 not permitted; "
    "5 the daemon does not report; 6 configuration invalid; 75 busy, try again; 129, 130 and 143 interrupted."
)
_COMPLETE_VARIABLE = "_MONITORD_COMPLETE"

_NAMES = frozenset(word for path, _, _ in COMMANDS for word in path.split())
_SPEAK_ALONE = frozenset({"mcp", "events"})  # their name alone is a call, not a question for help

_ROOT_OPTIONS = ("--config", "--data-dir", "--color")  # of those that take a value


def build(words: Collection[str] | None = None) -> typer.Typer:
    """Build the application. With the `words` of a call, only commands named in them are loaded.

    The others keep their line in the list of commands: that, and not Typer, is most of a start's time.
    """
    app = typer.Typer(
        name="monitord",
        cls=ListPage,
        help="A flight recorder for the processes of one machine: catches the spike, keeps the evidence.",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    groups: dict[str, typer.Typer] = {}
    for path, where, summary in COMMANDS:
        group, _, name = path.rpartition(" ")
        if group and group not in groups:
            groups[group] = typer.Typer(
                cls=ListPage, help=GROUPS[group], no_args_is_help=True, rich_markup_mode=None
            )
            app.add_typer(groups[group], name=group)
        is_wanted = words is None or all(word in words for word in path.split())
        function = placed(_function(where), asks=path in ASKING) if is_wanted else _unnamed
        (groups[group] if group else app).command(
            name, cls=HelpPage, short_help=summary, hidden=path in ALIASES
        )(function)
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with its exit code."""
    open_missing_streams()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    except OSError as error:
        code = _code_of(stdout_trouble(error), error)
    else:
        trouble = stdout_trouble()
        code = code if trouble is None else _code_of(trouble, trouble)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    words = _with_default(arguments)
    is_completing = _COMPLETE_VARIABLE in os.environ
    if is_completing:
        from monitord.cli.completing import complete_values, name_defaults, words_typed

        name_defaults()
        command = complete_values(_command(_NAMES.intersection(words_typed())))
        # Typer only learns the shells' languages along with its --install-completion, which we don't offer.
        typer.main.get_install_completion_arguments()
    else:
        command = _command(_NAMES.intersection(words))
    try:
        code = command.main(
            args=words, prog_name="monitord", complete_var=_COMPLETE_VARIABLE, standalone_mode=False
        )
    except MonitordError as error:
        say(f"monitord: {_one_line(str(error))}")
        return error.exit_code
    except TyperException as error:
        _explain_usage(error, words)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as end:  # what Typer makes of a completion's answer and of a broken pipe
        return int(end.code or 0) if is_completing else EXIT_BROKEN_PIPE
    return code if isinstance(code, int) else 0


@cache
def _command(words: frozenset[str] | None) -> Any:
    """The application with the commands that these words name, built once a process."""
    return plainly(typer.main.get_command(build(words)))


def _code_of(trouble: OSError | None, error: OSError) -> int:
    """The exit code when stdout can't be written; another OSError is a bug."""
    if trouble is None:
        raise error
    if isinstance(trouble, BrokenPipeError):
        return EXIT_BROKEN_PIPE
    say(f"monitord: cannot write to stdout: {trouble.strerror}")
    return 1


def _command_at(words: Sequence[str]) -> int:
    """Where the command begins, behind the options that stand before it."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _ROOT_OPTIONS else 1
    return at


def _with_default(words: list[str]) -> list[str]:
    """The words of a call, with the command that its group stands for."""
    at = _command_at(words)
    following = " ".join(words[at + 1 : at + 2])
    if words[at : at + 1] == ["help"] and not following.startswith("-"):  # else options of `help` itself
        return [*words[:at], *words[at + 1 :], "--help"]
    group = words[at : at + 1]
    if not group or group[0] not in DEFAULTS or following in ("-h", "--help"):
        return words
    if not following:
        return [*words, DEFAULTS[group[0]]] if group[0] in _SPEAK_ALONE else words
    if f"{group[0]} {following}" in {path for path, _, _ in COMMANDS}:
        return words
    return [*words[: at + 1], DEFAULTS[group[0]], *words[at + 1 :]]


def _function(where: str) -> Callable[..., None]:
    module, _, name = where.partition(":")
    function: Callable[..., None] = getattr(importlib.import_module(f"monitord.cli.{module}"), name)
    return function


def _unnamed() -> None:
    """Stands for a command that this call did not name, and so can't run."""


def _say_version(is_asked: bool) -> None:
    if is_asked:
        emit(f"monitord {__version__}\n")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    config: ConfigFlag = None,
    data_dir: DataDirFlag = None,
    color: ColourFlag = None,
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", is_eager=True, callback=_say_version, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    ctx.obj = CliContext(config, data_dir, color or Colour.AUTO)


def _path_in(words: Sequence[str]) -> str:
    """The command that these words name, for an error that does not know its own."""
    known, named = {path for path, _, _ in COMMANDS}, words[_command_at(words) :]
    paths = (" ".join(named[:count]) for count in (3, 2, 1))
    return next((f"monitord {path}" for path in paths if path in known), "monitord")


def _explain_usage(error: TyperException, words: Sequence[str]) -> None:
    """What was wrong with the words, and what to type to see the right ones: one line.

    A command group without a command has its help as the message, many lines: that goes out as it is.
    """
    context = getattr(error, "ctx", None)
    message = error.format_message().replace(": Value error, ", ": ")  # whose words the next ones are
    if message.startswith("Usage:"):
        say(message)
        return
    path = context.command_path if context is not None else _path_in(words)
    say(f"monitord: {_one_line(refusal(message, path, [each for each, _, _ in COMMANDS]))}")


def _one_line(text: str) -> str:
    from monitord.redaction import printable

    return printable(" ".join(text.split()))
