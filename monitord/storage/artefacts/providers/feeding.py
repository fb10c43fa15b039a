"""Chunks handed to a function that wants an iterator and calls it where a payload must not be read.

obstore asks an iterator for more from within its own event loop, and a payload may well come from obstore
itself (moved from one bucket to another). So the function runs in a thread, and the payload is read in ours.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator

_AHEAD = 2


class _BrokenOffError(Exception):
    """The payload raised: nothing that was handed over so far counts."""


class _Handing:
    """The way from one thread to the other; a few chunks long."""

    def __init__(self, take: Callable[[Iterator[bytes]], object]) -> None:
        self._take = take
        self._queue: queue.Queue[bytes | type[_BrokenOffError] | None] = queue.Queue(_AHEAD)
        self._is_done = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="artefact-upload", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._take(self._chunks())
        except BaseException as error:  # noqa: BLE001 - raised again in the other thread
            self._failure = error
        self._is_done.set()
        with contextlib.suppress(queue.Empty):
            while True:  # a producer that waits for room goes on, and sees that it is over
                self._queue.get_nowait()

    def _chunks(self) -> Iterator[bytes]:
        while (chunk := self._queue.get()) is not None:
            if not isinstance(chunk, bytes):
                raise chunk
            yield chunk

    def hand(self, chunk: bytes | type[_BrokenOffError] | None) -> bool:
        """Whether more is wanted."""
        if not self._is_done.is_set():
            self._queue.put(chunk)
        return not self._is_done.is_set()

    def wait(self) -> BaseException | None:
        self._thread.join()
        return self._failure


def feed(take: Callable[[Iterator[bytes]], object], chunks: Iterator[bytes]) -> None:
    """Call `take` with an iterator of the same chunks; raises what either of them raises.

    When the chunks break off, `take`'s iterator raises too, so that it undoes what it began.
    """
    handing = _Handing(take)
    try:
        for chunk in chunks:
            if not handing.hand(chunk):
                break
    except BaseException:
        handing.hand(_BrokenOffError)
        handing.wait()
        raise
    handing.hand(None)
    failure = handing.wait()
    if failure is not None:
        raise failure
