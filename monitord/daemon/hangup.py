"""SIGHUP says "read your configuration again" or "your terminal is gone". This tells them apart."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def hangup_handler(reload: threading.Event, stop: threading.Event) -> Callable[[], None]:
    """What SIGHUP sets from now on: `stop` when it took our terminal away, otherwise `reload`.

    A daemon without a terminal (a service) only ever reloads; so does one that was started ignoring SIGHUP,
    which is what `nohup` does.
    """
    outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or not _has_terminal()

    def on_hangup() -> None:
        is_orphaned = not outlives_terminal and not _has_terminal()
        (stop if is_orphaned else reload).set()

    return on_hangup


def _has_terminal() -> bool:
    """/dev/tty opens exactly while the session has a terminal that nobody has hung up (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
