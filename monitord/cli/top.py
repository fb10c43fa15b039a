"""`top`: who uses the CPU now, with the hottest function of each, second by second; q or Ctrl-C ends it."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.consumers import consumers_table
from monitord.cli.context import CliContext
from monitord.cli.terminal import Style, cut, emit, emit_json, say, width, wrap
from monitord.redaction import printable

if TYPE_CHECKING:
    from monitord.actions.top import Moment

_INTERVAL_S = 1.0
_LONGEST = 100_000
_ROWS_IN_A_FILE = 20
_ENTER, _LEAVE, _CLEAR = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H\x1b[2J"


def top(
    context: CliContext,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, max=_LONGEST, help="End after so many seconds.")
    ] = None,
    as_json: bool = False,
) -> None:
    """Show which processes use the CPU now and in which function, also those gone within a second."""
    from monitord import logs
    from monitord.actions.top import moments

    logs.configure("warning")
    is_screen = sys.stdout.isatty() and not as_json and os.environ.get("TERM") not in (None, "dumb")
    style, told = context.style(), False
    with _screen(is_screen and count != 1) as is_live, _keys() as pressed:
        for moment in moments(context.workspace, _INTERVAL_S, _counting(count, pressed)):
            if as_json:
                emit_json(moment.as_json())
            else:
                lines = _lines(moment, style, shutil.get_terminal_size().lines if is_live else None)
                if is_live:
                    sys.stdout.write(_CLEAR)
                emit("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
            told = True
    if not told and not as_json:
        say("nothing was looked at: it ended before the first second was over")


def _counting(count: int | None, pressed: Callable[[float], bool]) -> Callable[[float], bool]:
    """Whether to go on: so many seconds, and until q is pressed."""
    left = count

    def goes_on(seconds: float) -> bool:
        nonlocal left
        if left is not None:
            left -= 1
            if left < 0:
                return False
        return not pressed(seconds)

    return goes_on


@contextmanager
def _screen(is_live: bool) -> Iterator[bool]:
    """A screen of its own, and what stood there before when it is over."""
    if not is_live:
        yield False
        return
    sys.stdout.write(_ENTER)
    try:
        yield True
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """What waits so many seconds, and says whether q was pressed meanwhile; only where a person types."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield _sleep
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)
    try:
        yield lambda seconds: _is_q_pressed(number, seconds)
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _is_q_pressed(number: int, seconds: float) -> bool:
    ends_s = time.monotonic() + seconds
    while (left_s := ends_s - time.monotonic()) > 0:
        if select.select([number], [], [], left_s)[0]:
            keys = os.read(number, 64)
            if not keys or b"q" in keys or b"Q" in keys:
                return True
    return False


def _lines(moment: Moment, style: Style, height: int | None) -> Iterator[str]:
    """A head, the table, and what can't be seen, in at most `height` lines."""
    columns = width()
    whole = sum(one.cpu_percent for one in moment.consumers)
    head = f"{moment.taken_at:%H:%M:%S} UTC, last {moment.interval_s:.1f} s: {whole:,.0f} % of one core"
    yield style.paint(cut(head, columns), "bold")
    notes = [line for note in moment.notes for line in wrap(printable(note), columns)]
    if height is not None:
        notes = notes[: max(1, height // 3)]
    room = _ROWS_IN_A_FILE if height is None else max(1, height - 3 - len(notes))
    yield from consumers_table(moment.consumers[:room], columns, style)
    yield from (style.paint(note, "yellow") for note in notes)
