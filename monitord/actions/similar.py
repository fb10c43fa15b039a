"""Incidents like one: which, by what, and how often this week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.export.encoding import iso
from monitord.export.recurrence import time_this_week
from monitord.storage.similar import SimilarIncident, incident_with_times, similar_to
from monitord.storage.views import IncidentView


@dataclass(frozen=True, slots=True)
class Likeness:
    """An incident, and those that are like it."""

    view: IncidentView
    found: Sequence[SimilarIncident]

    def in_words(self, what: str) -> str:
        """Say that `what` "was the third time this week"; "" where it was the first, or it is not known."""
        record = self.view.record
        words = time_this_week(record.times_this_week, record.times_this_week_at_least)
        verb = "came" if record.times_this_week is None else "was the"
        return f"{what} {verb} {words}" if words else ""


def similar(workspace: Workspace, name: str) -> Likeness:
    """Return the incidents that are like one; raises NotFoundError, UsageError as for `show`."""
    with workspace.past() as reader:
        view = incident_with_times(reader, reader.find(name).correlation_id)
        return Likeness(view, similar_to(reader, view))


def similar_row(one: SimilarIncident) -> dict[str, Any]:
    """Shape one of them, with the keys of docs/output.md."""
    span = one.span
    return {
        "correlation_id": span.correlation_id,
        "raised_at": iso(span.raised_at),
        "process_name": span.process_name,
        "pid": span.pid or None,
        "trigger_metric": span.trigger_metric.value,
        "rule": span.rule,
        "cause": span.cause.kind if span.cause else None,
        "hottest_function": span.hotspots[0].function if span.hotspots else None,
        "agrees": list(one.agreed),
    }
