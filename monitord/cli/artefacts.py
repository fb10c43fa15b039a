"""`storage ls|stat|cat|rm`: artefacts by their keys, wherever they lie."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from monitord.cli.context import CliContext, JsonFlag, OutputFlag, wants_json
from monitord.cli.listing import Listing, ListOutputFlag, NoPagerFlag, UtcFlag, View, view_of
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import emit, say
from monitord.cli.terminal import width as screen_width
from monitord.cli.when import local_stamp
from monitord.errors import NotFoundError, StorageError, UsageError
from monitord.export.encoding import iso, json_text
from monitord.export.units import quantity
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.storage.artefacts import StorageManager, StorageMetadata

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="As `storage ls` shows it.")]

_KEYS = ("key", "kind", "process", "size_bytes", "stored_bytes", "created_at", "problem")
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class _Found:
    """One artefact of a list; without metadata `problem` says why."""

    key: str
    metadata: StorageMetadata | None
    problem: str | None = None


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
    """List artefacts by key, which is oldest first."""
    view = view_of(context, output, json=json, reverse=False, follow=False, utc=utc, no_pager=no_pager)
    with context.holdings() as holdings:
        found = list(islice(_found(holdings.artefacts, prefix), limit))
    Listing(
        _KEYS, _row, lambda rows, view, first: _table(context, rows, view, first), "no such artefacts"
    ).write(found, view)


def _found(artefacts: StorageManager, prefix: str) -> Iterator[_Found]:
    from monitord.storage.artefacts import ArtefactError, MissingArtefactError, is_probe

    for key in artefacts.list(prefix):
        if is_probe(key):
            continue
        try:
            yield _Found(key, artefacts.get_metadata(key))
        except MissingArtefactError:
            continue  # deleted since it was listed
        except ArtefactError as error:
            yield _Found(key, None, str(error))


def _row(found: _Found) -> dict[str, Any]:
    metadata = found.metadata
    return {
        "key": found.key,
        "kind": metadata.tags.get("kind") if metadata else None,
        "process": metadata.tags.get("process") if metadata else None,
        "size_bytes": metadata.size if metadata else None,
        "stored_bytes": metadata.stored_size if metadata else None,
        "created_at": iso(metadata.created_at) if metadata else None,
        "problem": printable(found.problem) if found.problem else None,
    }


def _table(context: CliContext, found: Sequence[_Found], view: View, header: bool) -> Iterator[str]:
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


def stat(context: CliContext, key: KeyArgument, output: OutputFlag = None, json: JsonFlag = False) -> None:
    """Show what an artefact says of itself, whose it is, and where it lies. Its bytes are not read."""
    from monitord.recorder.artefact_stores import place_of
    from monitord.storage.schema import ARTEFACTS_NAME

    as_json = wants_json(output, json)
    with context.holdings() as holdings:
        held = _metadata(holdings.artefacts, key)
    owner = _owner(context, key)
    facts: dict[str, Any] = {
        "key": held.key,
        "kind": held.tags.get("kind"),
        "incident": owner[0] if owner else None,
        "row": owner[1] if owner else None,
        "place": place_of(context.config().settings.storage, context.data_dir() / ARTEFACTS_NAME, key),
        "size_bytes": held.size,
        "stored_bytes": held.stored_size,
        "created_at": iso(held.created_at),
        "updated_at": iso(held.updated_at),
        "checksum": held.checksum,
        "content_type": held.content_type,
        "compression": held.compression,
        "sealed_with": held.encryption.key_id if held.encryption else None,
        "archived_in": held.archived_in,
        "tags": {printable(name): printable(value) for name, value in sorted(held.tags.items())},
    }
    if as_json:
        emit(json_text(facts) + "\n")
        return
    tags = ", ".join(f"{name}={value}" for name, value in facts.pop("tags").items())
    for name, fact in {**facts, "tags": tags}.items():
        if fact not in (None, ""):
            emit(f"{name:<13} {printable(str(fact))}\n")


def cat(
    context: CliContext,
    key: KeyArgument,
    force: Annotated[bool, typer.Option("--force", help="Binary bytes to a terminal, too.")] = False,
) -> None:
    """Write an artefact's plain bytes to stdout, checked: exit 1 if they are not what was stored."""
    with context.holdings() as holdings:
        _metadata(holdings.artefacts, key)
        with holdings.artefacts.open(key) as source:
            _pour(source, sys.stdout.buffer, key, to_screen=sys.stdout.isatty() and not force)


def _pour(source: BinaryIO, out: BinaryIO, key: str, *, to_screen: bool) -> None:
    while chunk := source.read(_CHUNK_BYTES):
        if to_screen and not _is_text(chunk):
            raise UsageError(
                f"{key} holds more than plain text: `monitord storage cat {key} > FILE`, or --force"
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
    with context.holdings() as holdings:
        for key in keys:
            _check_there(holdings.artefacts, key)
    for key in keys:
        owner = _owner(context, key)
        if owner is not None:
            say(f"{key} is evidence of incident {owner[0]}; `monitord show {owner[0]}` shows it")
    if not yes:
        raise UsageError(f"nothing removed; to remove {len(keys)} for good: add --yes")
    with context.store(whole=True) as store:
        for key in keys:
            freed = store.remove_artefact(key)
            emit(f"{key}: removed, {quantity(freed, 'disk_bytes')} freed\n")


def _check_there(artefacts: StorageManager, key: str) -> None:
    from monitord.storage.artefacts import DamagedArtefactError, WrongKeyError

    with suppress(DamagedArtefactError, WrongKeyError):  # these can be removed, too
        _metadata(artefacts, key)


def _metadata(artefacts: StorageManager, key: str) -> StorageMetadata:
    from monitord.storage.artefacts import InvalidKeyError, MissingArtefactError

    try:
        return artefacts.get_metadata(key)
    except InvalidKeyError as error:
        raise UsageError(str(error)) from error
    except MissingArtefactError as error:
        raise NotFoundError(f"no artefact {key!r}; `monitord storage ls` lists what there is") from error


def _owner(context: CliContext, key: str) -> tuple[str, int | None] | None:
    """Whose evidence it is; None too when the database can't be asked."""
    try:
        reader = context.reader()
        try:
            return reader.owner(key)
        finally:
            reader.close()
    except (NotFoundError, StorageError):
        return None
