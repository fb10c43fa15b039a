"""Which incidents went on at a moment, and the hottest functions of their evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitord.redaction import redact_name
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentSpan

FUNCTIONS_EACH = 3


@dataclass(frozen=True, slots=True)
class MomentIncident:
    """An incident that went on at a moment: from the first crossing to the end of its leading evidence."""

    id: str
    correlation_id: str
    rule: str
    metric: str
    pid: int | None
    process_name: str
    reason: str
    cause: str | None
    crossed_at: datetime
    raised_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class MomentFunction:
    """A hot function in an incident's evidence; shares are of its samples, 0 to 1."""

    pid: int | None
    process_name: str
    function: str
    file: str | None
    line: int | None
    self_share: float
    total_share: float
    incident: str
    profiler: str | None


def going_on(spans: Iterable[IncidentSpan], since: datetime, until: datetime) -> list[IncidentSpan]:
    """Return those that went on in [since, until]."""
    return [span for span in spans if span.crossed_at <= until and span.ends_at >= since]


def incident_of(span: IncidentSpan) -> MomentIncident:
    """Return an incident as a moment tells it."""
    return MomentIncident(
        id=short_id(span.correlation_id),
        correlation_id=span.correlation_id,
        rule=span.rule,
        metric=span.trigger_metric.value,
        pid=span.pid or None,
        process_name=_name(span),
        reason=span.reason,
        cause=span.cause.kind if span.cause else None,
        crossed_at=span.crossed_at,
        raised_at=span.raised_at,
        ends_at=span.ends_at,
    )


def functions_of(span: IncidentSpan) -> Sequence[MomentFunction]:
    """Return the hottest functions of its evidence."""
    return [
        MomentFunction(
            pid=span.pid or None,
            process_name=_name(span),
            function=spot.function,
            file=spot.file,
            line=spot.line,
            self_share=spot.self_share,
            total_share=spot.total_share,
            incident=short_id(span.correlation_id),
            profiler=span.profiler,
        )
        for spot in span.hotspots[:FUNCTIONS_EACH]
    ]


def _name(span: IncidentSpan) -> str:
    return redact_name(display_name(span.process_name, span.command_line))
