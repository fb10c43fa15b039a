"""The pages of incidents: the list, one of them, its profile, and two beside each other."""

from __future__ import annotations

from itertools import islice
from typing import Any

from monitord.actions import comparing, exporting, incidents, lists
from monitord.actions.similar import similar, similar_row
from monitord.actions.summary import summary as short_summary
from monitord.actions.workspace import Workspace
from monitord.export.evidence import Evidence
from monitord.export.explaining import sentence_row
from monitord.export.shapes import detail, row
from monitord.export.units import unit_of
from monitord.export.verdicts import value_unit
from monitord.model import ProfileRecord, TriggerMetric
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import RecentFilter
from monitord.web.question import Download, Question, Text

BASELINE = "baseline"
_JSON = "application/json"
_WORDS = ("process", "rule", "user", "unit", "function", "cause", "text")
_FILTERS = ("since", "until", *_WORDS, "metric", "pinned")
_ALIKE = 20
_MOST_ROWS = 500
_MOST_AT_ONCE = 10_000
_FORMS = {
    "speedscope": ("application/json", "speedscope.json"),
    "folded": ("text/plain", "folded"),
    "pprof": ("application/octet-stream", "pprof"),
}
_REPORTS = {"html": ("text/html", "report.html"), "markdown": ("text/markdown", "report.md")}


def listed(asked: Question) -> dict[str, Any]:
    """List incidents, newest first; with `after` only those stored since that row, to be put before them.

    A further page is asked for with `until`, and `offset` for those of that moment alone: reading past all
    that was shown would take longer with each page. `notes`: that nobody knows the rule which was asked for.
    """
    asked.only(*_FILTERS, "limit", "offset", "after")
    limit = asked.number("limit", 50, low=1, high=_MOST_ROWS)
    offset = asked.number("offset", 0, low=0, high=_MOST_AT_ONCE)
    after = asked.number("after", -1, low=0, high=1 << 62)
    since, until = asked.period()
    words: dict[str, Any] = {name: asked.text(name) for name in _WORDS}
    wanted = RecentFilter(
        limit=offset + limit + 1,
        since=since,
        until=until,
        metric=asked.choice("metric", TriggerMetric),
        pinned=asked.flag("pinned"),
        after_id=after if after >= 0 else None,
        **words,
    )
    newest_id = lists.newest_id(asked.workspace)  # asked first: what comes in between is not lost
    found = list(islice(lists.recent(asked.workspace, wanted), offset, None))
    following = offset + limit if len(found) > limit else None
    unknown = lists.rule_not_known(asked.workspace, wanted.rule) if not found and after < 0 else None
    return {
        "rows": [_row(one) for one in found[:limit]],
        "next_offset": following,
        "newest_id": newest_id,
        "notes": [] if unknown is None else [str(unknown)],
    }


def _row(record: ProfileRecord) -> dict[str, Any]:
    return {
        **row(record),
        "short_id": short_id(record.correlation_id),
        "name": display_name(record.process_name, record.command_line),
        "unit": unit_of(record.trigger_metric, record.trigger_value),
        "rule": record.rule,
        "user": record.user,
    }


def one(asked: Question) -> dict[str, Any]:
    """Tell everything that is kept of an incident, but for what must be read from its evidence."""
    asked.only()
    view = incidents.incident(asked.workspace, asked.id)
    pending = incidents.pending_profile(asked.workspace, view)
    return {
        **detail(view, pending),
        "short_id": short_id(view.correlation_id),
        "name": display_name(view.process_name, view.record.command_line),
        "unit": value_unit(view),
        "pending": pending,
        "has_profile": any(one.artefact_key and one.status.has_evidence for one in view.captures),
    }


def steps(asked: Question) -> dict[str, Any]:
    """Tell the hottest function step by step before the alert, and who ran; read from the evidence."""
    asked.only()
    found = incidents.timeline(asked.workspace, incidents.incident(asked.workspace, asked.id))
    return {**found.as_json(), "trouble": found.trouble}


def explanation(asked: Question) -> dict[str, Any]:
    """Tell an incident in sentences, each made from what was recorded."""
    asked.only()
    told = incidents.explain(asked.workspace, asked.id)
    return {"sentences": [sentence_row(each) for each in told.sentences]}


def alike(asked: Question) -> dict[str, Any]:
    """Tell which incidents are like one, the most alike first, and how often it came this week."""
    asked.only()
    found = similar(asked.workspace, asked.id)
    rows = [
        similar_row(each) | {"name": display_name(each.span.process_name, each.span.command_line)}
        for each in found.found[:_ALIKE]
    ]
    return {"rows": rows, "more": len(found.found) - len(rows), "again": found.in_words("It")}


def flame_graph(asked: Question) -> Text:
    """Give the tree that the flame graph is drawn from; with `before` one tree of both."""
    asked.only("before")
    before = asked.text("before")
    if before is None:
        return Text(exporting.graph_of(comparing.evidence(asked.workspace, asked.id)), _JSON)
    return Text(exporting.graph_of_both(*_sides(asked.workspace, before, asked.id)), _JSON)


def profile(asked: Question) -> Download:
    """Give the profile as a file, redacted as exports are; or `raw`, for the viewer in the page."""
    asked.only("form", "raw")
    form = asked.one_of("form", _FORMS, "speedscope")
    found = comparing.evidence(asked.workspace, asked.id)
    written = exporting.profile_in_form(found, form, raw=asked.flag("raw") or False)
    media_type, ending = _FORMS[form]
    return Download(written.content, media_type, f"{short_id(found.view.correlation_id)}.{ending}")


def summary(asked: Question) -> Text:
    """Give an incident in a few lines to paste, redacted as exports are."""
    asked.only()
    return Text(short_summary(asked.workspace, asked.id).as_markdown(), "text/markdown")


def report(asked: Question) -> Download:
    """Give everything that is known of an incident as one page, redacted."""
    asked.only("form")
    form = asked.one_of("form", _REPORTS, "html")
    name = short_id(incidents.find(asked.workspace, asked.id).correlation_id)
    media_type, ending = _REPORTS[form]
    return Download(exporting.report(asked.workspace, name, form).content, media_type, f"{name}.{ending}")


def place(asked: Question) -> dict[str, Any]:
    """Say where an incident's evidence lies."""
    asked.only()
    return {"place": incidents.place_of_evidence(asked.workspace, asked.id)}


def comparison(asked: Question) -> dict[str, Any]:
    """Compare two profiles, `other` being the earlier one, or the word `baseline`."""
    asked.only()
    before, after = _sides(asked.workspace, asked.path["other"], asked.id)
    found = comparing.compare(before.comparable, after.comparable)
    return {
        "before": {"correlation_id": before.view.correlation_id, "title": before.title},
        "after": {"correlation_id": after.view.correlation_id, "title": after.title},
        "moved": found.moved,
        "edited": found.edited,
        "remarks": found.found["notes"],
    }


def _sides(workspace: Workspace, before: str, after: str) -> tuple[Evidence, Evidence]:
    if before == BASELINE:
        return comparing.both_sides(workspace, after, None, baseline=True)
    return comparing.both_sides(workspace, before, after)
