"""What the store holds, as families: gauges of what is there now, and the counters of the recorder.

Retention takes incidents away, so what is stored is a level and never a count since ever
(docs/decisions/0058). A counter of a rule carries its newest incident as exemplar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monitord.metrics.families import Exemplar, Family, Point, gauge, is_number, labelled, table
from monitord.storage.views import StoredTallies


def stored_families(found: StoredTallies | None, report: Mapping[str, Any]) -> Iterator[Family]:
    """Yield what is stored; `found` is None where the store can't be read. `report` counted by rule."""
    yield gauge("monitord_store_readable", "Whether the store answers.", float(found is not None))
    yield from _since_start(found, report)
    if found is None:
        return
    incidents = [Point((one.rule, one.cause or "none"), float(one.count)) for one in found.incidents]
    name = "monitord_stored_incidents"
    yield labelled(name, "gauge", "Incidents that are stored now.", ["rule", "cause"], incidents)
    captures = [Point((one.profiler, one.status), float(one.count)) for one in found.captures]
    name = "monitord_stored_captures"
    yield labelled(name, "gauge", "Captures that are stored now.", ["profiler", "status"], captures)
    newest = {one.rule: one.raised_at.timestamp() for one in found.newest}
    last = [Point((rule,), at_s) for rule, at_s in newest.items()]
    name = "monitord_incident_last_time_seconds"
    yield labelled(name, "gauge", "When a rule made its newest stored incident.", ["rule"], last, max)


def _since_start(found: StoredTallies | None, report: Mapping[str, Any]) -> Iterator[Family]:
    """Count by rule since the recorder started. What the recorder does not tell is left out."""
    counts = table(table(report.get("counts")).get("by_rule")) if report.get("is_running") else {}
    newest = {one.rule: one for one in found.newest} if found else {}
    points = [
        Point((rule,), float(count), exemplar=_exemplar(newest, rule))
        for rule, count in counts.items()
        if is_number(count)
    ]
    if points:
        name = "monitord_incidents"
        yield labelled(name, "counter", "Incidents since the recorder started.", ["rule"], points)


def _exemplar(newest: Mapping[str, Any], rule: str) -> Exemplar | None:
    one = newest.get(rule)
    return Exemplar("incident_id", one.correlation_id, 1.0, one.raised_at) if one else None
