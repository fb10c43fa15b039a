"""Hot functions across incidents, each with its history."""

from __future__ import annotations

from typing import Any

from monitord.actions import functions
from monitord.storage.views import HotFilter
from monitord.web.question import Question


def listed(asked: Question) -> dict[str, Any]:
    """List the hottest first."""
    asked.only("since", "until", "process", "function", "module", "limit")
    since, until = asked.period()
    wanted = HotFilter(
        function=asked.text("function"),
        module=asked.text("module"),
        process=asked.text("process"),
        since=since,
        until=until,
        limit=asked.number("limit", 40, low=1, high=functions.MOST_FUNCTIONS),
    )
    return {"functions": [one.as_json() for one in functions.hot_functions(asked.workspace, wanted)]}
