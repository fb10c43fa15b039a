"""The names of this machine and of its users, which leave it only as stand-ins."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path

from monitord.export.cleaning import Identities
from monitord.storage.views import IncidentView


def identities(views: Iterable[IncidentView] = ()) -> Identities:
    """Return the names of this machine and its users that texts may hold."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER")
    return Identities(
        users=(user,) if user else (),
        hosts=(socket.gethostname(),),
        machine_ids=tuple(filter(None, (_machine_id(), *(view.boot_id for view in views)))),
    )


def _machine_id() -> str | None:
    try:
        return Path("/etc/machine-id").read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
