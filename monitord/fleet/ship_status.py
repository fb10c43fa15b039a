"""How shipping goes: one small file, written by each round, read by `status` and `doctor`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitord.durable import read_regular
from monitord.recorder.status import write_status

STATUS_FILE = "ship.json"
CLOCK_AHEAD_S = 60.0


@dataclass(slots=True)
class ShipStatus:
    """`waiting_*` as of the last round; `puts` and `put_bytes` count since the host has its name.

    Times are ISO 8601 in UTC. `last_error` is None while all is well, `fix` what to do about it. `lost` says
    what had to make room before the bucket was back.
    """

    url: str = ""
    host_id: str = ""
    puts: int = 0
    put_bytes: int = 0
    waiting_files: int = 0
    waiting_bytes: int = 0
    waiting_artefacts: int = 0
    clock_ahead_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    previous_host_ids: list[str] = field(default_factory=list)
    last_success_at: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None
    fix: str | None = None


def write_ship_status(data_dir: Path, status: ShipStatus) -> None:
    """Replace the file."""
    write_status(data_dir, status, STATUS_FILE)


def read_ship_status(data_dir: Path) -> ShipStatus | None:
    """Read what was written last; None when there is nothing that can be understood."""
    try:
        held: dict[str, Any] = json.loads(read_regular(data_dir / STATUS_FILE))
        found = ShipStatus(**{name: held[name] for name in ShipStatus.__dataclass_fields__ if name in held})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    default = ShipStatus()
    fits = all(
        isinstance(getattr(found, name), _TYPES.get(name, type(getattr(default, name))))
        for name in ShipStatus.__dataclass_fields__
    )
    return found if fits else None


_TYPES: dict[str, Any] = {
    **dict.fromkeys(("last_success_at", "last_error", "last_error_at", "fix"), str | None),
    "clock_ahead_s": float | int,
}
