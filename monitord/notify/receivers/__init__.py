"""The receivers, one file a kind of place; each is loaded when a message is for it.

To add a kind: a file with `send`, a line here, its name in `ReceiverSettings.kind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from monitord.config.telling import ReceiverSettings

RECEIVERS = {
    "webhook": "chats",
    "slack": "chats",
    "mattermost": "chats",
    "ntfy": "chats",
    "mail": "mail",
    "apprise": "by_apprise",
    "command": "command",
    "desktop": "desktop",
    "journald": "journal",
}


class Receiver(Protocol):
    """A module that hands messages over. `check` says what stands in the way, without sending anything."""

    def send(self, receiver: ReceiverSettings, url: str, message: Mapping[str, Any], within_s: float) -> None:
        """Hand a message (`Message.as_json`) over; raises NotSentError."""
        ...

    def check(self, receiver: ReceiverSettings) -> str | None:
        """Return why this machine can't send to such a receiver, None: nothing is known against it."""
        ...


def load(kind: str) -> Receiver:
    """Return the module of this kind."""
    return cast("Receiver", import_module(f"{__name__}.{RECEIVERS[kind]}"))
