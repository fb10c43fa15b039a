"""A real terminal: tmux on a socket of its own, keys pressed in it, its screen read back."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S


class Terminal:
    """One window in which a shell runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *words], capture_output=True, text=True, timeout=PATIENCE_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def run(self, command: Sequence[str]) -> None:
        self.type(shlex.join(command))
        self.press("Enter")

    def resize(self, columns: int, lines: int) -> None:
        self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def state(self, name: str) -> str:
        """One of tmux's own facts about the pane: `alternate_on`, `cursor_flag`."""
        return self.tmux("display-message", "-p", f"#{{{name}}}").strip()

    def until(self, is_so: str | Callable[[str], bool]) -> str:
        """Wait until the screen shows it, and return the screen."""
        fits = (lambda shown: is_so in shown) if isinstance(is_so, str) else is_so
        ends_s = time.monotonic() + PATIENCE_S
        while not fits(shown := self.screen()):
            assert time.monotonic() < ends_s, shown
            time.sleep(0.02)
        return shown


@contextmanager
def terminal(
    folder: Path, environment: Mapping[str, str], columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    """Open a window of this size, with a plain shell in it; it is gone at the end, with all that runs in it."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is missing: apt-get install tmux")
    opened = Terminal(folder / "tmux.socket")
    kept = {name: text for name, text in environment.items() if name not in ("COLUMNS", "LINES", "TMUX")}
    shell = shlex.join(
        ["env", "-i", *(f"{n}={t}" for n, t in kept.items()), "PS1=shell> ", "TERM=screen", "sh"]
    )
    opened.tmux(
        "-f", "/dev/null", "new-session", "-d", "-c", str(folder), "-x", str(columns), "-y", str(lines), shell
    )
    try:
        opened.until("shell>")
        yield opened
    finally:
        opened.tmux("kill-server")
