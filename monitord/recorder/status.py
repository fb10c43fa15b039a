"""How the daemon is, for every command: one small file, replaced whole, readable without the daemon."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import stat
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from monitord.durable import file_mode, is_shared
from monitord.errors import PermissionDeniedError
from monitord.recorder.locks import DAEMON_LOCK, holder
from monitord.storage.folder import hand_over

STATUS_FILE = "status.json"
MESSAGES_FILE = "messages.json"
"""The same of the sender of messages, a child (monitord/notify/status.py)."""
RECEIVER_FAILED = 10
"""The sender's exit status when a receiver did not take what it was sent."""
NOBODY = "nobody records here"
HOW_TO_START = "start it with `monitord service start` or `monitord run`"
_LARGEST_BYTES = 16 << 20
_SILENT_AFTER_INTERVALS = 30
_SILENT_AFTER_LEAST_S = 60.0


def nobody_records(since: str = "") -> str:
    """Say that no recorder runs, and what to type, in the one wording; `since` stands behind it."""
    return f"{NOBODY}{since}; {HOW_TO_START}"


def write_status(data_dir: Path, status: object, name: str = STATUS_FILE) -> None:
    """Replace the file, or on a full disk its bytes. If neither can be done the old one tells its own age."""
    path = data_dir / name
    temporary = data_dir / f".{name}.new"
    text = json.dumps(status, default=_plain).encode()  # not dump: it has no fast encoder
    try:
        temporary.unlink(missing_ok=True)  # whatever stands there: to open a FIFO would wait for ever
        mode = file_mode(shared=is_shared(data_dir.stat()))
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            hand_over(file.fileno(), data_dir)
            file.write(text)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # a read-only disk refuses this, too
            temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            _write_over(path, status, text)


def _write_over(path: Path, status: object, text: bytes) -> None:
    """Into the bytes that the file has, filled up with spaces; without the rules if they don't fit."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        room = os.fstat(descriptor).st_size
        if len(text) > room and isinstance(status, Mapping):
            text = json.dumps({**status, "rules": []}, default=_plain).encode()
        if len(text) <= room:
            os.pwrite(descriptor, text.ljust(room), 0)
    finally:
        os.close(descriptor)


class StatusWriter:
    """Writes the file on a thread of its own: nobody waits for a disk, and the newest status wins."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._newest: object = None
        self._is_writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, status: object) -> None:
        """Have it written soon. Raises RuntimeError when the machine gives no thread."""
        with self._changed:
            self._newest = status
            if self._thread is None:
                thread = threading.Thread(target=self._write_all, name="status", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify_all()

    def close(self, within_s: float) -> bool:
        """Wait until the newest is written; False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._newest is None and not self._is_writing, within_s)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._newest is not None)
                status, self._newest, self._is_writing = self._newest, None, True
            try:
                write_status(self._data_dir, status)
            except Exception:  # noqa: BLE001  around one status: no memory for this one, perhaps for the next
                from monitord.logs import get_logger  # readers of the file need not load it

                get_logger().debug("status.not_written", exc_info=True)


def read_status(data_dir: Path) -> dict[str, Any] | None:
    """What the daemon said last, with `is_running` and the lock owner's `pid`; None if it never ran here.

    `pid` is None while a recorder holds the lock and has not written its pid: the file's may be old.
    `unreadable` says why a recorder that runs can tell nothing, with what to do. Raises PermissionDeniedError
    where it is another user's lock, which can't be read: whether somebody records there is not known then.
    """
    _require_right(data_dir / DAEMON_LOCK)
    pid = holder(data_dir / DAEMON_LOCK)
    status = _read(data_dir / STATUS_FILE)
    if not status and pid is None:
        return None
    obstacle = {} if status else _obstacle(data_dir / STATUS_FILE)
    told_pid = status.get("pid") if pid is None else pid or None
    return {**status, **obstacle, "is_running": pid is not None, "pid": told_pid}


def _require_right(lock: Path) -> None:
    try:
        os.close(os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
    except PermissionError as error:
        raise PermissionDeniedError(
            f"cannot look into {lock.parent}: it is another user's; try sudo"
        ) from error
    except OSError:
        return


def moment_of(text: object) -> datetime | None:
    """Read ISO text from a file that may be old or damaged; None when it is not an aware time."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def silent_for_s(reported: Mapping[str, Any], now: datetime) -> float | None:
    """How long a recorder that runs has reported nothing; None while that is normal."""
    taken = moment_of(reported.get("taken_at"))
    if taken is None:
        return None
    silent_s = (now - taken).total_seconds()
    interval_s = reported.get("interval_s")
    intervals_s = _SILENT_AFTER_INTERVALS * float(interval_s if isinstance(interval_s, int | float) else 0)
    return silent_s if silent_s > max(_SILENT_AFTER_LEAST_S, intervals_s) else None


def _obstacle(path: Path) -> dict[str, str]:
    """What keeps the file from being written or read; links, FIFOs and devices are replaced by the daemon."""
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            return {"unreadable": f"cannot read {path}: it is a directory; remove it"}
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"unreadable": f"cannot read {path}: {error.strerror}; ask as its owner, or remove it"}
    return {}


def _read(path: Path) -> dict[str, Any]:
    """Twice if need be: on a full disk it is written in place."""
    for _ in range(2):
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                status = json.loads(file.read(_LARGEST_BYTES))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(status, dict):
            return status
    return {}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Not asdict: it would copy deeply what json takes apart itself as it writes.
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in {STATUS_FILE}")
