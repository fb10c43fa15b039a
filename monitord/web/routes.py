"""The two tables of the page: what has an address, and what is answered as JSON.

To add a page: a module in `static/pages/`, one line in PAGES. To add an answer: a function of a Question in
`answers/`, one line in API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monitord.actions.workspace import Workspace
from monitord.web.answers import acting, fleet, functions, incidents, recorder, rules, session, timeline
from monitord.web.question import Question


@dataclass(frozen=True, slots=True)
class Page:
    """An address that people open: the shell, in which `module` of `static/pages/` draws.

    `word` is its name in the navigation; None, or with a workspace where it is not offered: it is not there.
    """

    path: str
    module: str
    word: str | None = None
    is_offered: Callable[[Workspace], bool] = lambda _workspace: True


@dataclass(frozen=True, slots=True)
class Get:
    """A question: reads, and changes nothing. One that `takes_long` waits for others of that sort alone."""

    path: str
    answer: Callable[[Question], Any]
    takes_long: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """Something that is done: with --allow-actions alone, and written down as `action` before it is done."""

    path: str
    answer: Callable[[Question], Any]
    action: str


PAGES: Sequence[Page] = (
    Page("/", "recent", "Incidents"),
    Page("/incidents/{id}", "incident"),
    Page("/incidents/{id}/compare/{other}", "compare"),
    Page("/timeline", "timeline", "Timeline"),
    Page("/functions", "functions", "Functions"),
    Page("/rules", "rules", "Rules"),
    Page("/recorder", "recorder", "Recorder"),
    Page("/fleet", "fleet", "Fleet", is_offered=lambda workspace: workspace.has_fleet),
)

API: Sequence[Get | Post] = (
    Get("/api/about", session.about),
    Get("/api/incidents", incidents.listed),
    Get("/api/incidents/{id}", incidents.one),
    Get("/api/incidents/{id}/timeline", incidents.steps),
    Get("/api/incidents/{id}/explanation", incidents.explanation),
    Get("/api/incidents/{id}/flamegraph", incidents.flame_graph),
    Get("/api/incidents/{id}/profile", incidents.profile),
    Get("/api/incidents/{id}/similar", incidents.alike),
    Get("/api/incidents/{id}/summary", incidents.summary),
    Get("/api/incidents/{id}/report", incidents.report),
    Get("/api/incidents/{id}/place", incidents.place),
    Get("/api/incidents/{id}/compare/{other}", incidents.comparison),
    Get("/api/timeline", timeline.course),
    Get("/api/timeline/span", timeline.span),
    Get("/api/timeline/stacks", timeline.stacks_of),
    Get("/api/timeline/now", timeline.seconds),
    Get("/api/functions", functions.listed),
    Get("/api/rules", rules.board),
    Get("/api/rules/trial", rules.trial),
    Get("/api/recorder", recorder.overview),
    Get("/api/fleet/hosts", fleet.hosts, takes_long=True),
    Get("/api/fleet/recent", fleet.recent, takes_long=True),
    Get("/api/fleet/hot", fleet.hot, takes_long=True),
    Get("/api/fleet/same", fleet.same, takes_long=True),
    Post("/api/rules", rules.save, "save rules"),
    Post("/api/snapshots", acting.snapshot, "snapshot"),
    Post("/api/incidents/{id}/pin", acting.pin, "pin"),
    Post("/api/incidents/{id}/note", acting.note, "note"),
    Post("/api/incidents/{id}/capture-again", acting.capture_again, "capture again"),
)
