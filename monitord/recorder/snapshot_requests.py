"""How the recorder is asked for a snapshot: by a small file in its data directory, which it soon takes.

Only users who may write there can ask. A request that fails is answered by a file with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitord.durable import read_regular
from monitord.model import SnapshotRequest

SHORTEST_S, LONGEST_S = 1.0, 100.0
_FOLDER = "requests"
_ASKED, _ANSWERED = ".ask", ".why"
_AT_ONCE = 4  # more in one pass are left for the next ones
_UNREAD_S = 600.0  # ten times as long as anybody waits
_BYTES = 4096
_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")


def put_request(data_dir: Path, request: SnapshotRequest) -> None:
    """Ask; raises OSError where this user may not write."""
    folder = data_dir / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _put(folder / f"{request.correlation_id}{_ASKED}", json.dumps(asdict(request)))


def take_requests(data_dir: Path) -> list[SnapshotRequest]:
    """Take what was asked for since the last call; what is not a request is thrown away."""
    folder = data_dir / _FOLDER
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - asked at every pass
    except OSError:
        return []
    _remove_unread(folder, names)
    names = [name for name in names if name.endswith(_ASKED)]
    found = [_taken(folder / name) for name in names[:_AT_ONCE]]
    return [request for request in found if request is not None]


def _remove_unread(folder: Path, names: Sequence[str]) -> None:
    """Answers that came when nobody waited any more, and what a write that broke off has left."""
    for name in names:
        if not name.endswith(_ASKED):
            with contextlib.suppress(OSError):
                if time.time() - (folder / name).lstat().st_mtime > _UNREAD_S:
                    _remove(folder / name)


def refuse(data_dir: Path, correlation_id: str, reason: str) -> None:
    """Answer a request that gives no incident."""
    with contextlib.suppress(OSError):  # who asked stops waiting by himself
        _put(data_dir / _FOLDER / f"{correlation_id}{_ANSWERED}", reason[:_BYTES])


def take_refusal(data_dir: Path, correlation_id: str) -> str | None:
    """Why there is no incident; None: it was not refused so far."""
    path = data_dir / _FOLDER / f"{correlation_id}{_ANSWERED}"
    try:
        reason = read_regular(path, _BYTES).decode(errors="replace")
    except OSError:
        return None
    _remove(path)
    return reason


def withdraw(data_dir: Path, correlation_id: str) -> None:
    """Forget a request that nobody waits for any more."""
    for ending in (_ASKED, _ANSWERED):
        _remove(data_dir / _FOLDER / f"{correlation_id}{ending}")


def _taken(path: Path) -> SnapshotRequest | None:
    try:
        request = _read(json.loads(read_regular(path, _BYTES)))
    except (OSError, ValueError, RecursionError):
        request = None
    _remove(path)
    return request if request is not None and f"{request.correlation_id}{_ASKED}" == path.name else None


def _read(told: Any) -> SnapshotRequest | None:
    if not isinstance(told, Mapping):
        return None
    name, since_s, pid, process = (told.get(key) for key in ("correlation_id", "since_s", "pid", "process"))
    if not isinstance(name, str) or not _ID.fullmatch(name):
        return None
    if not isinstance(since_s, int | float) or not SHORTEST_S <= since_s <= LONGEST_S:
        return None
    if not (pid is None or (type(pid) is int and 0 < pid < 1 << 31)):
        return None
    if not (process is None or isinstance(process, str)):
        return None
    return SnapshotRequest(name, float(since_s), str(told.get("asked_by"))[:64], pid, process)


def _put(path: Path, text: str) -> None:
    """Whole or not at all: it is read at any moment."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
