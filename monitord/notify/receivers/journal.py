"""The system's journal, by its own protocol: fields that `journalctl` finds, under one MESSAGE_ID."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitord.config.telling import ReceiverSettings
from monitord.notify.errors import NotSentError

MESSAGE_ID = "b7c3a1f0d5e84c0e9a6f2d417c58e393"
SOCKET = "/run/systemd/journal/socket"
_WARNING, _NOTICE = "4", "5"


def send(
    receiver: ReceiverSettings,
    url: str,
    message: Mapping[str, Any],
    within_s: float,
    address: str = SOCKET,
) -> None:
    """Send one datagram (systemd.io/JOURNAL_NATIVE_PROTOCOL): lines, or lengths where there are newlines."""
    fields = {
        "MESSAGE": f"{message['title']}\n{message['text']}",
        "MESSAGE_ID": MESSAGE_ID,
        "PRIORITY": _NOTICE if message["kind"] == "test" else _WARNING,
        "SYSLOG_IDENTIFIER": "monitord",
        "MONITORD_ID": message["id"],
        "MONITORD_KIND": message["kind"],
        "MONITORD_RULE": message["rule"],
        "MONITORD_PROCESS": message.get("process"),
        "MONITORD_FUNCTION": message.get("function"),
        "MONITORD_CAUSE": message.get("cause"),
    }
    data = b"".join(_field(name, str(value)) for name, value in fields.items() if value)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(within_s)
            sender.sendto(data, address)
    except OSError as error:
        raise NotSentError(f"cannot write to the journal: {error.strerror or 'no answer'}") from error


def check(receiver: ReceiverSettings) -> str | None:
    """Return whether there is a journal."""
    return None if Path(SOCKET).exists() else f"cannot find the journal: {SOCKET} is not there"


def _field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace")
    if b"\n" not in raw:
        return name.encode() + b"=" + raw + b"\n"
    return name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
