"""What the outside asks for. SIGTERM and SIGINT end; SIGHUP reloads, or ends when it took our terminal away.

Handlers only set plain values, and the interpreter's wake-up byte ends a wait. An Event would not do: its
lock may be held by the very code that the handler interrupts, and then both wait for ever.
"""

from __future__ import annotations

import os
import select
import signal
import time
from types import FrameType

# From SIGTERM until the loop has heard it, then until everything is saved. After that the kernel ends us by
# SIGALRM, whatever we hang in: nothing that was acknowledged is lost by it.
_HEARD_WITHIN_S = 4.0
_ENDED_WITHIN_S = 10.0
_NAP_S = 0.2


class Signals:
    """Listens from now on, in the main thread. Until `is_ready` is set, being told to end raises SystemExit.

    A daemon without a terminal (a service) only ever reloads at SIGHUP; so does one that was started
    ignoring it, which is what `nohup` does.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.asked_to_stop = False
        self._reloads_asked = 0
        self._reloads_taken = 0
        self._reader, writer = os.pipe()
        for descriptor in (self._reader, writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._poller = select.poll()
        self._poller.register(self._reader, select.POLLIN)
        self._outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or not _has_terminal()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._hang_up)
        # Who started us may have blocked them, and that is inherited: only SIGKILL could end us then.
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM}
        )

    @property
    def asked_to_reload(self) -> bool:
        """Whether a reload was asked for that was not taken yet; however often is one reload."""
        return self._reloads_asked != self._reloads_taken

    def take_reload(self) -> bool:
        """Return whether a reload was asked for since the last call."""
        asked = self._reloads_asked
        is_new, self._reloads_taken = asked != self._reloads_taken, asked
        return is_new

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as a signal comes; sooner where the machine can't wait."""
        try:
            if self._poller.poll(seconds * 1000):
                os.read(self._reader, 4096)
        except OSError:
            time.sleep(min(seconds, _NAP_S))

    def is_heard(self) -> None:
        """The end has begun, in order: it has more time than it took to be heard."""
        signal.setitimer(signal.ITIMER_REAL, _ENDED_WITHIN_S)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if not self.asked_to_stop:
            signal.setitimer(signal.ITIMER_REAL, _HEARD_WITHIN_S)
        self.asked_to_stop = True
        if not self.is_ready:
            raise SystemExit(0)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        if self._outlives_terminal or _has_terminal():
            self._reloads_asked += 1
        else:
            self._end(number, frame)


def _has_terminal() -> bool:
    """/dev/tty opens exactly while the session has a terminal that nobody has hung up (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
