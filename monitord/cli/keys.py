"""A screen of its own and the keys pressed on it; the terminal is as it was before when it ends, however."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_ENTER, _LEAVE, _CLEAR = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H\x1b[2J"
_LOOK_S = 0.2  # at the terminal's size
_NAMED = {
    b"\x1b[C": "right", b"\x1b[D": "left", b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOC": "right",
    b"\x1bOD": "left", b"\x1bOA": "up", b"\x1bOB": "down", b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1b[F": "end", b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1bOH": "home",
    b"\x1bOF": "end",
    b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace", b"\x1b": "escape",
}  # fmt: skip
RESIZED = "resized"
ENDED = "ended"
"""Nobody types any more: the terminal is gone."""


def is_screen() -> bool:
    """Whether a person looks and types."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb")


class Screen:
    """What is drawn on, and whose keys are read."""

    def __init__(self) -> None:
        self._number = sys.stdin.fileno()
        self._waiting = b""
        self._size = shutil.get_terminal_size()
        self.is_stale = False  # something else was shown meanwhile

    @property
    def lines(self) -> int:
        return shutil.get_terminal_size().lines

    def draw(self, write: Callable[[], object]) -> None:
        """Clear the screen and have it written anew."""
        self._size = shutil.get_terminal_size()
        sys.stdout.write(_CLEAR)
        write()
        sys.stdout.flush()

    def key(self, timeout_s: float | None = None) -> str | None:
        """Return the key pressed next, by name or as the character; None when time ran out.

        RESIZED when the terminal got another size, ENDED when it is gone.
        """
        ends_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._waiting:
            left_s = _LOOK_S if ends_s is None else min(_LOOK_S, ends_s - time.monotonic())
            if left_s <= 0:
                return None
            if select.select([self._number], [], [], left_s)[0]:
                self._waiting = os.read(self._number, 64)
                if not self._waiting:
                    return ENDED
            elif self.is_stale or shutil.get_terminal_size() != self._size:
                self.is_stale, self._size = False, shutil.get_terminal_size()
                return RESIZED
        key, self._waiting = _first_key(self._waiting)
        return key


def _first_key(typed: bytes) -> tuple[str, bytes]:
    """The first key of what was typed, and the rest."""
    for sequence in sorted(_NAMED, key=len, reverse=True):
        if typed.startswith(sequence) and (sequence != b"\x1b" or len(typed) == 1):
            return _NAMED[sequence], typed[len(sequence) :]
    if typed[:1] == b"\x1b":  # a key that we don't know: it is one key, not its letters
        return "unknown", b""
    text = typed.decode("utf-8", "replace")
    return text[0], text[1:].encode()


@contextmanager
def screen() -> Iterator[Screen]:
    """Take the terminal over, and give it back at the end, at Ctrl-C, at SIGTERM and while Ctrl-Z holds."""
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    on = Screen()

    def take() -> None:
        tty.setcbreak(number)
        _put(_ENTER)

    def give_back() -> None:
        _put(_LEAVE)
        with suppress(OSError, termios.error):
            termios.tcsetattr(number, termios.TCSADRAIN, before)

    def end(signal_number: int, _frame: FrameType | None) -> None:
        give_back()
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)

    def pause(_number: int, _frame: FrameType | None) -> None:
        give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        take()
        on.is_stale = True

    handlers: dict[int, Any] = {signal.SIGTERM: end, signal.SIGHUP: end, signal.SIGTSTP: pause}
    earlier = {each: signal.signal(each, handler) for each, handler in handlers.items()}
    take()
    try:
        yield on
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)
        give_back()


def _put(text: str) -> None:
    with suppress(OSError):  # the terminal is gone: there is nothing to give back
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), text.encode())
