"""What the context record and the profilers told, found among the notes of their captures. Pure."""

from __future__ import annotations

from monitord.model import CONTEXT_LABELS, ONLY_WAITED
from monitord.storage.views import IncidentView


def context_of(view: IncidentView) -> list[tuple[str, str]]:
    """Labels and texts, in the order in which they are shown; empty without a record, or of an older one."""
    taken = [record for record in view.captures if record.role == "context" and record.notes]
    notes = (taken[-1].notes or {}) if taken else {}
    return [(label, notes[label]) for label in CONTEXT_LABELS if notes.get(label)]


def waiting_of(view: IncidentView) -> str | None:
    """How many threads only waited, and where, in one sentence; None: nobody saw any that did."""
    told = ((record.notes or {}).get("waiting") for record in view.captures if record.status.has_evidence)
    return next(filter(None, told), None)


def is_told(view: IncidentView, waiting: str) -> bool:
    """Whether the hottest function says already where the one thread waits."""
    return only_waited(view) and waiting in (f"1 thread waits in {one.function}" for one in view.hotspots[:1])


def only_waited(view: IncidentView) -> bool:
    """Whether no thread ran in the leading evidence: its functions are where it waited."""
    return ONLY_WAITED in (view.record.notes or {})
