"""The verdict of a stored incident. Pure."""

from __future__ import annotations

from monitord.export.context import only_waited
from monitord.export.units import quantity, span, unit_of
from monitord.model import SNAPSHOT, WHOLE_MACHINE, in_words
from monitord.profiles.verdict import VerdictFacts, verdict
from monitord.redaction.naming import display_name
from monitord.storage.views import IncidentView

_PENDING = {
    "running": "its profile is being taken",
    "waiting": "its profile waits for its turn",
}


def verdict_of(view: IncidentView, pending: str | None = None) -> str:
    """Return the incident's sentence; `pending` says whether a profile is "running" or "waiting"."""
    leading = view.record
    return verdict(
        VerdictFacts(
            who=_who(view),
            metric=view.metric,
            happened=happened(view),
            cause=view.cause,
            hotspots=view.hotspots,
            seconds=leading.duration_seconds,
            sample_count=leading.sample_count,
            is_late=view.late,
            of_page_faults=leading.profiler == "perf-faults",
            only_waited=only_waited(view),
            why_unknown=_PENDING.get(pending or "") or _why_unknown(view),
        )
    )


def _who(view: IncidentView) -> str:
    if view.process_name in ("", WHOLE_MACHINE):
        return ""
    return display_name(view.process_name, view.record.command_line)


def happened(view: IncidentView) -> str:
    """What was measured, in words: "cpu 97 %"."""
    value = quantity(view.value, value_unit(view))
    if view.rule == SNAPSHOT:
        return f"snapshot of {span(view.window_s)}, {value} of one core"
    return f"{in_words(view.metric)} {value}"


def value_unit(view: IncidentView) -> str:
    """Return the unit of the incident's value: its threshold's, or what the metric is counted in."""
    return view.threshold.unit if view.threshold else unit_of(view.metric, view.value)


def _why_unknown(view: IncidentView) -> str:
    """The first reason that was written down; a context record tells of no function."""
    reasons = [view.suppressed_by, *(step.reason for step in view.not_captured)]
    if found := next(filter(None, reasons), None):
        return found
    if view.is_summary:
        return "its evidence is gone with age"
    if any(one.status.has_evidence and one.role != "context" for one in view.captures):
        return "what was captured names none"
    return "no profile was taken"
