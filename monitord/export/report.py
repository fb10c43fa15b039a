"""Everything that is known of one incident, for somebody who was not there: one document, fit to leave.

`document_of` puts it together, `cleaned` takes secrets and identities out; `sections.py` says what is told in
which order, `report_html.py` and `report_markdown.py` write it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from monitord import __version__
from monitord.export.bundle import learn_incident
from monitord.export.cleaning import Cleaner, Identities
from monitord.export.explaining import Sentence, cause_words, sentence_row
from monitord.export.series import points_of_one_clock, series_of
from monitord.export.shapes import detail
from monitord.export.units import quantity, span
from monitord.export.verdicts import happened
from monitord.model import TriggerMetric
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import IncidentView

FORMAT = "monitord-report/1"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Material:
    """What a report is made of. `steps` and `processes` have the keys of docs/output.md (`timeline`,
    `processes`), `checks` those of doctor (`name outcome detail fix`); `trouble` says what could not be read.
    """

    view: IncidentView
    made_at: datetime
    sentences: Sequence[Sentence] = ()
    steps: Rows = ()
    processes: Rows = ()
    checks: Rows = ()
    versions: Mapping[str, str] | None = None
    trouble: Sequence[str] = ()


def document_of(material: Material) -> dict[str, Any]:
    """Return it all as plain data; nothing is hidden in it yet."""
    view = material.view
    incident = detail(view)
    points = points_of_one_clock(view.history)
    lasted_s = (points[-1].taken_at - points[0].taken_at).total_seconds() if points else 0.0
    return {
        "format": FORMAT,
        "monitord": __version__,
        "made_at": f"{material.made_at:%Y-%m-%d %H:%M:%S} UTC",
        "redacted": False,
        "name": short_id(view.correlation_id),
        "verdict": incident["verdict"],
        "headline": headline(view),
        "when": f"{view.raised_at:%Y-%m-%d %H:%M:%S} UTC",
        "why": why(view),
        "cause": cause_words(view.cause) if view.cause else None,
        "incident": incident,
        "series": [asdict(one) for one in series_of(points, view.metric)],
        "series_s": lasted_s,
        "crossed": sum(point.taken_at < view.crossed_at for point in points),
        "sentences": [sentence_row(one) for one in material.sentences],
        "timeline": list(material.steps),
        "processes": list(material.processes),
        "doctor": list(material.checks),
        "versions": dict(material.versions or {}),
        "trouble": list(material.trouble),
    }


def cleaned(
    document: Mapping[str, Any], view: IncidentView, identities: Identities
) -> tuple[dict[str, Any], Cleaner]:
    """Return the document fit to leave, and the Cleaner that knows what was hidden in it."""
    cleaner = Cleaner(identities)
    learn_incident(cleaner, view)
    cleaner.learn(document)
    return cleaned_again(document, cleaner), cleaner


def cleaned_again(
    document: Mapping[str, Any], cleaner: Cleaner, others: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return the document without what the cleaner has come to know; `others` were hidden beside it."""
    texts = {key: value for key, value in document.items() if key != "hidden"}
    safe = dict(cleaner.clean(texts))
    hidden = Counter({**cleaner.hidden, "second_scan": cleaner.replaced})
    hidden.update(others or {})
    return {**safe, "redacted": True, "hidden": dict(sorted((+hidden).items()))}


def headline(view: IncidentView) -> str:
    """Say whom it is about and what was measured: "python3 shop.py (pid 7), cpu 97 %"."""
    who = display_name(view.process_name, view.record.command_line) or "the machine"
    pid = f" (pid {view.record.pid})" if view.record.pid else ""
    return f"{who}{pid}, {happened(view)}"


def why(view: IncidentView) -> str:
    """Say which rule fired, with its limit and window; or who asked."""
    if view.metric is TriggerMetric.MANUAL:
        return view.reason
    limit = f", {quantity(view.threshold.value, view.threshold.unit)}" if view.threshold else ""
    return f"rule {view.rule}{limit} for {span(view.window_s)}: {view.reason}"
