"""How it goes with what waits for a remote provider: one small file, written by the uploader, read by all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitord.durable import read_regular
from monitord.recorder.status import write_status

STATUS_FILE = "uploader.json"


@dataclass(slots=True)
class UploaderStatus:
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


def write_uploader_status(data_dir: Path, status: UploaderStatus) -> None:
    """Replace the file."""
    write_status(data_dir, status, STATUS_FILE)


def read_uploader_status(data_dir: Path) -> UploaderStatus | None:
    """Read what was written last; None when there is nothing that can be understood."""
    try:
        held: dict[str, Any] = json.loads(read_regular(data_dir / STATUS_FILE))
        known = {name: held[name] for name in UploaderStatus.__dataclass_fields__ if name in held}
        return UploaderStatus(**known)
    except (OSError, ValueError, TypeError, KeyError):
        return None
