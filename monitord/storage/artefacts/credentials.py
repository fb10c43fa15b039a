"""Where systemd keeps a credential of the unit: for the service, and for root's commands while it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monitord.errors import ConfigError

_OF_SERVICE = "credentials/monitord.service"  # below /run for root and the service alone, or a user's own


def credential_path(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file of this credential; raises ConfigError with two ways to have it."""
    beside = "/run" if os.geteuid() == 0 else environment.get("XDG_RUNTIME_DIR")
    own = environment.get("CREDENTIALS_DIRECTORY")
    places = [Path(own, name)] if own else []
    places += [Path(beside, _OF_SERVICE, name)] if beside else []
    for place in places:
        if place.is_file():
            return place
    if own:
        return places[0]  # whose absence is told by who opens it
    rights = "" if os.geteuid() == 0 else "sudo "
    raise ConfigError(
        f"cannot find the credential {name}; give the unit LoadCredential={name}:/path and start the service,"
        f" or {rights}systemd-run --pipe --wait -p LoadCredential={name}:/path monitord …"
    )
