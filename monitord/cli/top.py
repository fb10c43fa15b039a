"""`top`: the machine as it is, second by second, leaders with their functions; q or Ctrl-C ends it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from monitord.cli.context import CliContext
from monitord.cli.terminal import Style, emit, emit_json, say, width

if TYPE_CHECKING:
    from monitord.actions.top import LiveMoment
    from monitord.cli.keys import Screen

_INTERVAL_S = 1.0
_ANSWERS_WITHIN_S = 6.0  # the recorder, which may rest for five; who looks at a screen need not wait
_LONGEST = 100_000


def top(
    context: CliContext,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, max=_LONGEST, help="End after so many seconds.")
    ] = None,
    as_json: bool = False,
) -> None:
    """Show the machine now: who leads, in which function; processes shorter than a second included."""
    from monitord import logs
    from monitord.actions.top import live_moments
    from monitord.cli.keys import is_screen, screen

    logs.configure("warning")
    style = context.style()
    if is_screen() and not as_json and count != 1:
        with screen() as on:
            live = _Live(on, style, count)
            for moment in live_moments(context.workspace, _INTERVAL_S, live.goes_on):
                live.show(moment)
        return
    told = False
    goes_on = _Counted(count).goes_on
    for moment in live_moments(context.workspace, _INTERVAL_S, goes_on, waits_s=_ANSWERS_WITHIN_S):
        if as_json:
            emit_json(moment.as_json())
        else:
            emit("".join(f"{line}\n" for line in lines_of(moment, style, None)))
        sys.stdout.flush()
        told = True
    if not told and not as_json:
        say("nothing was looked at: it ended before the first second was over")


class _Counted:
    """Waits so many times; without a number for ever."""

    def __init__(self, count: int | None) -> None:
        self._left = count

    def goes_on(self, seconds: float) -> bool:
        if not self.has_more():
            return False
        time.sleep(seconds)
        return True

    def has_more(self) -> bool:
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0


class _Live:
    """What is on the screen, drawn anew when its size changes, until q is pressed."""

    def __init__(self, on: Screen, style: Style, count: int | None) -> None:
        self._on, self._style, self._counted = on, style, _Counted(count)
        self._shown: LiveMoment | None = None

    def show(self, moment: LiveMoment) -> None:
        self._shown = moment
        lines = lines_of(moment, self._style, self._on.lines)
        self._on.draw(lambda: emit("\n".join(lines)))

    def goes_on(self, seconds: float) -> bool:
        from monitord.cli.keys import ENDED, RESIZED

        if not self._counted.has_more():
            return False
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            key = self._on.key(left_s)
            if key in ("q", "Q", ENDED):
                return False
            if key == RESIZED and self._shown is not None:
                self.show(self._shown)
        return True


def lines_of(live: LiveMoment, style: Style, height: int | None) -> list[str]:
    """Return the screen of one moment, in at most `height` lines."""
    from monitord.cli.machine import screen_lines

    length = f", last {live.interval_s:.1f} s"
    return screen_lines(live.moment, width(), height, style, length=length)
