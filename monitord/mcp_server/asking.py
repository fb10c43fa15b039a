"""The read-only tools: each a function of the sources and checked words; the command line's own queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from monitord.errors import UsageError
from monitord.export.encoding import iso
from monitord.export.event_search import EventSearch
from monitord.export.evidence import Comparable, compared, evidence_of, write_form
from monitord.export.explaining import explain_incident as sentences_about
from monitord.export.explaining import sentence_row
from monitord.export.shapes import detail, event_row, hot_row, row
from monitord.export.surroundings import surroundings_of
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
from monitord.mcp_server.sources import Sources
from monitord.model import EventType, ProfileRecord, TriggerMetric
from monitord.storage.events import EventFilter, cursor_after
from monitord.storage.views import HotFilter, RecentFilter

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
_PERIOD_LIMIT = timedelta(days=31)
_DEEPEST = 10_000


class Asking:
    """The tools that change nothing."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.unsaved: Callable[[str], Held | None] = lambda _id: None  # profiles that only memory has

    def recent_anomalies(
        self,
        limit: Limit = 20,
        since: When = None,
        until: When = None,
        process: Word = None,
        pid: Pid = None,
        metric: TriggerMetric | None = None,
        cursor: Cursor = None,
    ) -> Rows:
        """List recent incidents, newest first: which process, what was wrong, what evidence there is."""
        start, end = self._sources.parse_period(since, until)
        skipped = _offset(cursor)
        wanted = RecentFilter(
            limit=skipped + limit + 1, since=start, until=end, process=process, pid=pid, metric=metric
        )
        with self._sources.open_reader() as reader:
            found = reader.recent(wanted)[skipped:]
        rows, is_cut = self._sources.fence.rows([_listed(record) for record in found[:limit]])
        more = len(found) > len(rows)
        return Rows(
            rows=rows, next_cursor=f"o{skipped + len(rows)}" if more and rows else None, is_cut=is_cut
        )

    def get_incident(self, id: Id) -> IncidentAnswer:  # noqa: A002  the argument's name in the protocol
        """Give all of one incident: why it fired, what stood before it, captures, hottest functions."""
        with self._sources.open_reader() as reader:
            shaped = detail(reader.incident(reader.find(id).correlation_id))
        step = -(-len(shaped["history"]) // _HISTORY_POINTS) or 1
        shaped["history"] = shaped["history"][::-1][::step][::-1]
        shaped["hotspots"] = shaped["hotspots"][:_HOTSPOTS]
        for record in shaped["captures"]:
            record.pop("notes", None)
        held, is_cut = self._sources.fence.whole(shaped)
        return IncidentAnswer(incident=held, is_cut=is_cut)

    def resolve(self, id: str) -> str:  # noqa: A002  as above
        """The whole correlation id that a beginning stands for."""
        with self._sources.open_reader() as reader:
            return reader.find(id).correlation_id

    def explain_incident(self, id: Id) -> Explanation:  # noqa: A002  the argument's name in the protocol
        """Tell an incident in sentences, each made from recorded facts; what is not known is said, too."""
        with self._sources.open_reader() as reader:
            view = reader.incident(reader.find(id).correlation_id)
            sentences = sentences_about(view, surroundings_of(reader, view))
        said, is_cut = self._sources.fence.rows([sentence_row(each) for each in sentences])
        return Explanation(correlation_id=view.correlation_id, sentences=said, is_cut=is_cut)

    def what_happened(
        self,
        since: Annotated[str, Field(min_length=1, max_length=64, description=_TIME_WORDS)],
        until: When = None,
    ) -> Happenings:
        """Sum up a period: its incidents, counts of events, the machine's extremes, the busiest processes."""
        start, end = self._sources.parse_period(since, until)
        end = end or self._sources.now()
        if start is None or end - start > _PERIOD_LIMIT:
            raise UsageError(f"invalid period: expected at most {_PERIOD_LIMIT.days} days")
        with self._sources.open_reader() as reader:
            incidents = reader.recent(RecentFilter(limit=200, since=start, until=end))
            counts = reader.event_counts(start, end)
            machine, busiest = _summed(reader.history(start, end))
        rows, is_cut = self._sources.fence.rows([_listed(record) for record in incidents])
        return Happenings(
            since=iso(start),
            until=iso(end),
            incidents=rows,
            event_counts=counts,
            machine=machine,
            busiest=self._sources.fence.rows(busiest)[0],
            is_cut=is_cut,
        )

    def query_events(
        self,
        limit: Limit = 20,
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
        start, end = self._sources.parse_period(since, until)
        with self._sources.open_reader() as reader:
            wanted = EventFilter(
                limit=limit + 1,
                since=start,
                until=end,
                event_type=event_type,
                correlation_id=reader.find(incident).correlation_id if incident else None,
                pid=pid,
                module=module,
                function=function,
                arity=arity,
                ast_node_id=ast_node_id,
                after=cursor,
            )
            found = EventSearch(reader, wanted, process).newest()
        rows, is_cut = self._sources.fence.rows([event_row(event) for event in found[:limit]])
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
    ) -> Rows:
        """List the functions that took most time across captures: shares, how many incidents, when last."""
        start, end = self._sources.parse_period(since, until)
        wanted = HotFilter(
            function=function,
            module=module,
            node=ast_node_id,
            process=process,
            since=start,
            until=end,
            limit=limit,
        )
        with self._sources.open_reader() as reader:
            found = reader.hot(wanted)
        rows, is_cut = self._sources.fence.rows([hot_row(spot) for spot in found])
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
        with self._sources.open_reader() as reader:
            view = reader.incident(reader.find(id).correlation_id)
            evidence = evidence_of(view, reader.payload)
        folded = write_form(evidence, "folded", None).content.decode("utf-8", "replace")
        functions, _ = self._sources.fence.rows(detail(view)["hotspots"][:limit])
        stacks, is_cut = self._sources.fence.rows(_hottest_stacks(folded, min(limit, _STACKS)))
        return ProfileAnswer(
            profile_id=view.correlation_id,
            about=self._sources.fence.value({"title": evidence.title, **row(evidence.record)}),
            functions=functions,
            stacks=stacks,
            is_cut=is_cut,
        )

    def compare_profiles(self, before: Id, after: Id, limit: Limit = 20) -> Comparison:
        """Compare two profiles, kept or not: hotter, cooler, new, gone, code changed or same code, slower."""
        first, second = self._side(before), self._side(after)
        found = compared(first, second)
        moved = [
            one
            for one in found["differences"]
            if (not one["is_noise"] and one["verdict"] != "same") or one["code"] in ("changed", "renamed")
        ]
        rows, is_cut = self._sources.fence.rows(moved[:limit])
        return Comparison(
            before=first.name,
            after=second.name,
            differences=rows,
            notes=[self._sources.fence.text(note) for note in found.get("notes", ())],
            is_cut=is_cut or len(moved) > limit,
        )

    def _side(self, name: str) -> Comparable:
        """One side of a comparison: from this server's memory, else from the store."""
        held = self.unsaved(name)
        if held is not None:
            return held.comparable
        with self._sources.open_reader() as reader:
            view = reader.incident(reader.find(name).correlation_id)
            return evidence_of(view, reader.payload).comparable

    def rules_status(self, rule: Word = None) -> Rows:
        """How the recorder's rules stand: last values, distance to the threshold, what suppresses them."""
        told = self._sources.read_status() or {}
        standing = [each for each in told.get("rules") or () if rule in (None, each.get("rule"))]
        rows, is_cut = self._sources.fence.rows(standing)
        return Rows(rows=rows, is_cut=is_cut)

    def system_now(self) -> Now:
        """How the recorder is: whether it runs, its cost, the machine as last seen, what is degraded."""
        told = dict(self._sources.read_status() or {})
        for bulky in ("rules", "jobs", "config_paths", "data_dir"):
            told.pop(bulky, None)
        is_recording = bool(told.pop("is_running", False))
        return Now(is_recording=is_recording, status=self._sources.fence.whole(told)[0])


def _listed(record: ProfileRecord) -> dict[str, Any]:
    """A row of a list: without the reason, which `get_incident` tells, so that fifty fit an answer."""
    return {key: value for key, value in row(record).items() if key != "reason"}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    digits = cursor.removeprefix("o")
    if not cursor.startswith("o") or not digits.isdigit() or int(digits) > _DEEPEST:
        raise UsageError(f"invalid cursor {cursor!r}, expected a `next_cursor` of an answer")
    return int(digits)


def _summed(history: Any) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The machine's extremes over the thinned passes, and who used most CPU in them."""
    machine: dict[str, Any] | None = None
    seconds: Counter[tuple[int, str]] = Counter()
    for rates in history:
        system = rates.system
        if machine is None:
            machine = {"machine_percent_max": 0.0, "memory_available_bytes_min": None, "passes": 0}
        machine["passes"] += 1
        machine["machine_percent_max"] = max(machine["machine_percent_max"], system.machine_percent)
        lowest = machine["memory_available_bytes_min"]
        free = system.memory_available_bytes
        machine["memory_available_bytes_min"] = free if lowest is None else min(lowest, free)
        for process in rates.processes:
            seconds[(process.key.pid, process.name)] += (process.cpu_percent or 0.0) * rates.interval_s / 100
    busiest = [
        {"pid": pid, "process_name": name, "cpu_seconds": round(used, 1)}
        for (pid, name), used in seconds.most_common(10)
        if used > 0
    ]
    return machine, busiest


def _hottest_stacks(folded: str, limit: int) -> list[dict[str, Any]]:
    """The heaviest lines of a folded profile, leaf last."""
    weighed = []
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        if count.isdigit():
            weighed.append((int(count), stack.split(";")))
    total = sum(count for count, _stack in weighed) or 1
    weighed.sort(key=lambda pair: -pair[0])
    return [
        {"share": round(count / total, 4), "samples": count, "frames": stack[-30:]}
        for count, stack in weighed[:limit]
    ]
