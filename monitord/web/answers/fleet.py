"""The page of the fleet: the questions of `monitord fleet`, over the bucket that is configured and no other.

A question reads a bucket and may take seconds: one goes at a time, over a month; its answer is kept a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitord.actions import fleet
from monitord.actions.workspace import Workspace
from monitord.export.units import unit_of
from monitord.model import TriggerMetric
from monitord.redaction.naming import display_name
from monitord.storage.ids import short_id
from monitord.storage.views import HotFilter, RecentFilter
from monitord.web.question import Question

_USUAL_DAYS = 1
_MOST_ROWS = 200
_MOST_HOSTS = 1_000_000
_SHARED = ("since", "until", "host", "limit")
_WORDS = ("process", "rule", "user", "unit", "function", "cause", "text")


def hosts(asked: Question) -> dict[str, Any]:
    """List the hosts, those with most incidents first."""
    asked.only(*_SHARED)
    whom = _whom(asked)
    return _answer(asked, "hosts", lambda workspace: fleet.hosts(workspace, whom))


def recent(asked: Question) -> dict[str, Any]:
    """List incidents of all hosts, newest first."""
    asked.only(*_SHARED, *_WORDS, "metric", "pinned")
    whom = _whom(asked)
    words: dict[str, Any] = {name: asked.text(name) for name in _WORDS}
    wanted = RecentFilter(
        metric=asked.choice("metric", TriggerMetric), pinned=asked.flag("pinned") or None, **words
    )
    said = _answer(asked, "recent", lambda workspace: fleet.recent(workspace, whom, wanted))
    return {**said, "rows": [_incident(row) for row in said["rows"]]}


def hot(asked: Question) -> dict[str, Any]:
    """List the functions that took most time over all hosts."""
    asked.only(*_SHARED, "process", "function", "module")
    whom = _whom(asked)
    words = {name: asked.text(name) for name in ("process", "function", "module")}
    return _answer(asked, "hot", lambda workspace: fleet.hot(workspace, whom, HotFilter(**words)))  # type: ignore[arg-type]  # one each


def same(asked: Question) -> dict[str, Any]:
    """List incidents of one kind that came on several hosts within `window_s` seconds."""
    asked.only(*_SHARED, "process", "rule", "window_s", "hosts")
    whom = _whom(asked)
    words: dict[str, Any] = {
        "window_s": float(asked.number("window_s", 300, low=1, high=86_400)),
        "hosts_at_least": asked.number("hosts", 2, low=2, high=_MOST_HOSTS),
        "process": asked.text("process"),
        "rule": asked.text("rule"),
    }
    return _answer(asked, "same", lambda workspace: fleet.same(workspace, whom, **words))


def _whom(asked: Question) -> fleet.Asked:
    since, until = fleet.bounded(*asked.period(), _USUAL_DAYS)
    limit = asked.number("limit", 100, low=1, high=_MOST_ROWS)
    return fleet.Asked(since, until, asked.text("host"), limit)


def _answer(asked: Question, name: str, ask: Callable[[Workspace], fleet.Rows]) -> dict[str, Any]:
    """Rows, and notes of what was passed over; `is_configured` is false where there is nothing to ask."""
    url = fleet.bucket_url(asked.workspace)
    if not url:
        return {"is_configured": False, "rows": [], "notes": []}

    key = (url, name, tuple(sorted(asked.query.items())))
    rows, notes = asked.lately.answer(key, lambda: fleet.noted(asked.workspace, ask))
    return {"is_configured": True, "rows": rows, "notes": notes}


def _incident(row: dict[str, Any]) -> dict[str, Any]:
    try:
        unit = unit_of(TriggerMetric(row["trigger_metric"]), row["trigger_value"])
    except (ValueError, TypeError):  # of a later version, or of nobody's
        unit = None
    name = display_name(row["process_name"] or "", ())
    return {**row, "trigger_unit": unit, "short_id": short_id(row["correlation_id"] or ""), "name": name}
