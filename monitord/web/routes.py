"""The two tables of the page: what has an address, and what is answered as JSON.

To add a page: a module in `static/pages/`, one line in PAGES. To add an answer: a function of a Question in
`answers/`, one line in API.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
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


class Turn(Enum):
    """How many of a sort are answered at once."""

    QUICK = 4
    LONG = 1  # what takes seconds, and memory
    RECORDER = 2  # what waits for the recorder, which may rest, or hang


@dataclass(frozen=True, slots=True)
class Get:
    """A question: reads, and changes nothing. It waits for others of its turn alone."""

    path: str
    answer: Callable[[Question], Any]
    turn: Turn = Turn.QUICK


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
    Get("/api/timeline/stacks", timeline.stacks_of, Turn.RECORDER),
    Get("/api/timeline/now", timeline.seconds),
    Get("/api/functions", functions.listed),
    Get("/api/rules", rules.board),
    Get("/api/rules/trial", rules.trial),
    Get("/api/recorder", recorder.overview),
    Get("/api/fleet/hosts", fleet.hosts, Turn.LONG),
    Get("/api/fleet/recent", fleet.recent, Turn.LONG),
    Get("/api/fleet/hot", fleet.hot, Turn.LONG),
    Get("/api/fleet/same", fleet.same, Turn.LONG),
    Post("/api/rules", rules.save, "save rules"),
    Post("/api/snapshots", acting.snapshot, "snapshot"),
    Post("/api/incidents/{id}/pin", acting.pin, "pin"),
    Post("/api/incidents/{id}/note", acting.note, "note"),
    Post("/api/incidents/{id}/capture-again", acting.capture_again, "capture again"),
)
