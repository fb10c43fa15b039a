"""The tools that ask many hosts: `monitord fleet` over the bucket that is configured and no other.

A question reads a bucket and may take seconds: one goes at a time, over a month; its answer is kept a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from monitord.actions import fleet
from monitord.actions.lately import Lately
from monitord.actions.times import parse_period
from monitord.actions.workspace import Workspace
from monitord.mcp_server.answers import Rows
from monitord.mcp_server.asking import Limit, When, Word
from monitord.mcp_server.output_filter import Fence
from monitord.model import TriggerMetric
from monitord.storage.views import HotFilter, RecentFilter

FLEET = ("fleet_hosts", "fleet_recent", "fleet_hot", "fleet_same")
Host = Annotated[
    str | None, Field(min_length=1, max_length=200, description='A host_id, or a pattern: "web*".')
]
_DAY, _WEEK = 1, 7


class FleetAsking:
    """The tools over a fleet. `trouble` of an answer says which files were passed over for it."""

    def __init__(self, workspace: Workspace, fence: Fence) -> None:
        self._workspace = workspace
        self._fence = fence
        self._lately = Lately()

    def fleet_hosts(
        self, limit: Limit = 20, since: When = None, until: When = None, host: Host = None
    ) -> Rows:
        """List hosts, most incidents first: when each was heard of, its load (usual: since yesterday)."""
        whom = _whom(limit, since, until, host, _DAY)
        return self._rows("hosts", whom, fleet.hosts)

    def fleet_recent(
        self,
        limit: Limit = 20,
        since: When = None,
        until: When = None,
        host: Host = None,
        process: Word = None,
        metric: TriggerMetric | None = None,
        rule: Word = None,
        user: Word = None,
        unit: Word = None,
        function: Word = None,
        cause: Word = None,
        pinned: bool | None = None,
        text: Word = None,
    ) -> Rows:
        """List incidents of all hosts, newest first (usual: 7d); `text`: part of a reason, name, command."""
        wanted = RecentFilter(
            process=process, metric=metric, rule=rule, user=user, unit=unit, function=function, cause=cause,
            pinned=pinned, text=text,
        )  # fmt: skip
        whom = _whom(limit, since, until, host, _WEEK)
        return self._rows(
            ("recent", wanted), whom, lambda workspace, asked: fleet.recent(workspace, asked, wanted)
        )

    def fleet_hot(
        self,
        limit: Limit = 20,
        since: When = None,
        until: When = None,
        host: Host = None,
        process: Word = None,
        function: Word = None,
        module: Word = None,
    ) -> Rows:
        """List the functions that took most time over all hosts, and on how many (usual: since yesterday)."""
        wanted = HotFilter(process=process, function=function, module=module)
        whom = _whom(limit, since, until, host, _DAY)
        return self._rows(("hot", wanted), whom, lambda workspace, asked: fleet.hot(workspace, asked, wanted))

    def fleet_same(
        self,
        limit: Limit = 20,
        since: When = None,
        until: When = None,
        host: Host = None,
        window_s: Annotated[float, Field(ge=1, le=86_400, description="How near to each other.")] = 300.0,
        hosts: Annotated[int, Field(ge=2, le=1_000_000, description="On so many hosts at least.")] = 2,
        process: Word = None,
        rule: Word = None,
    ) -> Rows:
        """List what came on several hosts at once: one rule and function (usual: since yesterday)."""
        words: dict[str, Any] = {
            "window_s": window_s, "hosts_at_least": hosts, "process": process, "rule": rule,
        }  # fmt: skip
        whom = _whom(limit, since, until, host, _DAY)
        key = ("same", *words.values())
        return self._rows(key, whom, lambda workspace, asked: fleet.same(workspace, asked, **words))

    def _rows(
        self, question: object, whom: _Whom, ask: Callable[[Workspace, fleet.Asked], fleet.Rows]
    ) -> Rows:
        """Answer once for the same words within a minute; one row more than asked for tells of others."""
        words, asked = whom
        rows, notes = self._lately.answer(
            (fleet.bucket_url(self._workspace), question, words),
            lambda: fleet.noted(self._workspace, lambda workspace: ask(workspace, asked)),
        )
        most = asked.limit - 1
        kept, is_cut = self._fence.rows(rows[:most])
        trouble = self._fence.text("; ".join(notes)) if notes else None
        return Rows(rows=kept, is_cut=is_cut or len(rows) > most, trouble=trouble)


_Whom = tuple[tuple[object, ...], fleet.Asked]


def _whom(limit: int, since: str | None, until: str | None, host: str | None, usual: int) -> _Whom:
    """Whom and when, and the words that said so: "2h" is another moment at each question."""
    start, end = fleet.bounded(*parse_period(since, until, datetime.now(UTC)), usual)
    return (limit, since, until, host), fleet.Asked(start, end, host, limit + 1)
