"""`events index`: the indexes of events, one made or dropped on request, and which questions were slow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.actions import event_indexes as actions
from monitord.actions.event_indexes import IndexChange, KnownIndex
from monitord.actions.events import EventPlace
from monitord.cli.context import CliContext
from monitord.cli.event_store import HostOption, OfOption
from monitord.cli.table import Cell, Column, draw
from monitord.cli.terminal import Style, emit, emit_json, page, width
from monitord.cli.when import local_stamp
from monitord.errors import UsageError
from monitord.export.units import quantity
from monitord.storage.events.statements import BUILT_IN, ON_REQUEST

if TYPE_CHECKING:
    from monitord.storage.events.advice import SlowQuestion


class IndexAction(StrEnum):
    """What is done."""

    LIST = "list"
    CREATE = "create"
    DROP = "drop"


_INDEXES = (
    Column("INDEX"),
    Column("COLUMNS", least=12, gives_way=1),
    Column("MADE"),
    Column("SIZE", right=True),
)
_QUESTIONS = (
    Column("SLOW QUESTIONS BY", least=17),
    Column("TIMES", right=True),
    Column("LAST", gives_way=1),
    Column("INDEX"),
)


def index(
    context: CliContext,
    action: Annotated[
        IndexAction, typer.Argument(metavar="ACTION", help="list, create or drop.")
    ] = IndexAction.LIST,
    name: Annotated[str | None, typer.Argument(metavar="INDEX", help="Which one to create or drop.")] = None,
    of: OfOption = None,
    host: HostOption = None,
    as_json: bool = False,
) -> None:
    """List the indexes of events and the questions that were slow, or create or drop an index.

    Those built in stay. While one is created nobody else writes to the store, 3 s at most while the recorder
    runs.
    """
    place = EventPlace(of, host)
    if action is IndexAction.LIST:
        if name is not None:
            raise UsageError("invalid call: an INDEX with list, expected create or drop")
        _list(context, place, as_json)
        return
    if name is None:
        choices = ", ".join(each.short_name for each in ON_REQUEST)
        raise UsageError(f"invalid call: {action.value} without an INDEX, expected one of {choices}")
    act = actions.create_event_index if action is IndexAction.CREATE else actions.drop_event_index
    change = act(context.workspace, name, place)
    if as_json:
        emit_json(change.as_json())
    else:
        emit(f"{_told(change, action)}\n")


def _told(change: IndexChange, action: IndexAction) -> str:
    known = change.known
    size = "" if known.size_bytes is None else f", {quantity(known.size_bytes, 'disk_bytes')}"
    took = f" in {quantity(change.seconds, 'seconds')}"
    if action is IndexAction.DROP:
        return f"index {known.index.short_name} dropped{size}{took}"
    if not change.is_changed:
        return f"index {known.index.short_name} is there already{size}"
    return f"index {known.index.short_name} created{size}{took}"


def _list(context: CliContext, place: EventPlace, as_json: bool) -> None:
    """Questions are counted for the store here only."""
    indexes = actions.event_indexes(context.workspace, place)
    slow = [] if place.url is not None else actions.slow_event_questions(context.workspace)
    if as_json:
        emit_json(
            {
                "indexes": [each.as_json() for each in indexes],
                "slow_questions": [actions.question_row(each) for each in slow],
            }
        )
        return
    page(_lines(indexes, slow, context.style()))


def _lines(indexes: Sequence[KnownIndex], slow: Sequence[SlowQuestion], style: Style) -> Iterator[str]:
    rows = [
        [
            Cell(each.index.short_name, ("bold",)),
            Cell(", ".join(each.index.columns)),
            Cell("built in" if each.index in BUILT_IN else "on request" if each.is_there else "no"),
            Cell("–" if each.size_bytes is None else quantity(each.size_bytes, "disk_bytes")),
        ]
        for each in indexes
    ]
    yield from draw(_INDEXES, rows, width=width(), style=style)
    if not slow:
        return
    now = datetime.now(UTC)
    rows = [
        [
            Cell(" ".join(question.counted.shape) or "nothing"),
            Cell(f"{question.counted.times:,}"),
            Cell(local_stamp(question.counted.last_at, now)),
            Cell(question.index.short_name if question.index else "–"),
        ]
        for question in slow
    ]
    yield ""
    yield from draw(_QUESTIONS, rows, width=width(), style=style)
