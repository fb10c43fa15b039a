"""`replay`: the machine at a moment of the past, gone through with keys, or a row a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext, JsonFlag
from monitord.cli.listing import (
    ListOutput,
    ListOutputFlag,
    NoPagerFlag,
    SinceFlag,
    UntilFlag,
    UtcFlag,
    View,
    view_of,
)
from monitord.cli.terminal import Style, display_width, emit, emit_json, page, width, wrap
from monitord.errors import MonitordError, NotFoundError, UsageError
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.actions.moments import Moment
    from monitord.actions.replaying import Replay
    from monitord.cli.keys import Screen

_QUIT = "q quit"
_KEYS = ("→ next", "← previous", "i/I incident", "PgDn/PgUp 10 min", "g time", "Home/End")
_LEAP = timedelta(minutes=10)
_STEP_S = 60.0


def replay(
    context: CliContext,
    time: Annotated[
        str | None, typer.Argument(help='When: "03:00", "2h ago"; the newest unless told.')
    ] = None,
    since: SinceFlag = None,
    until: UntilFlag = None,
    step: Annotated[
        str | None, typer.Option("--step", metavar="TIME", help="With --since: a row each such step (1min).")
    ] = None,
    output: ListOutputFlag = None,
    json: JsonFlag = False,
    utc: UtcFlag = False,
    no_pager: NoPagerFlag = False,
) -> None:
    """Show the machine at a moment of the past: totals, who led, incidents, hottest functions.

    On a terminal keys go on from there. With --since or --until it prints a row for every step.
    """
    view = view_of(context, output, json=json, reverse=False, follow=False, utc=utc, no_pager=no_pager)
    if since is not None or until is not None or step is not None:
        if time is not None:
            raise UsageError("invalid call: a TIME and a period, expected one of them")
        _rows(context, _period(since, until), _step_s(step), view)
    else:
        _one(context, time, view)


def _period(since: str | None, until: str | None) -> tuple[datetime, datetime]:
    from monitord.actions.times import parse_period

    now = datetime.now(UTC)
    start, end = parse_period(since, until, now)
    if start is None:
        raise UsageError("invalid period: no beginning, expected --since")
    return start, end or now


def _step_s(step: str | None) -> float:
    from monitord.actions.times import parse_duration

    return _STEP_S if step is None else parse_duration(step).total_seconds()


# ------------------------------------------------------------------------------------ a row a step


def _rows(context: CliContext, period: tuple[datetime, datetime], step_s: float, view: View) -> None:
    from monitord.actions.replaying import replayed_rows

    found = replayed_rows(context.workspace, *period, step_s)
    try:
        first = next(found, None)  # opens the store: before anything is written
    except NotFoundError:
        if view.output is ListOutput.JSON:
            _write((), ListOutput.JSON)
        raise
    every = chain([first] if first is not None else [], found)
    if view.output is ListOutput.TABLE:
        from monitord.cli.moment_table import moment_table

        page(moment_table(list(every), width(), context.style(), utc=view.utc), allowed=view.use_pager)
    else:
        _write(every, view.output)


def _write(every: Iterable[Moment], output: ListOutput) -> None:
    from monitord.actions.moment_shapes import CSV_KEYS, moment_cells, moment_row
    from monitord.export.encoding import csv_rows, json_text

    if output is ListOutput.CSV:
        for number, moment in enumerate(every):
            emit(csv_rows(CSV_KEYS, [moment_cells(moment)], header=number == 0))
    elif output is ListOutput.JSONL:
        for moment in every:
            emit(json_text(moment_row(moment), indent=None) + "\n")
    else:
        emit_json([moment_row(moment) for moment in every])


# -------------------------------------------------------------------------------------- one moment


def _one(context: CliContext, time: str | None, view: View) -> None:
    from monitord.actions.moment_shapes import moment_row
    from monitord.actions.replaying import replay
    from monitord.actions.times import parse_time

    at = parse_time(time, datetime.now(UTC)) if time is not None else None
    with replay(context.workspace) as replayed:
        shown = replayed.at(at) if at is not None else replayed.newest()
        if view.output is ListOutput.JSON:
            emit_json(moment_row(shown))
        elif view.output is not ListOutput.TABLE:
            _write([shown], view.output)
        else:
            _show(context, replayed, shown, view)


def _show(context: CliContext, replayed: Replay, shown: Moment, view: View) -> None:
    from monitord.cli.keys import is_screen, screen
    from monitord.cli.machine import screen_lines

    style = context.style()
    if not is_screen():
        emit("".join(f"{line}\n" for line in screen_lines(shown, width(), None, style, utc=view.utc)))
        return
    with screen() as on:
        _Player(on, replayed, shown, style, utc=view.utc).play()


def _keys(columns: int) -> str:
    """As many keys as fit on a line; that which ends it always."""
    shown = list(_KEYS)
    while shown and display_width("  ".join([*shown, _QUIT])) > columns:
        shown.pop()
    return "  ".join([*shown, _QUIT])


class _Player:
    """What is shown, and what the keys do to it."""

    def __init__(self, on: Screen, replayed: Replay, shown: Moment, style: Style, *, utc: bool) -> None:
        self._on, self._replayed, self._shown, self._style, self._utc = on, replayed, shown, style, utc
        self._told = ""

    def play(self) -> None:
        """Show, and obey keys, until q."""
        from monitord.cli.keys import ENDED

        while True:
            self._draw()
            key = self._on.key()
            self._told = ""
            if key in ("q", "Q", ENDED):
                return
            self._obey(key or "")

    def _obey(self, key: str) -> None:
        replayed, shown = self._replayed, self._shown
        steps: dict[str, tuple[Callable[[], Moment | None], str]] = {
            **dict.fromkeys(
                ("right", "t", "n", " "), (lambda: replayed.following(shown), "nothing later is stored")
            ),
            **dict.fromkeys(
                ("left", "T", "p"), (lambda: replayed.preceding(shown), "nothing earlier is stored")
            ),
            "i": (lambda: replayed.incident(shown, is_next=True), "there is no later incident"),
            "I": (lambda: replayed.incident(shown, is_next=False), "there is no earlier incident"),
            "page down": (lambda: replayed.at(shown.at + _LEAP), ""),
            "page up": (lambda: replayed.at(shown.at - _LEAP), ""),
            "home": (replayed.oldest, "no history is stored"),
            "end": (replayed.newest, "no history is stored"),
            **dict.fromkeys(("g", "b", "j"), (self._asked, "")),
        }
        if key not in steps:
            return
        step, otherwise = steps[key]
        try:
            found = step()
        except MonitordError as error:
            self._told = str(error)
            return
        self._shown = found or shown
        self._told = "" if found else otherwise

    def _asked(self) -> Moment | None:
        """The moment that is typed; None when it was given up."""
        from monitord.actions.times import parse_time

        typed = ""
        while True:
            self._draw(f"time: {typed}_")
            key = self._on.key()
            if key in ("escape", "ended", None):
                return None
            if key == "enter":
                return self._replayed.at(parse_time(typed, datetime.now(UTC))) if typed.strip() else None
            if key == "backspace":
                typed = typed[:-1]
            elif len(key) == 1 and key.isprintable():
                typed += key

    def _draw(self, last: str = "") -> None:
        from monitord.cli.machine import screen_lines

        columns, height = width(), self._on.lines
        told = wrap(printable(last or self._told or _keys(columns)), columns)[: max(1, height // 3)]
        lines = screen_lines(self._shown, columns, max(1, height - len(told)), self._style, utc=self._utc)
        gap = [""] * (height - len(told) - len(lines))
        filled = [*lines, *gap, *(self._style.paint(line, "dim") for line in told)]
        self._on.draw(lambda: emit("\n".join(filled[:height])))
