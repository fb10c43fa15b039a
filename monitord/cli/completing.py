"""Completion of values: ids, rules, plans, processes, keys. No shell runs what a process is called.

A shell puts what it is given into the command line, and zsh evaluates the descriptions beside it: only values
and descriptions of harmless characters leave this room.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from monitord.actions import suggestions
from monitord.actions.suggestions import Suggestion
from monitord.actions.workspace import Workspace
from monitord.cli.commands import ALIASES, COMMANDS, DEFAULTS
from monitord.cli.context import CliContext
from monitord.errors import MonitordError

Source = Callable[[Workspace], Iterator[Suggestion]]
_HARMLESS = re.compile(r"[A-Za-z0-9@%+,./][A-Za-z0-9@%+,./_-]*", re.ASCII)
_UNSAID = re.compile(r"[^A-Za-z0-9 ,./_-]")
_GROUP_ALONE = re.compile(rf"\s({'|'.join(DEFAULTS)})\s+(?=-)")
_VARIABLES = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # of bash; of zsh and fish


def _field(name: str) -> Source:
    return lambda workspace: suggestions.of_incidents(workspace, name)


_ARGUMENTS: dict[str, Source] = {
    "ID": suggestions.incidents,
    "PID": suggestions.processes,
    "plan NAME": suggestions.plans,
    "config KEY": suggestions.settings,
    "storage KEY": suggestions.artefacts,
    "INDEX": suggestions.indexes_on_request,
}
"""By the placeholder of an argument, where it needs it with the group of its command."""

_OPTIONS: dict[str, Source] = {
    "--incident": suggestions.incidents,
    "--again": suggestions.incidents,
    "--rule": suggestions.rules,
    "--pid": suggestions.processes,
    "--process": suggestions.names_of_processes,
    "--match-name": suggestions.names_of_processes,
    "--cause": _field("cause"),
    "--user": _field("user"),
    "--match-user": _field("user"),
    "--function": _field("hottest_function"),
}


def name_defaults() -> None:
    """Name the command that a group stands for where an option follows the group: it is that command's."""
    for name in _VARIABLES:
        said = os.environ.get(name, "")
        filled = _GROUP_ALONE.sub(lambda found: f"{found[0]}{DEFAULTS[found[1]]} ", said, count=1)
        if filled != said:
            os.environ[name] = filled
            if (at := os.environ.get("COMP_CWORD", "")).isdecimal():
                os.environ["COMP_CWORD"] = str(int(at) + 1)


def words_typed() -> frozenset[str]:
    """The words of the command line that a shell wants completed."""
    return frozenset(re.findall(r"[\w-]+", " ".join(os.environ.get(name, "") for name in _VARIABLES)))


def complete_values(command: Any, path: str = "") -> Any:
    """Give each parameter of a command, and of the commands below it, what its values may be."""
    for name, child in getattr(command, "commands", {}).items():
        complete_values(child, f"{path} {name}".strip())
    for parameter in command.params:
        source = source_of(parameter, path)
        if path == "help" and parameter.param_type_name == "argument":
            parameter._custom_shell_complete = _commands
        elif source is not None:
            parameter._custom_shell_complete = _completer(source)
    return command


def source_of(parameter: Any, path: str) -> Source | None:
    """Where a parameter's values come from; None for one that is free."""
    if parameter.param_type_name != "argument":
        return next((_OPTIONS[name] for name in parameter.opts if name in _OPTIONS), None)
    placeholder = (parameter.metavar or "").strip("[].")
    return _ARGUMENTS.get(placeholder) or _ARGUMENTS.get(f"{path.split(' ')[0]} {placeholder}")


def _completer(source: Source) -> Callable[[Any, Any, str], list[Any]]:
    return lambda context, _parameter, begun: _items(_quietly(source, _workspace(context)), begun)


def _commands(context: Any, _parameter: Any, begun: str) -> list[Any]:
    """The next words of the commands whose first ones were typed behind `help`."""
    typed = [*(context.params.get("words") or ())]
    paths = [(path.split(), summary) for path, _, summary in COMMANDS if path not in ALIASES]
    found = {
        words[len(typed)]: summary if len(words) == len(typed) + 1 else "a group of commands"
        for words, summary in paths
        if words[: len(typed)] == typed and len(words) > len(typed)
    }
    return _items(iter(found.items()), begun)


def _quietly(source: Source, workspace: Workspace) -> Iterator[Suggestion]:
    """What there is; nothing where it can't be read, because a shell shows no message."""
    try:
        yield from source(workspace)
    except (MonitordError, OSError):
        return


def _items(found: Iterator[Suggestion], begun: str) -> list[Any]:
    from typer._click.shell_completion import CompletionItem

    return [
        CompletionItem(value, help=_UNSAID.sub("?", said))
        for value, said in found
        if value.startswith(begun) and _HARMLESS.fullmatch(value)
    ]


def _workspace(context: Any) -> Workspace:
    """The store and the configuration that the words name, before the command or behind it."""
    named: dict[str, Any] = {}
    while context is not None:
        named = {**{key: value for key, value in context.params.items() if value is not None}, **named}
        context = context.parent
    config, data_dir = (Path(named[key]) if named.get(key) else None for key in ("config", "data_dir"))
    place = CliContext(config, data_dir)
    return Workspace(place.data_dir(), place.config_path)
