"""Where monitord keeps its data: decided in one place, so that daemon and command line agree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monitord.errors import UsageError
from monitord.ownership import MACHINE_DATA_DIR

SYSTEM_DATA_DIR = MACHINE_DATA_DIR
_OF_A_STORE = ("monitord.db", "artefacts", "lock")


def is_machines(folder: Path) -> bool:
    """Whether a data directory is the one of the machine's service."""
    return folder in (SYSTEM_DATA_DIR, SYSTEM_DATA_DIR.resolve())


def resolve_data_dir(
    flag: Path | None = None, env: Mapping[str, str] | None = None, *, records: bool = False
) -> Path:
    """Return the data directory: --data-dir, MONITORD_DATA_DIR, a service's $STATE_DIRECTORY, or the user's
    own.

    A root user without any of them looks at the system service's directory when there is one, so that
    `sudo monitord recent` answers about the machine's recorder. Any other user without
    a store looks there, too, but `records` into one of his own. Never derived from HOME in a system unit.
    UsageError for a name that SQLite can't open: it takes UTF-8 only.
    """
    folder = _named(flag, os.environ if env is None else env, records)
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(f"invalid data directory {folder}: expected a name in UTF-8") from None
    return folder


def _named(flag: Path | None, env: Mapping[str, str], records: bool) -> Path:
    if flag is not None:
        return flag.absolute()
    if env.get("MONITORD_DATA_DIR"):
        return Path(env["MONITORD_DATA_DIR"]).absolute()
    # systemd makes a dynamic user's directory a link to /var/lib/private; the link is its own, not a trick.
    if env.get("STATE_DIRECTORY"):
        return Path(env["STATE_DIRECTORY"].split(":")[0]).resolve()
    if os.geteuid() == 0 and SYSTEM_DATA_DIR.is_dir():
        return SYSTEM_DATA_DIR.resolve()
    import platformdirs

    own = Path(platformdirs.user_state_dir("monitord"))
    if records or os.geteuid() == 0 or not os.path.lexists(SYSTEM_DATA_DIR):
        return own
    return own if any(os.path.lexists(own / name) for name in _OF_A_STORE) else SYSTEM_DATA_DIR
