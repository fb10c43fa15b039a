"""The context record where there is no /proc (macOS), by psutil.

Written from psutil's manual; not run on a Mac by us.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from monitord.capture.target import psutil, start_of
from monitord.redaction import redact_argv, redact_name


def take(pid: int, start_ticks: int, window_s: float) -> dict[str, Any]:
    """Take the record with what psutil can read; `not_readable` names the rest."""
    found = start_of(pid)
    if found is None or abs(found - start_ticks) > 1:
        return {"error": "target_gone" if found is None else "target_replaced"}
    process, denied = psutil.Process(pid), dict[str, str]()

    def attempt(name: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except psutil.Error as error:
            denied[name] = (
                "permission denied" if isinstance(error, psutil.AccessDenied) else "no such process"
            )
            return None

    memory, load = psutil.virtual_memory(), psutil.getloadavg()
    return {
        "taken_at": datetime.now(UTC).isoformat(),
        "identity": {
            "pid": pid,
            "name": attempt("name", process.name),
            "start_ticks": found,
            "executable": redact_name(attempt("exe", process.exe) or "") or None,
            "command_line": list(redact_argv(attempt("cmdline", process.cmdline) or [])),
            "cwd": redact_name(attempt("cwd", process.cwd) or "") or None,
            "ancestors": [{"pid": parent.pid} for parent in attempt("parents", process.parents) or []],
        },
        "status": {
            "State": attempt("status", process.status),
            "Uid": attempt("uids", lambda: list(process.uids())),
            "memory": attempt("memory", lambda: process.memory_info()._asdict()),
        },
        "cpu_percent": attempt("cpu", lambda: process.cpu_percent(window_s)),
        "files": {"count": attempt("fds", process.num_fds)},
        "threads": {"count": attempt("threads", process.num_threads), "shown": []},
        "system": {"loadavg": list(load), "memory": memory._asdict()},
        "window_s": window_s,
        "not_readable": denied,
    }
