"""sd_notify in a few lines: tells the service manager how the daemon is; silent where nobody asked.

The protocol (man 3 sd_notify): one datagram of NAME=value lines to the AF_UNIX socket that
NOTIFY_SOCKET names; a leading `@` stands for the abstract namespace.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Says READY, STATUS, WATCHDOG, RELOADING and STOPPING to systemd.

    `watchdog_interval_s` is how often `watchdog()` wants to be called, half of what the unit allows; None
    when no watchdog is set or it is meant for another process. A manager that went away is ignored.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_interval_s = _watchdog_interval_s(env)

    def ready(self, status: str | None = None) -> None:
        """Tell that it has started or reloaded, and works."""
        self._send("READY=1", *([_status(status)] if status else []))

    def status(self, text: str) -> None:
        """Tell the line that `systemctl status` shows."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """Tell that it is alive. Only the sampling loop may say this: it is what must not hang."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Tell that the configuration is read again; `ready()` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """Start, reload or stop takes up to this much longer (a migration, say)."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(_PATIENCE_S)
                channel.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except (OSError, MemoryError):
            return  # the manager is gone or its queue is full; watching the machine goes on


# How long a manager with a full queue may hold up the sampling loop.
_PATIENCE_S = 0.5


def _status(text: str) -> str:
    line = "".join(char if char.isprintable() else " " for char in text)
    return f"STATUS={line}"


def _watchdog_interval_s(env: Mapping[str, str]) -> float | None:
    allowed_us = env.get("WATCHDOG_USEC", "")
    if not allowed_us.isdigit() or int(allowed_us) == 0:
        return None
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(allowed_us) / 2_000_000
