"""How it goes with what waits for a far provider: one small file, written by the courier, read by all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitord.durable import read_regular
from monitord.recorder.status import write_status

COURIER_FILE = "courier.json"


@dataclass(slots=True)
class CourierStatus:
    """`waiting_*` as of the last attempt; `moved` and `deleted` count since the file was first written.
    `archiving` is how the last round of archiving went, in words.

    Times are ISO 8601 in UTC. `last_error` is None while all is well. `refused` says why artefacts stay that
    can't be read.
    """

    url: str = ""
    waiting_artefacts: int = 0
    waiting_bytes: int = 0
    waiting_deletions: int = 0
    moved: int = 0
    moved_bytes: int = 0
    deleted: int = 0
    archiving: str | None = None
    archived_at: str | None = None
    refused: list[str] = field(default_factory=list)
    last_success_at: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None


def write_courier_status(data_dir: Path, status: CourierStatus) -> None:
    """Replace the file."""
    write_status(data_dir, status, COURIER_FILE)


def read_courier_status(data_dir: Path) -> CourierStatus | None:
    """Read what was written last; None when there is nothing that can be understood."""
    try:
        held: dict[str, Any] = json.loads(read_regular(data_dir / COURIER_FILE))
        known = {name: held[name] for name in CourierStatus.__dataclass_fields__ if name in held}
        return CourierStatus(**known)
    except (OSError, ValueError, TypeError, KeyError):
        return None
