"""The outbox on the disk; it belongs to the one sender that holds its lock."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from monitord.durable import durable_write, read_regular
from monitord.notify.outbox import Outbox

OUTBOX_FILE = "outbox.json"
_BEGUN_BEFORE = timedelta(seconds=60)  # the first time, what was raised while the recorder began is told, too
_LIMIT_BYTES = 8 << 20


def read_outbox(data_dir: Path, now: datetime) -> Outbox:
    """Read what was written last, else a new one, which says so where there was a damaged one."""
    path = data_dir / OUTBOX_FILE
    begun = Outbox(now - _BEGUN_BEFORE)
    try:
        return msgspec.json.decode(read_regular(path, _LIMIT_BYTES), type=Outbox)
    except FileNotFoundError:
        return begun
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        begun.trouble = f"cannot read {path}: {reason}; what waited there is lost, new messages are sent"
        return begun


def encoded(outbox: Outbox) -> bytes:
    """Return what is written of it."""
    return msgspec.json.encode(outbox)


def write_outbox(data_dir: Path, text: bytes) -> None:
    """Replace the file, or on a full disk its bytes. Raises OSError where neither can be done."""
    path = data_dir / OUTBOX_FILE
    try:
        durable_write(path, text)
    except OSError:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if len(text) > size:
                raise
            os.pwrite(descriptor, text.ljust(size), 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
