"""Log lines for machines and people: always to stderr, because stdout belongs to data.

Event names ("capture.finished") and their keys are an interface; tests assert on them. Values that
come from processes are escaped by the renderers (JSON, or logfmt with quotes), so no name can forge a line.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO, cast

import structlog

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info", style: str = "auto", stream: TextIO | None = None) -> None:
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
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _escape_controls,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Lossy(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )


class _Lossy:
    """A stream that drops what it can't write: a closed terminal or a full disk must not end a recorder."""

    def __init__(self, stream: TextIO) -> None:
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
    """Make every string value printable: a process may call itself anything."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape", "surrogateescape").decode("ascii")
    return event
