"""What the page can have done; each one is written down before it is done."""

from __future__ import annotations

from typing import Any

from monitord.actions import incidents
from monitord.export.shapes import row
from monitord.web.question import Question

_LONGEST_NOTE = 2000


def pin(asked: Question) -> dict[str, Any]:
    """Keep an incident past its age, or (`undo`) let it go with age again."""
    record = incidents.pin(asked.workspace, asked.id, undo=asked.said_flag("undo"))
    return {"incident": row(record)}


def note(asked: Question) -> dict[str, Any]:
    """Leave a note on an incident."""
    record = incidents.add_note(asked.workspace, asked.id, asked.said("text", _LONGEST_NOTE))
    return {"incident": row(record)}
