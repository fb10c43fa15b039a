"""Log lines for machines and people: always to stderr, because stdout belongs to data.

A recorder logs through a `QueuedStream`, so that nobody who reads slowly, or not at all, holds up its loop.

Event names ("capture.finished") and their keys are an interface; tests assert on them. Values that
come from processes are escaped by the renderers (JSON, or logfmt with quotes), so no name can forge a line.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TextIO, cast

import structlog

from monitord.model import counted, short_id

_LONGEST = 4_000  # characters of a value
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info", style: str = "auto", stream: TextIO | QueuedStream | None = None) -> None:
    """Send log events at `level` and above to `stream` (default stderr).

    `style` is json, logfmt or auto (logfmt). Timestamps are ISO-8601 UTC.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event"], bool_as_flag=False
        )
    )
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _name_incident,
        _escape_controls,
        renderer,
    ]
    if isinstance(stream, QueuedStream):
        stream.describe_loss = lambda count: _rendered(processors, "log.dropped", lines=count)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Lossy(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )


def _name_incident(
    _logger: object, _method: str, entry: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """`incident` by the name that tables show and commands take, in place of its whole id."""
    if "correlation_id" in entry:
        entry["incident"] = short_id(str(entry.pop("correlation_id")))
    return entry


def _rendered(processors: list[structlog.typing.Processor], event: str, **values: object) -> str:
    """One warning as a line of text, without the logger."""
    entry: structlog.typing.EventDict = {"event": event, **values}
    for processor in processors:
        entry = cast("structlog.typing.EventDict", processor(None, "warning", entry))
    return f"{entry}\n"


class QueuedStream:
    """A stream whose writes never wait: a thread hands them to a descriptor.

    What does not fit into the queue, or can't be written, is dropped and counted; the count is told with
    the next line that can be written again.
    """

    def __init__(self, descriptor: int, *, most_lines: int = 1000, most_bytes: int = 1 << 18) -> None:
        self._descriptor = descriptor
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._is_writing = False
        self._thread: threading.Thread | None = None
        self._untold = 0
        self.dropped_count = 0
        self.describe_loss: Callable[[int], str] = lambda count: f"dropped {counted(count, 'log line')}\n"

    def write(self, text: str) -> None:
        """Queue a line, or drop it. Never waits, never raises for what the machine can't give."""
        line = text.encode("utf-8", "backslashreplace")
        with self._changed:
            is_full = (
                len(self._lines) >= self._most_lines or self._waiting_bytes + len(line) > self._most_bytes
            )
            if is_full or not self._has_thread():
                self._drop(1)
                return
            self._lines.append(line)
            self._waiting_bytes += len(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Do nothing: the thread writes each line at once."""

    def close(self, within_s: float) -> bool:
        """Wait until everything queued is written; False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._is_writing, within_s)

    def _has_thread(self) -> bool:
        if self._thread is None:
            thread = threading.Thread(target=self._write_all, name="log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread to be had now; asked again with the next line
                return False
            self._thread = thread
        return True

    def _drop(self, count: int) -> None:
        self.dropped_count += count
        self._untold += count

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                line = self._lines.popleft()
                self._waiting_bytes -= len(line)
                self._is_writing = True
                lost = self._untold
            is_told = not lost or self._put(self.describe_loss(lost).encode())
            is_written = is_told and self._put(line)
            with self._changed:
                self._untold -= lost if is_told else 0
                self._drop(0 if is_written else 1)

    def _put(self, line: bytes) -> bool:
        """Write one line to its end; False when it can't be."""
        try:
            while line:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except BlockingIOError:  # somebody made the descriptor non-blocking
                    select.select([], [self._descriptor], [], 1.0)
        except (OSError, ValueError):
            return False
        return True


def hold_standard_streams() -> None:
    """Put /dev/null where stdin, stdout or stderr is closed: else the next file opened takes its number.

    A lock file or a database under number 2 would be overwritten by log lines.
    """
    for number, mode in ((0, "r"), (1, "w"), (2, "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        name = ("stdin", "stdout", "stderr")[number]
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  as long as the process


class _Lossy:
    """A stream that drops what it can't write: a closed terminal or a full disk must not end a recorder."""

    def __init__(self, stream: TextIO | QueuedStream) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write `text`, if anybody is there to read it."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(text)

    def flush(self) -> None:
        """Hand over what was written."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def get_logger() -> structlog.typing.FilteringBoundLogger:
    """The logger every room uses; looked up at call time, so `configure` may come later."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def _escape_controls(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Make every value printable and short: a process may call itself anything."""
    return {key: _printable(value) for key, value in event.items()}


def _printable(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(_printable(name)): _printable(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_printable(held) for held in value]
    text = str(value)
    if not text.isprintable():
        text = text.encode("unicode_escape", "surrogateescape").decode("ascii")
    # The journal breaks long lines, and what comes after a break looks like a line of ours.
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
