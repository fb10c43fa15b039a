"""The timeline of the machine: its course, who ran in a span of it, and on which stacks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.actions import machine, machine_spans, stacks
from monitord.errors import UsageError
from monitord.web.question import Question

_USUAL = timedelta(hours=24)
_ORIGINS = ("stored", "now")


def course(asked: Question) -> dict[str, Any]:
    """Tell how the machine was, in as many points as fit on a screen; the last day if nothing is said."""
    asked.only("since", "until", "points")
    points = asked.number("points", 600, low=2, high=machine.MOST_POINTS)
    since, until = asked.period()
    until = until or datetime.now(UTC)
    return machine.course(asked.workspace, since or until - _USUAL, until, points).as_json()


def span(asked: Question) -> dict[str, Any]:
    """Tell who ran in a span, which functions are known of it, which incidents fell into it."""
    asked.only("since", "until")
    return machine_spans.span(asked.workspace, *_both_ends(asked)).as_json()


def stacks_of(asked: Question) -> dict[str, Any]:
    """Give the stacks of some seconds: of the recorder's black box, an incident's, or the page's own."""
    asked.only("since", "until", "incident", "origin")
    since, until = _both_ends(asked)
    if asked.one_of("origin", _ORIGINS, "stored") == "now":
        return asked.live.stacks(since, until).as_json()
    incident = asked.text("incident", 64)
    found = asked.live.recorders(since, until) if incident is None else None
    if found is None and stacks.is_too_long(since, until):  # of whose end the recorder could have told
        return {"is_too_long": True}
    if found is None:
        return stacks.stored_stacks(asked.workspace, since, until, incident).as_json()
    return replace(found, others=stacks.others_stored(asked.workspace, since, until)).as_json()


def seconds(asked: Question) -> dict[str, Any]:
    """Tell who used most in each of the last seconds, as the page's own black box sees it."""
    asked.only()
    return asked.live.seconds()


def _both_ends(asked: Question) -> tuple[datetime, datetime]:
    since, until = asked.period()
    if since is None or until is None:
        raise UsageError("invalid span: expected both since and until")
    return since, until
