"""What the library that reads the command line says, in the words of a person: help, and what was wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup

from monitord.cli.commands import SECTIONS
from monitord.cli.values import convert_plainly

_RANGES = (  # how the library writes a range, and how people do
    (re.compile(r"the range (-?[\d.]+)<=x<=(-?[\d.]+)"), r"\1 to \2"),
    (re.compile(r"Input should be a valid integer.*"), "expected a whole number"),
    (re.compile(r"Input should be a valid number.*"), "expected a number"),
    (re.compile(r"Input should be greater than or equal to (-?[\d.]+)"), r"expected \1 or more"),
    (re.compile(r"Input should be less than or equal to (-?[\d.]+)"), r"expected \1 or less"),
    (re.compile(r"the range x>=(-?[\d.]+)"), r"\1 or more"),
    (re.compile(r"Got unexpected extra arguments? ?(?:\(s\) )?\((.*)\)"), r"unexpected '\1'"),
    (re.compile(r": ('.*') is not one of '(.*)'$"), r" \1, expected one of '\2'"),
    (re.compile(r": ('.*') is not in ([-\d.]+ (?:to [-\d.]+|or more))"), r" \1, expected \2"),
    (re.compile(r": ('.*') is not a valid (?:int(?:eger)?|float)(?: range)?"), r" \1, expected a number"),
)
_INVALID = re.compile(r"^Invalid value for (?:'-\w' / )?'?(?:\[?)([^':\]]+?)(?:\]?)'?: ")
_LONGEST_CHOICE = 26  # characters that the words of a choice may take in place of a placeholder
FILE = "monitord.output_file"
_LIST_ENDINGS = {
    ".json": ("json",),
    ".jsonl": ("jsonl",),
    ".ndjson": ("jsonl",),
    ".csv": ("csv",),
    ".parquet": ("parquet",),
    ".txt": ("text", "table"),
    ".md": ("markdown",),
}
_WIDEST_CALL = 42  # characters; what a longer example is for stands below it
_NARROWEST = 38  # columns of a page of help
_NARROW_NAMES = 12  # columns; on a narrow screen what is longer stands above its text
_NO_OPTION = re.compile(r"no such option:? '?(-[^\s'(]+)'?(?: \(possible options?: (.+)\))?", re.IGNORECASE)


class _WithExamples:
    """What stands last on a page of help: calls that can be copied, then the epilog."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return --help, which the library makes by itself, as plain as the others."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # of the library's class beside this one
        if option is not None:
            convert_plainly(option)
        return option

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _fit(formatter)
        super().format_help(ctx, formatter)  # type: ignore[misc]  # of the library's class beside this one

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from monitord.cli.examples import EXAMPLES

        calls = EXAMPLES.get(ctx.command_path.partition(" ")[2])
        if calls:
            with formatter.section("Examples"):
                formatter.write_dl(calls, col_max=_WIDEST_CALL)
        super().format_epilog(ctx, formatter)  # type: ignore[misc]  # of the library's class beside this one


def _fit(formatter: Any) -> None:
    """The library's pages have at least 50 columns: on a narrower screen options stand above their texts."""
    columns = shutil.get_terminal_size().columns
    if columns - 2 < formatter.width:
        formatter.width = max(columns - 2, _NARROWEST)
        formatter.write_dl = partial(_write_narrowly, formatter.write_dl)


def _write_narrowly(write: Callable[..., None], rows: Any, col_max: int = 0, col_spacing: int = 2) -> None:
    write(rows, _NARROW_NAMES, col_spacing)


class HelpPage(_WithExamples, TyperCommand):
    """A command's page."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What must be named stands bare, what may be left out in brackets, as in every manual."""
        pieces = super().collect_usage_pieces(ctx)
        return [re.sub(r"^\{(.*)\}(\.*)$|^\[(\[.*\])\]$", r"\1\2\3", piece) for piece in pieces]


