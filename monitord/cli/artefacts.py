"""`storage ls|stat|cat|rm`: artefacts by their keys, wherever they lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, BinaryIO

import typer

from monitord.actions.artefacts import (
    LISTED_KEYS,
    ListedArtefact,
    describe_artefact,
    list_artefacts,
    open_artefact,
    remove_artefacts,
)
from monitord.cli.context import CliContext, JsonFlag
from monitord.cli.listing import Listing, ListOutputFlag, NoPagerFlag, UtcFlag, View, view_of
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import display_width, emit, emit_json, wrap
from monitord.cli.terminal import width as screen_width
from monitord.cli.when import local_stamp
from monitord.errors import UsageError
from monitord.export.units import quantity
from monitord.model import short_id
from monitord.redaction import printable

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="As `storage ls` shows it.")]

_CHUNK_BYTES = 1 << 18


def ls(
    context: CliContext,
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only keys that begin so.")] = "",
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=1, help="At most so many; all without it.")
    ] = None,
    output: ListOutputFlag = None,
    json: JsonFlag = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """List artefacts by their keys, oldest first."""
    view = view_of(context, output, json=json, reverse=False, follow=False, utc=utc, no_pager=no_pager)
    found = list(islice(list_artefacts(context.workspace, prefix), limit))
    Listing(
        LISTED_KEYS,
        ListedArtefact.as_row,
        lambda rows, view, first: _table(context, rows, view, first),
        "no such artefacts",
    ).write(found, view)


def _table(context: CliContext, found: Sequence[ListedArtefact], view: View, header: bool) -> Iterator[str]:
    now = datetime.now(UTC)
    columns = (
        Column("WHEN", gives_way=2),
        Column("SIZE", right=True, gives_way=4),
        Column("STORED", right=True, gives_way=5),
        Column("KIND", gives_way=1),
        Column("PROCESS", least=8, gives_way=3),
        Column("KEY", whole=True),  # to be typed
    )
    rows = []
    for each in found:
        held = each.metadata
        if held is None:
            cells = ("–", "–", "–", "damaged", "", each.key)
        else:
            cells = (
                local_stamp(held.created_at, now, utc=view.utc),
                quantity(held.size, "disk_bytes"),
                quantity(held.stored_size, "disk_bytes"),
                held.tags.get("kind", "–"),
                held.tags.get("process", ""),
                each.key,
            )
        rows.append([Cell(printable(text), ("red",) if held is None else ()) for text in cells])
    yield from draw(columns, rows, width=screen_width(), style=context.style(), header=header)


def stat(context: CliContext, key: KeyArgument, as_json: bool = False) -> None:
    """Show what an artefact says of itself, whose it is, and where it lies. Its bytes are not read."""
    facts = describe_artefact(context.workspace, key)
    if as_json:
        emit_json(facts)
        return
    said = facts.pop("tags")
    said |= {name: short_id(said[name]) for name in ("correlation_id",) if name in said}
    tags = ", ".join(f"{name}={value}" for name, value in said.items())
    owner = facts["incident"] and short_id(facts["incident"])
    for name, fact in {**facts, "incident": owner, "tags": tags}.items():
        if fact not in (None, ""):
            emit("".join(f"{line}\n" for line in _labelled(name, printable(str(fact)), screen_width())))


def _labelled(name: str, text: str, columns: int) -> list[str]:
    """A fact beside its name; on its own line where it is too long: a key and a place are copied whole."""
    if display_width(line := f"{name:<13} {text}") <= columns:
        return [line]
    return [name, *(wrap(text, columns) if " " in text else [text])]


def cat(
    context: CliContext,
    key: KeyArgument,
    force: Annotated[bool, typer.Option("--force", help="Binary bytes to a terminal, too.")] = False,
) -> None:
    """Write an artefact's plain bytes to stdout, checked: exit 1 if they are not what was stored."""
    with open_artefact(context.workspace, key) as source:
        _pour(source, sys.stdout.buffer, key, to_screen=sys.stdout.isatty() and not force)


def _pour(source: BinaryIO, out: BinaryIO, key: str, *, to_screen: bool) -> None:
    while chunk := source.read(_CHUNK_BYTES):
        if to_screen and not _is_text(chunk):
            raise UsageError(
                f"cannot print {key}: it is not plain text; try `monitord storage cat {key} >"
                " FILE`, or --force"
            )
        out.write(chunk)
    out.flush()


def _is_text(chunk: bytes) -> bool:
    """Whether a screen shows it as it is: no control character, not even one that only colours."""
    try:
        text = chunk.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(chunk) - 3:  # else a character that the next piece completes
            return False
        text = chunk[: error.start].decode("utf-8")
    return all(char.isprintable() or char in "\n\t" for char in text)


def rm(
    context: CliContext,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="As `storage ls` shows them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to remove anything.")] = False,
) -> None:
    """Remove artefacts for good; the rows that point to them say so afterwards."""
    for key, freed_bytes in remove_artefacts(context.workspace, keys, confirmed=yes):
        emit(f"{key}: removed, {quantity(freed_bytes, 'disk_bytes')} freed\n")
