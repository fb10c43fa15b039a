"""How the daemon is, for everybody who asks: one small file, replaced whole, readable without the daemon."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from monitord.daemon.locks import DAEMON_LOCK, owner
from monitord.storage.folder import hand_over

STATUS_FILE = "status.json"


def write_status(data_dir: Path, status: object, name: str = STATUS_FILE) -> None:
    """Replace the file. A disk that can't take it is not an error: the old file tells its own age."""
    path = data_dir / name
    temporary = data_dir / f".{name}.new"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            hand_over(file.fileno(), data_dir)
            file.write(json.dumps(status, default=_plain))  # not dump: it has no fast encoder
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # a read-only disk refuses this, too
            temporary.unlink(missing_ok=True)


def read_status(data_dir: Path) -> dict[str, Any] | None:
    """What the daemon said last, with `is_running` and the lock owner's `pid`; None if it never ran here."""
    pid = owner(data_dir / DAEMON_LOCK)
    try:
        status = json.loads((data_dir / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        status = {}
    if not isinstance(status, dict) or (not status and pid is None):
        return None
    return {**status, "is_running": pid is not None, "pid": pid or status.get("pid")}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # Not asdict: it would copy deeply what json takes apart itself as it writes.
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in {STATUS_FILE}")
