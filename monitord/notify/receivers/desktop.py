"""The desktop of the session that the recorder belongs to: a user's own service, or `monitord run` there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitord.children import own_environment, system_program
from monitord.config.telling import ReceiverSettings
from monitord.notify.errors import NotSentError

_OF_THE_SESSION = ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")
# notify-send reads \074 in the body as "<" (g_strcompress), after which who shows it may read markup.
_ESCAPED = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\\", "\\\\"))
_BY_APPLESCRIPT = "on run given\ndisplay notification (item 2 of given) with title (item 1 of given)\nend run"


def send(receiver: ReceiverSettings, url: str, message: Mapping[str, Any], within_s: float) -> None:
    """Show it by notify-send, on a Mac by osascript; who shows it may read markup: none is left."""
    reason = check(receiver)
    if reason is not None:
        raise NotSentError(reason)
    text = str(message["text"])
    for sign, escaped in _ESCAPED if sys.platform != "darwin" else ():
        text = text.replace(sign, escaped)
    session = {name: os.environ[name] for name in _OF_THE_SESSION if name in os.environ}
    words = [*_words(), str(message["title"]), text]
    try:
        done = subprocess.run(
            words,
            env={**own_environment(), **session},
            cwd="/",
            timeout=within_s,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotSentError(f"{words[0]} could not show it ({type(error).__name__})") from error
    if done.returncode != 0:
        raise NotSentError(f"{words[0]} ended with status {done.returncode}: is there a desktop?")


def check(receiver: ReceiverSettings) -> str | None:
    """Return what is missing: the program, or the session."""
    if sys.platform == "darwin":
        return None
    if system_program("notify-send") is None:
        return "cannot find notify-send; install libnotify (Debian: libnotify-bin)"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if "DBUS_SESSION_BUS_ADDRESS" in os.environ or (runtime and Path(runtime, "bus").exists()):
        return None
    return "no session of a user; start `monitord notify desktop` in yours"


def _words() -> list[str]:
    if sys.platform == "darwin":
        return ["/usr/bin/osascript", "-e", _BY_APPLESCRIPT]
    return [str(system_program("notify-send")), "--app-name=monitord", "--"]
