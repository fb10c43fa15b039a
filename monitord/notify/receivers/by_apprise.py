"""Whatever Apprise knows (extra `notify`), by its own URLs; certificates are checked, redirects refused."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from typing import Any

from monitord.config.telling import ReceiverSettings
from monitord.installation import install_command
from monitord.notify.errors import NotSentError

# Some services ping those who stand behind @ or in <!…>, and Apprise helps them to: no name of a process may.
_PINGS_NOBODY = str.maketrans(
    {
        "@": "\N{FULLWIDTH COMMERCIAL AT}",
        "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
        ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    }
)


def send(receiver: ReceiverSettings, url: str, message: Mapping[str, Any], within_s: float) -> None:
    """Hand it to Apprise; its own log may hold the URL and goes nowhere."""
    missing = check(receiver)
    if missing is not None:
        raise NotSentError(missing)
    log = logging.getLogger("apprise")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    import apprise

    asset = apprise.AppriseAsset(app_id="monitord", app_desc="monitord", http_redirects=False)
    service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise NotSentError("url: expected one that Apprise knows", is_final=True)
    if not service.verify_certificate or service.redirects:
        raise NotSentError("url: expected neither verify=no nor redirect=yes", is_final=True)
    service.socket_connect_timeout = service.socket_read_timeout = within_s
    sent = service.notify(
        body=str(message["text"]).translate(_PINGS_NOBODY),
        title=str(message["title"]).translate(_PINGS_NOBODY),
        notify_type=apprise.NotifyType.WARNING,
        body_format=apprise.NotifyFormat.TEXT,
    )
    if not sent:
        raise NotSentError("Apprise could not deliver it; `monitord notify test` tries again")


def check(receiver: ReceiverSettings) -> str | None:
    """Return whether Apprise is installed."""
    if importlib.util.find_spec("apprise") is not None:
        return None
    return f"cannot import apprise; install it: {install_command('notify')}"
