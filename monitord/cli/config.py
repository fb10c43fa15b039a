"""`config …`: what is in force, where each value comes from, whether a file is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, cast

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import emit, page, say
from monitord.durable import durable_write, make_folder
from monitord.errors import ConfigError
from monitord.export.encoding import json_text
from monitord.model import counted
from monitord.redaction import printable


def show(
    context: CliContext,
    origin: Annotated[
        bool, typer.Option("--origin", help="Also say where each value was set: file and line, or variable.")
    ] = False,
    output: OutputFlag = None,
    json: JsonFlag = False,
) -> None:
    """Show the configuration in force."""
    loaded = context.config()
    settings = _without_secrets(loaded.settings.as_dict())
    values = dict(_leaves("", settings))
    if wants_json(output, json):
        shown: object = (
            {key: {"value": value, "origin": loaded.origin(key)} for key, value in values.items()}
            if origin
            else settings
        )
        emit(json_text(shown) + "\n")
        return
    rows = [
        [Cell(key), Cell(_as_toml(value)), *([Cell(_where(loaded.origin(key)), ("dim",))] if origin else [])]
        for key, value in values.items()
    ]
    columns = [Column("KEY"), Column("VALUE"), *([Column("FROM")] if origin else [])]
    # Values are never cut: this is text to compare and to copy.
    page(draw(columns, rows, width=10_000, style=context.style()))


def validate(
    context: CliContext,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Default: the one in force.")] = None,
) -> None:
    """Check the configuration; exit 6 and file, line and key when something is wrong."""
    from monitord.recorder.artefact_stores import check_storage

    loaded = context.overridden(file, None, None).config()
    check_storage(loaded)
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
    from monitord.config import default_path, default_text

    target = context.config_path or default_path()
    try:
        make_folder(target.parent)
        durable_write(target, default_text().encode(), mode=0o644, replace=force)
    except FileExistsError:
        raise ConfigError(f"{target} exists already; --force overwrites it") from None
    except OSError as error:
        raise ConfigError(
            f"{target}: can't be written: {error.strerror}; name another with --config"
        ) from error
    emit(f"{printable(str(target))}\n")


def schema(context: CliContext) -> None:
    """Print the JSON schema of the configuration file, for editors."""
    from monitord.config import json_schema

    emit(json_text(json_schema()) + "\n")


def _leaves(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """`section.key` or `rules[0].key` with each single value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(f"{prefix}[{index}]", inner)
    else:
        yield prefix, value


def _without_secrets(settings: dict[str, object]) -> dict[str, object]:
    """The same with what opens doors hidden in URLs."""
    from monitord.storage.artefacts.urls import shown_url

    storage = dict(cast("Mapping[str, object]", settings["storage"]))
    for key in ("url", "archive_url"):
        storage[key] = shown_url(str(storage[key])) if storage[key] else ""
    return {**settings, "storage": storage}


def _as_toml(value: object) -> str:
    return json_text(value, indent=None)  # for the values we have, JSON and TOML are written alike


def _where(origin: str) -> str:
    return printable(origin)
