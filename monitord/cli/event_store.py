"""`events get`, `stats`, `prune` and `copy`: one event, their number, fewer of them, a second home."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitord.actions import event_copy, events
from monitord.actions.events import EventPlace
from monitord.actions.times import parse_duration
from monitord.cli.context import CliContext
from monitord.cli.terminal import LABEL, cut, display_width, emit, emit_json, fact, width
from monitord.cli.when import full_stamp
from monitord.export.encoding import iso, json_text
from monitord.export.shapes import event_row
from monitord.export.units import quantity
from monitord.model import counted
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.storage.events.stats import EventStats


OfOption = Annotated[
    str | None,
    typer.Option(
        "--of",
        metavar="URL",
        help="Those copied there: a URL, `events.url` as configured, or file:/PATH that holds one.",
    ),
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="HOST", help="With --of: this host's, not one's own.")
]


def get(
    context: CliContext,
    event_id: Annotated[str, typer.Argument(metavar="EVENT", help="As `monitord events -o json` shows it.")],
    of: OfOption = None,
    host: HostOption = None,
    as_json: bool = False,
) -> None:
    """Show one event with all that it says."""
    shaped = event_row(events.event(context.workspace, event_id, EventPlace(of, host)))
    if as_json:
        emit_json(shaped)
        return
    payload = shaped.pop("payload")
    told = ((name, value) for name, value in (*shaped.items(), *payload.items()) if value is not None)
    _emit_facts(
        (printable(name), value if isinstance(value, str) else json_text(value, indent=None))
        for name, value in told
    )


def stats(context: CliContext, of: OfOption = None, host: HostOption = None, as_json: bool = False) -> None:
    """Say how many events there are, of which types, from when, and what they take."""
    found = events.event_stats(context.workspace, EventPlace(of, host))
    if as_json:
        emit_json(_shaped(found))
        return
    _emit_facts(_facts(found))


def _emit_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Each below the other; names are cut where a half of the screen is not enough for them."""
    told = [(cut(name, width() // 2), text) for name, text in facts]
    widest = max(LABEL, *(display_width(name) for name, _text in told))
    for name, text in told:
        emit("".join(f"{line}\n" for line in fact(name, text, width(), "", widest)))


def prune(
    context: CliContext,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help='Those older than so long: "3 days".')
    ] = None,
    max_events: Annotated[
        int | None, typer.Option("--max", metavar="N", min=0, help="The oldest beyond so many in all.")
    ] = None,
    of: OfOption = None,
    host: HostOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm; required to delete anything.")] = False,
) -> None:
    """Delete the oldest events that no incident needs.

    The alert, captures, hot functions and notes of an incident go with it. With --of the oldest of all.
    """
    age = None if older_than is None else parse_duration(older_than)
    count = events.prune_events(context.workspace, age, max_events, confirmed=yes, place=EventPlace(of, host))
    emit(f"{counted(count, 'event')} deleted\n")


def copy(
    context: CliContext,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="As for --of of `events list`; else as configured."),
    ] = None,
    as_json: bool = False,
) -> None:
    """Copy events to PostgreSQL or another SQLite file, redacted; none is copied twice.

    The recorder does the same with `[events] url`, every ten minutes and after each incident.
    """
    done = event_copy.copy_events(context.workspace, to)
    if as_json:
        emit_json({name: value for name, value in asdict(done).items() if name != "is_whole"})
        return
    emit(f"{printable(done.as_line())} to {printable(done.to)}\n")


def _shaped(found: EventStats) -> dict[str, Any]:
    return {
        "total": found.total,
        "per_type": {kind.value: count for kind, count in found.per_type.items()},
        "oldest": iso(found.oldest) if found.oldest else None,
        "newest": iso(found.newest) if found.newest else None,
        "table_bytes": found.table_bytes,
        "index_bytes": dict(found.index_bytes),
        "total_bytes": found.total_bytes,
    }


def _facts(found: EventStats) -> Iterator[tuple[str, str]]:
    yield "events", f"{found.total:,}"
    for kind, count in found.per_type.items():
        yield kind.value, f"{count:,}"
    if found.oldest and found.newest:
        now = datetime.now(UTC).astimezone().tzinfo
        yield "from", f"{full_stamp(found.oldest, zone=now)} to {full_stamp(found.newest, zone=now)}"
    if found.table_bytes is None:
        yield "size", "unknown: this SQLite was built without dbstat"
        return
    yield "table", quantity(found.table_bytes, "disk_bytes")
    for name, size in found.index_bytes.items():
        yield printable(name.removeprefix("idx_event_")), quantity(size, "disk_bytes")
