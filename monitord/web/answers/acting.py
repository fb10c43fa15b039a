"""What the page can have done; each one is written down before it is done."""

from __future__ import annotations

import time
from typing import Any

from monitord.actions import again, capturing, incidents, snapshots
from monitord.export.shapes import row
from monitord.web.question import Question

_LONGEST_NOTE = 2000
_CAPTURE_S = 10.0
_WAIT_S = 30.0  # for a process like it, where the one it was about is gone


def pin(asked: Question) -> dict[str, Any]:
    """Keep an incident past its age, or (`undo`) let it go with age again."""
    record = incidents.pin(asked.workspace, asked.id, undo=asked.said_flag("undo"))
    return {"incident": row(record)}


def capture_again(asked: Question) -> dict[str, Any]:
    """Profile what an incident was about again, or the next process like it within half a minute."""
    asked.budget.spend()
    deadline_s = time.monotonic() + _WAIT_S

    def waits(seconds: float) -> bool:
        time.sleep(seconds)
        return goes_on(0.0, 0.0) and time.monotonic() < deadline_s

    request = capturing.CaptureRequest(duration_s=_CAPTURE_S)
    with asked.captures.one(asked.workspace.settings.capture.grace_s) as goes_on:
        incident = again.capture_again(asked.workspace, asked.id, request, goes_on, waits)
    capturing.require_profile(incident)
    return {"incident": row(incidents.find(asked.workspace, incident.correlation_id))}


def note(asked: Question) -> dict[str, Any]:
    """Leave a note on an incident."""
    record = incidents.add_note(asked.workspace, asked.id, asked.said("text", _LONGEST_NOTE))
    return {"incident": row(record)}


def snapshot(asked: Question) -> dict[str, Any]:
    """Have the recorder keep what the machine ran in the last minute, and name the incident."""
    asked.budget.spend()
    view = snapshots.take_snapshot(asked.workspace, snapshots.SnapshotWish())
    return {"incident": view.correlation_id}
