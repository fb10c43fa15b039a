"""`config …`: what is in force, where each value comes from, whether a file is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from monitord.actions.configuration import check_config, leaves, shown_settings, write_default
from monitord.actions.settings import get_settings, read_elsewhere, set_setting
from monitord.cli.context import CliContext
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, emit, emit_json, page, say, width
from monitord.export.encoding import json_text
from monitord.model import counted
from monitord.redaction import printable

_UNLIMITED = 10_000


def show(
    context: CliContext,
    origin: Annotated[
        bool, typer.Option("--origin", help="Also say where each value was set: file and line, or variable.")
    ] = False,
    as_json: bool = False,
) -> None:
    """Show the configuration in force."""
    loaded = context.config()
    tell_whose(context)
    settings = shown_settings(loaded)
    values = dict(leaves(settings))
    if as_json:
        shown: object = (
            {key: {"value": value, "origin": loaded.origin(key)} for key, value in values.items()}
            if origin
            else settings
        )
        emit_json(shown)
        return
    rows = [
        [Cell(key), Cell(_as_toml(value)), *([Cell(_where(loaded.origin(key)), ("dim",))] if origin else [])]
        for key, value in values.items()
    ]
    columns = [Column("KEY"), Column("VALUE"), *([Column("FROM")] if origin else [])]
    page(_whole(columns, rows, width(), context.style()))


def _whole(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], wide: int, style: Style
) -> Iterator[str]:
    """The table, or below each key what belongs to it: nothing is cut, because it is compared and copied."""
    lines = list(draw(columns, rows, width=_UNLIMITED, style=style))
    if max(map(len, draw(columns, rows, width=_UNLIMITED, style=Style()))) <= wide:
        yield from lines
        return
    for key, *others in rows:
        yield style.paint(key.text, "bold")
        yield from (f"  {style.paint(cell.text, *cell.paint)}" for cell in others)


def get(
    context: CliContext,
    key: Annotated[str, typer.Argument(metavar="KEY", help="log.level, a section, or rules.NAME.above.")],
    as_json: bool = False,
) -> None:
    """Print a value in force, alone on its line; of a section or a rule, each with its key."""
    found = get_settings(context.workspace, key)
    tell_whose(context)
    if as_json:
        emit_json([{"key": each.key, "value": each.value, "origin": each.origin} for each in found])
    elif found[0].key == key:
        emit(f"{_plain(found[0].value)}\n")
    else:
        emit("".join(f"{each.key} = {printable(_as_toml(each.value))}\n" for each in found))


def set_value(
    context: CliContext,
    key: Annotated[str, typer.Argument(metavar="KEY", help="log.level, or rules.NAME.above.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help='As in the file: 10s, 50MB, true, ["a"].')],
) -> None:
    """Set a value in the configuration file, if it is valid; the other lines stay as they are.

    Says whether the recorder takes it up at a reload or only at a restart.
    """
    change = set_setting(context.workspace, key, value)
    was = f"was {printable(_as_toml(change.before.value))}" if change.is_written else "as before"
    now = f"{change.after.key} = {printable(_as_toml(change.after.value))}"
    emit(f"{now} ({was}) in {printable(str(change.file))}\n")
    say(change.hint)


def validate(
    context: CliContext,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: the one in force.")] = None,
) -> None:
    """Check the configuration; exit 6 and file, line and key when something is wrong."""
    loaded = context.overridden(file, None, None).config()
    check_config(loaded)
    names = ", ".join(str(path) for path in loaded.sources) or "no file: the defaults"
    emit(f"valid: {printable(names)}; {counted(len(loaded.settings.rules), 'rule')}\n")


def path(context: CliContext) -> None:
    """Print the files that are read, one a line, the strongest last; the user's own when there is none."""
    from monitord.config import default_path

    loaded = context.config()
    if not loaded.sources:
        say(f"monitord: no configuration file exists; `monitord config init` writes {default_path()}")
    for source in loaded.sources or (default_path(),):
        emit(f"{printable(str(source))}\n")


def init(
    context: CliContext,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented configuration file with every key and its default."""
    target = write_default(context.config_path, overwrite=force)
    emit(f"{printable(str(target))}\n")


def schema(context: CliContext) -> None:
    """Print the JSON schema of the configuration file, for editors."""
    from monitord.config import json_schema

    emit_json(json_schema())


def tell_whose(context: CliContext) -> None:
    """Say on stderr where what is in force here is not what the recorder goes by."""
    if told := read_elsewhere(context.workspace):
        say(printable(told))


def _as_toml(value: object) -> str:
    return json_text(value, indent=None)  # for the values we have, JSON and TOML are written alike


def _plain(value: object) -> str:
    return printable(value if isinstance(value, str) else _as_toml(value))


def _where(origin: str) -> str:
    return printable(origin)
