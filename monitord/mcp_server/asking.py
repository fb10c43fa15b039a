"""The read-only tools: each a function of the sources and checked words; the command line's own queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from monitord.actions import comparing, incidents, lists, recorder
from monitord.actions.budget import Budget
from monitord.actions.periods import sum_up
from monitord.actions.rules import as_told
from monitord.actions.similar import similar, similar_row
from monitord.actions.snapshots import SnapshotWish, take_snapshot
from monitord.actions.times import parse_period
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.evidence import Comparable
from monitord.export.explaining import sentence_row
from monitord.export.shapes import detail, event_row, hot_row, hotspot, row
from monitord.mcp_server.answers import (
    Comparison,
    Explanation,
    Happenings,
    IncidentAnswer,
    Now,
    ProfileAnswer,
    Rows,
)
from monitord.mcp_server.cache import Held
from monitord.mcp_server.output_filter import Fence
from monitord.model import EventType, ProfileRecord, TriggerMetric
from monitord.storage.events import EventFilter, cursor_after
from monitord.storage.views import HotFilter, RecentFilter

ManyRows = Annotated[int, Field(ge=1, le=100, description="At most so many rows.")]
Limit = Annotated[int, Field(ge=1, le=50, description="At most so many rows.")]
_TIME_WORDS = '"2h", "3am", "yesterday 03:00", "2026-11-25T03:00:00Z"; local time without a zone.'
When = Annotated[str | None, Field(max_length=64, description=_TIME_WORDS)]
Word = Annotated[str | None, Field(min_length=1, max_length=200)]
_ID_WORDS = "An incident's id, the beginning of one, or its row's number."
Id = Annotated[
    str,
    BeforeValidator(lambda given: str(given) if type(given) is int else given),  # rows have numbers
    Field(pattern=r"^[a-z0-9]{1,32}$"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": "^[a-z0-9]{1,32}$"}, {"type": "integer", "minimum": 1}],
            "description": _ID_WORDS,
        }
    ),
]
Cursor = Annotated[str | None, Field(pattern=r"^[a-z0-9]{1,40}$", description="From `next_cursor`.")]
Pid = Annotated[int | None, Field(ge=1, le=2**31)]

_HISTORY_POINTS = 60
_HOTSPOTS = 10
_STACKS = 20
_DEEPEST = 10_000


class Asking:
    """The tools that change nothing that others see: a snapshot only adds an incident."""

    def __init__(self, workspace: Workspace, fence: Fence) -> None:
        self._workspace = workspace
        self._fence = fence
        self._snapshots = Budget()
        self.unsaved: Callable[[str], Held | None] = lambda _id: None  # profiles that only memory has

    def recent_anomalies(
        self,
        limit: Limit = 20,
        since: When = None,
        until: When = None,
        process: Word = None,
        pid: Pid = None,
        metric: TriggerMetric | None = None,
        rule: Word = None,
        user: Word = None,
        unit: Word = None,
        function: Word = None,
        cause: Word = None,
        pinned: bool | None = None,
        cursor: Cursor = None,
    ) -> Rows:
        """List recent incidents, newest first: which process, what was wrong, what evidence there is."""
        start, end = parse_period(since, until, datetime.now(UTC))
        skipped = _offset(cursor)
        wanted = RecentFilter(
            limit=skipped + limit + 1, since=start, until=end, process=process, pid=pid, metric=metric,
            rule=rule, user=user, unit=unit, function=function, cause=cause, pinned=pinned,
        )  # fmt: skip
        found = list(lists.or_refused(self._workspace, rule, lists.recent(self._workspace, wanted)))[skipped:]
        rows, is_cut = self._fence.rows([_listed(record) for record in found[:limit]])
        more = len(found) > len(rows)
        return Rows(
            rows=rows, next_cursor=f"o{skipped + len(rows)}" if more and rows else None, is_cut=is_cut
        )

    def get_incident(self, id: Id) -> IncidentAnswer:  # noqa: A002  the argument's name in the protocol
        """Give all of one incident: why it fired, what stood before it, captures, hottest functions."""
        view = incidents.incident(self._workspace, id)
        shaped = {**detail(view), **incidents.timeline(self._workspace, view).as_json()}
        step = -(-len(shaped["history"]) // _HISTORY_POINTS) or 1
        shaped["history"] = shaped["history"][::-1][::step][::-1]
        shaped["hotspots"] = shaped["hotspots"][:_HOTSPOTS]
        for record in shaped["captures"]:
            record.pop("notes", None)
        held, is_cut = self._fence.whole(shaped)
        return IncidentAnswer(incident=held, is_cut=is_cut)

    def take_snapshot(
        self,
        since_s: Annotated[float, Field(ge=1, le=100)] = 60.0,
        process: Annotated[str | None, Field(max_length=256, description='A pattern: "gcc*".')] = None,
        pid: Pid = None,
    ) -> IncidentAnswer:
        """Keep what ran in the last minute, also what is gone, as an incident; no process is stopped."""
        self._snapshots.spend()
        view = take_snapshot(self._workspace, SnapshotWish(since_s, pid, process))
        return self.get_incident(view.correlation_id)

    def resolve(self, id: str) -> str:  # noqa: A002  as above
        """The whole correlation id that a beginning stands for."""
        return incidents.find(self._workspace, id).correlation_id

    def explain_incident(self, id: Id) -> Explanation:  # noqa: A002  the argument's name in the protocol
        """Tell an incident in sentences, each made from recorded facts; what is not known is said, too."""
        told = incidents.explain(self._workspace, id)
        said, is_cut = self._fence.rows([sentence_row(each) for each in told.sentences])
        return Explanation(correlation_id=told.correlation_id, sentences=said, is_cut=is_cut)

    def what_happened(
        self,
        since: Annotated[str, Field(min_length=1, max_length=64, description=_TIME_WORDS)],
        until: When = None,
    ) -> Happenings:
        """Sum up a period: its incidents, counts of events, the machine's extremes, the busiest processes."""
        start, end = parse_period(since, until, datetime.now(UTC))
        period = sum_up(self._workspace, start, end or datetime.now(UTC))
        rows, is_cut = self._fence.rows([_listed(record) for record in period.incidents])
        return Happenings(
            since=iso(period.since),
            until=iso(period.until),
            incidents=rows,
            event_counts=dict(period.event_counts),
            machine=dict(period.machine) if period.machine else None,
            busiest=self._fence.rows(period.busiest)[0],
            is_cut=is_cut,
        )

    def query_events(
        self,
        limit: ManyRows = 20,
        since: When = None,
        until: When = None,
        event_type: EventType | None = None,
        incident: Id | None = None,
        process: Word = None,
        pid: Pid = None,
        module: Word = None,
        function: Word = None,
        arity: Annotated[int | None, Field(ge=0, le=255)] = None,
        ast_node_id: Annotated[str | None, Field(pattern=r"^[0-9a-f]{4,64}$")] = None,
        cursor: Cursor = None,
    ) -> Rows:
        """List events, newest first: samples, alerts, captures, hotspots, notes, jobs, storage trouble."""
        start, end = parse_period(since, until, datetime.now(UTC))
        wanted = EventFilter(
            limit=limit + 1,
            since=start,
            until=end,
            event_type=event_type,
            pid=pid,
            module=module,
            function=function,
            arity=arity,
            ast_node_id=ast_node_id,
            after=cursor,
        )
        found = list(lists.events(self._workspace, lists.EventQuestion(wanted, incident, process)))
        rows, is_cut = self._fence.rows([event_row(event) for event in found[:limit]])
        more = len(found) > len(rows) and rows
        following = cursor_after(int(rows[-1]["id"]), "desc") if more else None
        return Rows(rows=rows, next_cursor=following, is_cut=is_cut)

    def top_functions(
        self,
        limit: Limit = 20,
        since: When = "7d",
        until: When = None,
        process: Word = None,
        module: Word = None,
        function: Word = None,
        ast_node_id: Annotated[str | None, Field(pattern=r"^[0-9a-f]{4,64}$")] = None,
        rule: Word = None,
        user: Word = None,
        unit: Word = None,
        cause: Word = None,
        pinned: bool | None = None,
    ) -> Rows:
        """List the functions that took most time across captures: shares, how many incidents, when last."""
        start, end = parse_period(since, until, datetime.now(UTC))
        wanted = HotFilter(
            function=function,
            module=module,
            node=ast_node_id,
            process=process,
            since=start,
            until=end,
            limit=limit,
            incidents=lists.incidents_asked_for(rule, user, unit, cause, pinned=pinned),
        )
        found = lists.or_refused(self._workspace, rule, lists.hot(self._workspace, wanted))
        rows, is_cut = self._fence.rows([hot_row(spot) for spot in found])
        return Rows(rows=rows, is_cut=is_cut)

    def get_profile(
        self,
        id: Id,  # noqa: A002  the argument's name in the protocol
        limit: Limit = 20,
    ) -> ProfileAnswer:
        """Give an incident's profile: its hottest functions with file and source line, its hottest stacks."""
        held = self.unsaved(id)
        if held is not None:
            return held.answer
        found = comparing.evidence(self._workspace, id)
        functions, _ = self._fence.rows([hotspot(spot) for spot in found.view.hotspots[:limit]])
        stacks, is_cut = self._fence.rows(comparing.hottest_stacks(found, min(limit, _STACKS)))
        return ProfileAnswer(
            profile_id=found.view.correlation_id,
            about=self._fence.value({"title": found.title, **row(found.record)}),
            functions=functions,
            stacks=stacks,
            is_cut=is_cut,
        )

    def compare_profiles(self, before: Id, after: Id, limit: Limit = 20) -> Comparison:
        """Compare two profiles, kept or not: hotter, cooler, new, gone, code changed or same code, slower."""
        first, second = self._side(before), self._side(after)
        found = comparing.compare(first, second)
        moved = [*found.moved, *found.edited]
        rows, is_cut = self._fence.rows(moved[:limit])
        return Comparison(
            before=first.name,
            after=second.name,
            differences=rows,
            notes=[self._fence.text(note) for note in found.found["notes"]],
            is_cut=is_cut or len(moved) > limit,
        )

    def similar_incidents(
        self,
        id: Id,  # noqa: A002  the argument's name in the protocol
        limit: Limit = 20,
    ) -> Rows:
        """List incidents like one, the most alike first: which of statement, function, cause agree."""
        found = similar(self._workspace, id).found
        rows, is_cut = self._fence.rows([similar_row(each) for each in found[:limit]])
        return Rows(rows=rows, is_cut=is_cut or len(found) > limit)

    def _side(self, name: str) -> Comparable:
        """One side of a comparison: from this server's memory, else from the store."""
        held = self.unsaved(name)
        return held.comparable if held is not None else comparing.evidence(self._workspace, name).comparable

    def rules_status(self, rule: Word = None) -> Rows:
        """How the recorder's rules stand: last values, distance to the threshold, what suppresses them."""
        found = as_told(self._workspace, rule).findings
        rows, is_cut = self._fence.rows([finding.as_json() for finding in found])
        return Rows(rows=rows, is_cut=is_cut)

    def system_now(self) -> Now:
        """How the recorder is: whether it runs, its cost, the machine as last seen, what is degraded."""
        status = recorder.status(self._workspace)
        for bulky in ("rules", "jobs", "config_paths", "data_dir"):
            status.pop(bulky, None)
        is_recording = bool(status.pop("is_running", False))
        cache = self._workspace.cache_counts()
        return Now(
            is_recording=is_recording,
            status=self._fence.whole(status)[0],
            cache=asdict(cache) if cache is not None else None,
        )


def _listed(record: ProfileRecord) -> dict[str, Any]:
    """A row of a list, without the reason (`get_incident` tells it) and a number twice, so that fifty fit."""
    told = row(record)
    left_out = {"reason"} if told["times_this_week"] is None else {"reason", "times_this_week_at_least"}
    return {key: value for key, value in told.items() if key not in left_out}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    digits = cursor.removeprefix("o")
    if not cursor.startswith("o") or not digits.isdigit() or int(digits) > _DEEPEST:
        raise UsageError(f"invalid cursor {cursor!r}, expected a `next_cursor` of an answer")
    return int(digits)
