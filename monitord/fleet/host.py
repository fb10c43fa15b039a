"""Who ships under a host's name: a file in the bucket that only who wrote it last may replace.

Each round has a name of its own, drawn at random. Clones of one image begin with the same identity; one of
them replaces the round that both know, the other finds a round that is not its own, and takes a new name.
"""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.errors import MonitordError
from monitord.fleet.layout import HostFile
from monitord.fleet.ship_state import ShipState
from monitord.storage.artefacts.errors import (
    ArtefactChangedError,
    ArtefactExistsError,
    MissingArtefactError,
)
from monitord.storage.objects import Absent, Expected, ObjectInfo, Objects

FORMAT = "monitord-host/1"
FILE_LIMIT_BYTES = 64 << 10


class NameTakenError(MonitordError):
    """Somebody else ships under this name."""


@dataclass(frozen=True, slots=True)
class Claim:
    """How taking the name went: `note` is what a person should hear."""

    note: str | None = None


def claim(
    objects: Objects, state: ShipState, now: datetime, save: Callable[[], None], *, named: bool = True
) -> Claim:
    """Take the host's name for one round of shipping, and leave there who it is and how it goes.

    Raises NameTakenError, and what the bucket raises.
    """
    path = HostFile(state.host_id).path
    expected, note = _expected(objects, state, path)
    nonce = state.new_nonce()
    save()  # what we find there later is ours, wherever we are killed
    try:
        objects.put(path, _encoded(state, nonce, now, named=named), expected)
    except (ArtefactChangedError, ArtefactExistsError) as error:
        raise NameTakenError(f"cannot ship as {state.host_id}: another host does") from error
    state.claimed = nonce
    save()
    return Claim(note)


def _expected(objects: Objects, state: ShipState, path: str) -> tuple[Expected, str | None]:
    try:
        found, data = objects.read(path, FILE_LIMIT_BYTES)
    except MissingArtefactError:
        note = (
            "the bucket is new or was emptied: what is held here goes there again" if state.claimed else None
        )
        state.forget_bucket()
        return Absent(), note
    nonce, written_at = _told(data)
    if nonce not in state.nonces:
        raise NameTakenError(f"cannot ship as {state.host_id}: another host does")
    _compare_clocks(state, written_at, found)
    if state.claimed in state.nonces and state.nonces.index(nonce) < state.nonces.index(state.claimed):
        state.forget_bucket()
        return found, "the bucket went back to an earlier state: what is held here goes there again"
    return found, None


def _told(data: bytes) -> tuple[str, datetime | None]:
    """The round's name and when it was written by the host's clock; empty for what is not ours."""
    try:
        held: dict[str, Any] = json.loads(data)
        return str(held["nonce"]), datetime.fromisoformat(held["written_at"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", None


def _compare_clocks(state: ShipState, written_at: datetime | None, found: ObjectInfo) -> None:
    if written_at is not None and written_at.tzinfo is not None:
        state.clock_ahead_s = round((written_at - found.changed_at).total_seconds(), 1)


def _encoded(state: ShipState, nonce: str, now: datetime, *, named: bool) -> bytes:
    about = {
        "format": FORMAT,
        "host_id": state.host_id,
        "name": socket.gethostname() if named else None,
        "nonce": nonce,
        "written_at": now.isoformat(),
        "clock_ahead_s": state.clock_ahead_s,
        "monitord": __version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "previous_host_ids": state.previous,
        "lost": [{"table": one.table, "day": one.day, "rows": one.rows} for one in state.lost],
    }
    return json.dumps(about, indent=1).encode()
