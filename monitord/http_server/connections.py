"""So many connections, each heard within seconds: who opens them and says nothing shuts nobody else out."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from monitord.logs import get_logger

MOST_CONNECTIONS = 128
HEARD_WITHIN_S = 10.0
"""From the connection, or the last answer, to a whole request's head."""

READ_WITHIN_S = 60.0
"""From when an answer waits for its reader until the reader has taken most of it."""

LARGEST_HEAD_BYTES = 16 * 1024


def most_connections() -> int:
    """How many there may be: far below what the process may open, so that accepting never fails."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(4, min(MOST_CONNECTIONS, soft // 4))


class LimitedProtocol(H11Protocol):
    """uvicorn's connection with a limit to how many there are, and to how long one may say nothing.

    Where there are too many, the oldest that waits for its client (for a request, or for an answer to be
    read) gives way to the newest.
    """

    dropped_count = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._made_s = self.loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        self._is_dropped = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Count a connection, and close another when there are too many."""
        super().connection_made(transport)
        self._wait_for_a_request()
        alive = [one for one in self.connections if isinstance(one, LimitedProtocol) and not one._is_dropped]
        if len(alive) > most_connections():
            waiting = [one for one in alive if not one.is_busy or one.flow.write_paused]
            min(waiting, key=lambda one: one._made_s, default=self).drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next request has as long as the first had."""
        super().on_response_complete()
        if not self.flow.write_paused:
            self._wait_for_a_request()

    def pause_writing(self) -> None:
        """The client reads slower than it is answered: it has so long to go on."""
        super().pause_writing()
        self._stop_waiting()
        self._deadline = self.loop.call_later(READ_WITHIN_S, self.drop)

    def resume_writing(self) -> None:
        """It reads on; where all is said, the next request is waited for."""
        super().resume_writing()
        self._stop_waiting()
        if not self.is_busy:
            self._wait_for_a_request()

    def send_400_response(self, msg: str) -> None:
        """Say that a request is malformed, unless an answer to its head is given or on its way."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.is_busy:
            super().send_400_response(msg)
        else:
            self.drop()

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def drop(self) -> None:
        """End the connection at once; said at the 1st, 2nd, 4th, 8th … time."""
        self._is_dropped = True
        self.transport.abort()
        LimitedProtocol.dropped_count += 1
        count = LimitedProtocol.dropped_count
        if count & (count - 1) == 0:
            get_logger().warning("http.connection_dropped", count=count)

    def _wait_for_a_request(self) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(HEARD_WITHIN_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.is_busy:
            self.drop()
