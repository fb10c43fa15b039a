"""`state …`: small values by key, looked at, changed, and copied from one backend into another."""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from monitord.actions import state as actions
from monitord.actions.times import parse_duration
from monitord.cli.context import CliContext
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import emit, emit_json, page, say, width
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.units import span
from monitord.model import counted
from monitord.redaction import printable
from monitord.storage.state import ANY, Namespace, Put, SessionNamespace, StorageItem

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The item's key.")]
OfOption = Annotated[
    str | None,
    typer.Option(
        "--of", metavar="STATE", help="A URL, file:/PATH that holds one, or `recorder`; else as configured."
    ),
]
UserOption = Annotated[str | None, typer.Option("--user", metavar="ID", help="What belongs to this user.")]
SessionOption = Annotated[
    str | None, typer.Option("--session", metavar="ID", help="What belongs to this session of the user.")
]

_COLUMNS = (
    Column("KEY", least=24),
    Column("BYTES", right=True),
    Column("SINCE", gives_way=1),
    Column("GOES IN", right=True),
)
_NAMESPACES = (Column("USER", least=12), Column("SESSION", least=12), Column("ITEMS", right=True))


def stats(context: CliContext, of: OfOption = None, as_json: bool = False) -> None:
    """Count the items of a state, by user and session."""
    found = actions.stats(context.workspace, of)
    total = sum(count for _namespace, count in found.namespaces)
    if as_json:
        rows = [{**_names(namespace), "items": count} for namespace, count in found.namespaces]
        emit_json({"state": printable(found.place), "items": total, "namespaces": rows})
        return
    emit(f"{printable(found.place)}: {counted(total, 'item')}\n")
    cells = [
        [*(Cell(name or "–") for name in _names(namespace).values()), Cell(str(count))]
        for namespace, count in found.namespaces
    ]
    if cells:
        page(draw(_NAMESPACES, cells, width=width(), style=context.style()))


def ls(
    context: CliContext,
    user: UserOption = None,
    session: SessionOption = None,
    of: OfOption = None,
    as_json: bool = False,
) -> None:
    """List the items of everybody, or of a user or session."""
    found = actions.items(context.workspace, of, actions.namespace_named(user, session))
    if as_json:
        emit_json([{"key": printable(key), **_item(item)} for key, item in found.items()])
    elif found:
        now = datetime.now(UTC)
        cells = [
            [
                Cell(printable(key), ("bold",)),
                Cell(str(len(item.data))),
                Cell(iso(item.created_at)),
                Cell(span((item.expires_at - now).total_seconds()) if item.expires_at else "–"),
            ]
            for key, item in found.items()
        ]
        page(draw(_COLUMNS, cells, width=width(), style=context.style()))
    else:
        say("monitord: nothing is kept there; `monitord state stats` says where something is")


def get(
    context: CliContext,
    key: KeyArgument,
    user: UserOption = None,
    session: SessionOption = None,
    of: OfOption = None,
    as_json: bool = False,
) -> None:
    """Print an item's data; into a pipe, its bytes as they are."""
    item = actions.get(context.workspace, of, actions.namespace_named(user, session), key)
    if as_json:
        emit_json({"key": printable(key), **_item(item), "data": base64.b64encode(item.data).decode("ascii")})
    elif sys.stdout.isatty():
        emit(printable(item.data.decode("utf-8", "replace")) + "\n")
    else:
        sys.stdout.buffer.write(item.data)
        sys.stdout.flush()


def put(
    context: CliContext,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its data; `-` reads it from stdin.")],
    user: UserOption = None,
    session: SessionOption = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", metavar="TIME", help='It goes after this long: "90s", "1d".')
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="VERSION", help="Only in place of this one; `none`: where none is."),
    ] = None,
    of: OfOption = None,
) -> None:
    """Store an item, in place of the one of its KEY."""
    namespace = actions.namespace_named(user, session)
    data = sys.stdin.buffer.read() if value == "-" else value.encode("utf-8", "surrogateescape")
    life = parse_duration(ttl) if ttl is not None else None
    expected = ANY if expect is None else None if expect == "none" else expect
    actions.put(context.workspace, of, Put(key, data, namespace, life, expected))
    emit(f"{printable(key)}: set\n")


def delete(
    context: CliContext,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="None: all of them.")] = None,
    user: UserOption = None,
    session: SessionOption = None,
    of: OfOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required without a KEY.")] = False,
) -> None:
    """Delete an item, or all items of a user, sessions included, or of a session."""
    if key is None and user is None:
        raise UsageError("cannot delete everything; name a KEY, a --user, or a --user with a --session")
    if key is None and not yes:
        raise UsageError(
            "cannot delete all items of a namespace without --yes; `monitord state ls` lists them"
        )
    count = actions.delete(context.workspace, of, actions.namespace_named(user, session), key)
    emit(f"{counted(count, 'item')} deleted\n")


def copy(
    context: CliContext,
    source: Annotated[str, typer.Argument(metavar="FROM", help="A URL, or `recorder`.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Likewise.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Also into a state in use, replacing items of equal names.")
    ] = False,
) -> None:
    """Copy a state into another backend, and read every item back."""
    made = actions.copy(context.workspace, source, target, merge=merge)
    said = f"{counted(made.items, 'item')} of {counted(made.namespaces, 'namespace')} copied and verified"
    missed = f"; {counted(made.missed, 'item')} ended meanwhile" if made.missed else ""
    emit(f"{said}{missed}\n")


def _names(namespace: Namespace) -> dict[str, str | None]:
    if namespace is None:
        return {"user": None, "session": None}
    session = printable(namespace.session_id) if isinstance(namespace, SessionNamespace) else None
    return {"user": printable(namespace.user_id), "session": session}


def _item(item: StorageItem) -> dict[str, object]:
    return {
        "bytes": len(item.data),
        "created_at": iso(item.created_at),
        "expires_at": iso(item.expires_at) if item.expires_at else None,
        "version": printable(item.version),
    }
