"""The name that this host has wherever its records go: drawn once, kept with the key of its stand-ins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitord.errors import StorageError
from monitord.fleet.ship_state import ShipState, new_state, read_state, write_state
from monitord.fleet.spool import Spool
from monitord.recorder.locks import hold

LOCK_FILE = "ship.lock"


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """`key` makes the stand-ins of this host: the same one, the same stand-ins."""

    host_id: str
    key: bytes


def host_identity(data_dir: Path, *, pseudonym: bool, not_this: str | None = None) -> HostIdentity:
    """Return who this host is, and draw it where nothing did so far.

    `not_this` is a name that turned out to be another host's: a new one is drawn, as shipping does. Raises
    BusyError while a round of shipping goes on, StorageError when it can't be kept.
    """
    known = _read(data_dir)
    if known is None or known.host_id == not_this:
        with hold(data_dir / LOCK_FILE, "cannot name this host: shipping is at it"):
            known = _read(data_dir)
            if known is None or known.host_id == not_this:
                Spool(data_dir).clear()  # files made under another name
                known = new_state(pseudonym=pseudonym, before=known)
                try:
                    write_state(data_dir, known)
                except OSError as error:
                    raise StorageError(f"cannot note this host's name: {error.strerror}") from error
    return HostIdentity(known.host_id, bytes.fromhex(known.key))


def _read(data_dir: Path) -> ShipState | None:
    """A damaged file tells no name: a new one is drawn."""
    try:
        return read_state(data_dir)
    except ValueError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read this host's name: {error.strerror}") from error