class ListPage(_WithExamples, TyperGroup):
    """The list of commands below the options, section by section; a group's own has one section."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        shown = {name: command for name, command in self.commands.items() if not command.hidden}
        for title, names in _sections(ctx, list(shown)).items():
            widest = max(map(len, shown))
            room = formatter.width - 6 - widest
            rows = [(f"{name:<{widest}}", shown[name].get_short_help_str(room)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)


def _sections(ctx: Any, names: list[str]) -> dict[str, list[str]]:
    """The names by their sections, in the order of the table of commands."""
    if ctx.parent is not None:
        return {"Commands": names}
    found = {}
    for title, commands in SECTIONS.items():
        words = dict.fromkeys(path.split()[0] for path, _, _ in commands)
        found[title] = [word for word in words if word in names]
    return found


def take_files_too(parameter: Any) -> None:
    """Let a command's `-o`, which takes formats, take a file, too: its ending names the format.

    Which file it is stands in the meta of the library's context under FILE; `context.placed` writes it.
    """
    process, formats = parameter.process_value, list(map(str, parameter.type_descriptor.choices))

    def process_value(context: Any, value: Any) -> Any:
        if isinstance(value, str) and value not in formats and (named := _format_of(value, formats)):
            context.meta[FILE] = value
            value = named
        return process(context, value)

    parameter.process_value = process_value


def _format_of(file: str, formats: Collection[str]) -> str | None:
    """What the file's ending says, among these formats."""
    said = (names for ending, names in _LIST_ENDINGS.items() if file.lower().endswith(ending))
    return next((name for names in said for name in names if name in formats), None)


def plainly(command: Any) -> Any:
    """Give a command's help placeholders (N, FILE) in place of a programming language's types and ranges."""
    for child in getattr(command, "commands", {}).values():
        plainly(child)
    for parameter in command.params:
        kind = parameter.type_descriptor
        if kind.is_path:  # what can't be read is said where it is opened, with its own exit code
            kind.parameter_info.readable = False
        convert_plainly(parameter)
        if kind.is_choice and len("|".join(map(str, kind.choices))) > _LONGEST_CHOICE:
            parameter.help = f"{parameter.help.rstrip('.')}: {', '.join(map(str, kind.choices))}."
            parameter.metavar = "NAME"
        if parameter.name == "output" and kind.is_choice:
            take_files_too(parameter)
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None
        elif parameter.metavar is None and not parameter.is_flag and not kind.is_choice:
            parameter.metavar = "N" if kind.is_ranged else "FILE" if kind.is_path else "NAME"
        parameter._get_number_range_help_str = lambda: ""
    return command


def refusal(message: str, path: str, commands: Iterable[str]) -> str:
    """Say in one line what is wrong with a call's words, and what to type. `path` is the command so far."""
    said = " ".join(message.split()).rstrip(".")
    unknown = re.match(r"No such command '([^']*)'", said)
    if unknown:
        return _unknown_command(unknown[1], said, path, commands)
    said = _INVALID.sub(r"invalid \1: ", said)
    for pattern, plain in _RANGES:
        said = pattern.sub(plain, said)
    said = said[:1].lower() + said[1:]
    if option := _NO_OPTION.match(said):
        return _unknown_option(option[1], option[2] or "", path)
    return f"{said}; see `{path} --help`"


def _unknown_option(option: str, near: str, path: str) -> str:
    """Options of a script stand behind --, options of a command behind its name."""
    if near:
        help_ = f"did you mean {near.replace(', ', ' or ')}? See `{path} --help`"
    elif path == "monitord profile run":
        help_ = "put -- before the script's own options: `monitord profile SCRIPT -- OPTIONS`"
    elif path == "monitord":
        help_ = f"options of a command stand after its name; see `{path} --help`"
    else:
        help_ = f"see `{path} --help`"
    return f"unknown option {option}; {help_}"


def _unknown_command(word: str, said: str, path: str, commands: Iterable[str]) -> str:
    """A command that stands in a group under this name is what was meant."""
    named = [f"`monitord {each}`" for each in commands if each.endswith(f" {word}")][:3]
    guess = re.search(r"Did you mean (.*?)\??$", said)
    if named:
        return f"unknown command '{word}'; did you mean {' or '.join(named)}?"
    if guess:
        return f"unknown command '{word}'; did you mean {guess[1]}? See `{path} --help`"
    return f"unknown command '{word}'; see `{path} --help`"
