"""`events`: everything that monitord saw and did, newest first; the same flags and forms as `recent`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from monitord.actions.events import EventPlace, events_of
from monitord.actions.lists import EventQuestion, follow_events
from monitord.actions.lists import events as stored_events
from monitord.cli.context import CliContext, RecorderWatch
from monitord.cli.event_store import HostOption, OfOption
from monitord.cli.listing import Asked, Listing, PidFlag, ProcessFlag, View, listed
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import width
from monitord.cli.when import local_stamp
from monitord.errors import UsageError
from monitord.export.shapes import EVENT_KEYS, event_row
from monitord.export.units import quantity
from monitord.model import Event, EventType, in_words
from monitord.redaction import printable
from monitord.storage.events import EventFilter
from monitord.storage.ids import short_id

_ENDINGS = (  # of a key, its unit, and what makes it that unit
    ("_bytes_per_s", "bytes_per_s", 1),
    ("_bytes", "bytes", 1),
    ("_percent", "percent", 1),
    ("_share", "percent", 100),
    ("_seconds", "seconds", 1),
    ("_s", "seconds", 1),
)
# Said already, or for programs only.
_LEFT_OUT = ("func_id", "func_hash", "kind", "late", "profiler", "role", "status", "failure_reason")

_COLUMNS = (
    Column("WHEN", gives_way=1),
    Column("TYPE"),
    Column("INCIDENT", gives_way=3),
    Column("PID", right=True, gives_way=4),
    Column("PROCESS", least=8, gives_way=2),
    Column("WHAT", least=20, good=24),
)


@listed()
def events(
    context: CliContext,
    asked: Asked,
    grep: Annotated[
        str | None, typer.Option("-g", "--grep", metavar="TEXT", help="Part of any name, text or value.")
    ] = None,
    kind: Annotated[EventType | None, typer.Option("--type", help="Only this type of event.")] = None,
    incident: Annotated[
        str | None, typer.Option("--incident", metavar="ID", help="Only of this incident; as for `show`.")
    ] = None,
    process: ProcessFlag = None,
    pid: PidFlag = None,
    module: Annotated[str | None, typer.Option("--module", help="Only of functions of this module.")] = None,
    function: Annotated[str | None, typer.Option("--function", help="Only of this function.")] = None,
    arity: Annotated[
        int | None, typer.Option("--arity", min=0, help="Only of functions with N parameters.")
    ] = None,
    node: Annotated[
        str | None, typer.Option("--node", metavar="ID", help="Only of this statement (stmt_id).")
    ] = None,
    of: OfOption = None,
    host: HostOption = None,
) -> None:
    """List what monitord saw and did, newest first."""
    wanted = EventFilter(
        pid=pid,
        event_type=kind,
        since=asked.since,
        until=asked.until,
        ast_node_id=node,
        module=module,
        function=function,
        arity=arity,
        limit=asked.limit,
    )
    question = EventQuestion(wanted, incident, process, grep)
    listing = Listing(
        EVENT_KEYS,
        event_row,
        lambda found, shown, first: _table(found, shown, context, first),
        "no event matches",
    )
    place = EventPlace(of, host)
    if place.url is not None:
        if asked.follow:
            raise UsageError("invalid call: --follow with --of, expected one of them")
        listing.answer(events_of(context.workspace, place, question), asked.view)
        return
    if asked.follow:
        listing.follow(
            follow_events(context.workspace, question), asked.view, RecorderWatch(context.data_dir())
        )
    listing.answer(stored_events(context.workspace, question), asked.view)


def _table(found: Sequence[Event], view: View, context: CliContext, header: bool) -> Iterable[str]:
    now = datetime.now(UTC)
    rows = [
        [
            Cell(local_stamp(event.taken_at, now, utc=view.utc)),
            Cell(event.event_type.value, ("cyan",)),
            Cell(short_id(event.correlation_id or "–"), ("dim",)),
            Cell(str(event.pid) if event.pid else "–"),
            Cell(printable(event.process_name or "–"), ("bold",)),
            Cell(printable(_what(event))),
        ]
        for event in found
    ]
    yield from draw(_COLUMNS, rows, width=width(), style=context.style(), header=header)


def _what(event: Event) -> str:
    """An event in a few words: its function, then what its payload says."""
    said = event.payload
    for name in ("text", "reason", "detail", "suppressed_by"):
        if isinstance(said.get(name), str):
            return str(said[name])
    parts = [event.function or ""]
    if "profiler" in said:
        is_tool = said["profiler"] not in ("auto", "none", said.get("role"))  # the first two are wishes
        tool = f" by {said['profiler']}" if is_tool else ""
        parts = [f"{said.get('role')}{tool}: {in_words(str(said.get('status')))}"]
        parts += [f"({said['failure_reason']})"] if said.get("failure_reason") else []
    parts += [_shown(name, value) for name, value in _first(said) if name not in _LEFT_OUT]
    return " ".join(part for part in parts if part)


def _first(said: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What tells most comes first."""
    first = ("self_share", "cpu_percent", "rss_bytes")
    return sorted(said.items(), key=lambda item: first.index(item[0]) if item[0] in first else len(first))


def _shown(name: str, value: object) -> str:
    """A value with its unit, which its name ends with: "rss 1.2 GiB", "cpu 97 %", "self 61 %"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name == "share_error":
            return f"±{quantity(value * 100, 'percent')}"
        for ending, unit, times in _ENDINGS:
            if name.endswith(ending):
                return f"{name.removesuffix(ending).replace('_', ' ')} {quantity(value * times, unit)}"
        value = f"{value:.4g}" if isinstance(value, float) else value
    return str(value) if name == "what" else f"{name.replace('_', ' ')} {value}"
