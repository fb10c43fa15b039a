"""Ask the recorder that runs to read its configuration again, and wait for what it makes of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monitord.errors import ConfigError, NotFoundError, PermissionDeniedError, UnreachableError
from monitord.recorder.locks import DAEMON_LOCK
from monitord.recorder.status import nobody_records, read_status

_POLL_S = 0.1


def reload_recorder(
    data_dir: Path, ask: Callable[[int], object] | None = None, *, patience_s: float = 60.0
) -> list[str]:
    """Ask, wait for the answer, and give the keys that only a restart takes up.

    `ask` gets the recorder's pid; by default it is sent SIGHUP. Raises ConfigError with the reason when the
    configuration was refused, NotFoundError when nobody records here, PermissionDeniedError when the recorder
    is somebody else's, UnreachableError when it ends or does not answer within `patience_s`.
    """
    before = read_status(data_dir)
    if before is None or not before["is_running"]:
        raise NotFoundError(f"cannot reload: {nobody_records()}")
    _require_readable(before)
    if before["pid"] is None:
        raise UnreachableError(
            f"cannot reload: the recorder of {data_dir} has not written its pid (it just began, or its disk"
            " is full); try again, or `monitord service restart`"
        )
    (ask or _signal_owner(data_dir))(before["pid"])
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        status = read_status(data_dir)
        if status is None or status["pid"] != before["pid"] or not status["is_running"]:
            raise UnreachableError(
                f"cannot reload: the recorder (pid {before['pid']}) ended; see `monitord logs`"
            )
        _require_readable(status)
        if _attempts(status) > _attempts(before, status.get("started_at")):
            return _outcome(status["reload"])
        time.sleep(_POLL_S)
    raise UnreachableError(
        f"cannot reload: the recorder (pid {before['pid']}) did not answer within {patience_s:g} s;"
        " see `monitord status` and `monitord logs`"
    )


def _require_readable(status: Mapping[str, Any]) -> None:
    if "unreadable" in status:
        raise UnreachableError(
            f"cannot reload: the recorder (pid {status['pid'] or 'unknown'}) cannot answer:"
            f" {status['unreadable']}"
        )


def is_ours(data_dir: Path) -> bool:
    """Whether this user owns the recorder's lock: only then can the pid in it be trusted."""
    try:
        return (data_dir / DAEMON_LOCK).lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _signal_owner(data_dir: Path) -> Callable[[int], None]:
    if not is_ours(data_dir):
        raise PermissionDeniedError(
            f"cannot reload: the recorder of {data_dir} is another user's;"
            " for the machine's service type `sudo monitord service reload --system`"
        )
    return lambda pid: os.kill(pid, signal.SIGHUP)


def _attempts(status: Mapping[str, Any], started_at: object = None) -> int:
    """How often it reloaded; 0 when the status is of another run than the one that began at `started_at`."""
    if started_at is not None and status.get("started_at") != started_at:
        return 0
    reload = status.get("reload")
    count = reload.get("attempts") if isinstance(reload, Mapping) else None
    return count if isinstance(count, int) else 0


def _outcome(reload: Mapping[str, Any]) -> list[str]:
    refused = reload.get("refused")
    if refused:
        raise ConfigError(f"cannot reload, the old configuration stays in force: {refused}")
    return [str(key) for key in reload.get("needs_restart") or ()]
