"""What the context record told, found among the notes of its capture. Pure."""

from __future__ import annotations

from monitord.model import CONTEXT_LABELS
from monitord.storage.views import IncidentView


def context_of(view: IncidentView) -> list[tuple[str, str]]:
    """Labels and texts, in the order in which they are shown; empty without a record, or of an older one."""
    taken = [record for record in view.captures if record.role == "context" and record.notes]
    notes = (taken[-1].notes or {}) if taken else {}
    return [(label, notes[label]) for label in CONTEXT_LABELS if notes.get(label)]
