"""The machine at a moment of the past, from what is stored: totals, who led, incidents, hottest functions.

Every value is one that was read: where passes were thinned, the busiest of each step stands for it. A stretch
of which nothing is stored is said, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from monitord.actions.moment_incidents import (
    MomentFunction,
    MomentIncident,
    functions_of,
    going_on,
    incident_of,
)
from monitord.actions.unknown_stretches import UnknownStretch, longest_s, stretch_between
from monitord.actions.workspace import Workspace
from monitord.errors import UsageError
from monitord.model import ProcessRates, Rates
from monitord.redaction import redact_name
from monitord.storage.past import PastReader
from monitord.storage.views import IncidentSpan, NearHistory

MOST_STEPS = 10_000
_MOST_INCIDENTS = 5_000  # of a period
_INCIDENTS_SHOWN = 8
_INSTANT = timedelta(microseconds=1)
_FLUSHED_S = 150.0  # what was read in the last minute is not handed over yet, or is being saved
_NO_RATES: Mapping[str, Any] = {
    "cpu_percent": None, "disk_bytes_per_s": None, "network_bytes_per_s": None
}  # fmt: skip
_LEADERS_FROM_S = 40.0  # a pass that skipped the processes shows those of the last that did not


@dataclass(frozen=True, slots=True)
class MomentTotals:
    """The machine as it was read. None: not known, as a rate is after a gap.

    `disk_bytes_per_s` is of all disks, `network_bytes_per_s` of the busiest interface.
    """

    machine_percent: float | None
    cpu_count: int
    load_1: float
    memory_total_bytes: int
    memory_available_bytes: int
    swap_used_bytes: int
    process_count: int
    disk_bytes_per_s: float | None = None
    network_bytes_per_s: float | None = None
    unattributed_cpu_percent: float | None = None
    pressure_percent: Mapping[str, float] = field(default_factory=dict)

    @property
    def memory_used_bytes(self) -> int:
        """What is not available."""
        return max(0, self.memory_total_bytes - self.memory_available_bytes)


@dataclass(frozen=True, slots=True)
class Leader:
    """A process that stood out; `function` is its hottest, where the box or a capture knows it."""

    pid: int
    name: str
    cpu_percent: float | None
    rss_bytes: int | None = None
    disk_bytes_per_s: float | None = None
    network_bytes_per_s: float | None = None
    thread_count: int | None = None
    state: str | None = None
    unit: str | None = None
    function: str | None = None
    file: str | None = None
    share: float | None = None
    is_ended: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """The machine at `at`, as read at `taken_at`: None where nothing is known, and `unknown` says why.

    Where both are there, nothing is known of a part of the step.
    `leaders` are the busiest first, as read at `leaders_at`. `incidents` went on at that moment, `functions`
    are of their evidence. `notes` say what can't be seen.
    """

    at: datetime
    taken_at: datetime | None = None
    totals: MomentTotals | None = None
    leaders: Sequence[Leader] = ()
    leaders_at: datetime | None = None
    incidents: Sequence[MomentIncident] = ()
    functions: Sequence[MomentFunction] = ()
    unknown: UnknownStretch | None = None
    notes: Sequence[str] = ()


def moment(workspace: Workspace, at: datetime) -> Moment:
    """Return the machine as it was last read at or before `at`."""
    with workspace.past() as reader:
        return MomentReader(reader).at(at)


def moments(workspace: Workspace, since: datetime, until: datetime, step_s: float) -> Iterator[Moment]:
    """Return an iterator over the steps of [since, until): the busiest pass of each, or why there is none.

    Raises UsageError at once for a step of no length, and for more than 10,000 steps.
    """
    if not step_s > 0 or until <= since:
        raise UsageError(f"invalid step {step_s:g} s: expected one above 0, in a period that has a length")
    count = -(-(until - since).total_seconds() // step_s)
    if count > MOST_STEPS:
        raise UsageError(
            f"invalid period: {count:,.0f} steps, expected at most {MOST_STEPS:,}; try a longer step"
        )
    return _steps(workspace, since, until, step_s)


def _steps(workspace: Workspace, since: datetime, until: datetime, step_s: float) -> Iterator[Moment]:
    with workspace.past() as reader:
        yield from MomentReader(reader).steps(since, until, step_s)


class MomentReader:
    """Moments out of one store that stays open: for who goes from one to the next."""

    def __init__(self, reader: PastReader, now: datetime | None = None) -> None:
        self._reader = reader
        self._now = now

    def at(self, at: datetime) -> Moment:
        """Return the machine as it was last read at or before `at`."""
        near = self._reader.history_near(at)
        shown = self._told(near, at)
        since = shown.taken_at or at
        until = near.after.taken_at if near.after is not None and shown.taken_at else at
        return _with_incidents(
            shown, self._reader.incident_spans(since, until, _INCIDENTS_SHOWN), since, until
        )

    def _told(self, near: NearHistory, at: datetime) -> Moment:
        """The moment without its incidents."""
        unknown = self._unknown(near, at)
        if unknown is not None or near.before is None:
            return Moment(at, unknown=unknown)
        shown = moment_of(near.before, at, near.with_processes)
        if near.is_twice:
            note = "the clock was set back: this time is stored twice, and the later recording is shown"
            shown = replace(shown, notes=(*shown.notes, note))
        return shown

    def _unknown(self, near: NearHistory, at: datetime) -> UnknownStretch | None:
        if near.before is None:
            first = near.after.taken_at if near.after is not None else None
            reason = "history begins later" if first else "no history is stored"
            return UnknownStretch(None, first, reason)
        if near.before.taken_at == at:
            return None
        if near.after is not None:
            return stretch_between(near.before, near.after, near.step_s)
        now = self._now or datetime.now(UTC)
        if (min(at, now) - near.before.taken_at).total_seconds() <= longest_s(near.step_s, near.before):
            return None
        is_fresh = (now - near.before.taken_at).total_seconds() <= _FLUSHED_S
        reason = (
            "not stored yet: history is written once a minute" if is_fresh else "nobody recorded since then"
        )
        return UnknownStretch(near.before.taken_at, None, reason)

    def steps(self, since: datetime, until: datetime, step_s: float) -> Iterator[Moment]:
        """Yield a moment a step of [since, until): the busiest pass of each, or why there is none."""
        passes = _Ahead(self._reader, since, until)
        spans = self._reader.incident_spans(since, until, _MOST_INCIDENTS)
        for number in range(int(-(-(until - since).total_seconds() // step_s))):
            start = since + timedelta(seconds=number * step_s)
            end = min(until, start + timedelta(seconds=step_s))
            busiest, unknown = passes.busiest_before(end)
            if busiest is not None:
                shown = replace(moment_of(busiest, start, busiest), unknown=unknown)
            else:
                shown = self._told(passes.near, start)
            yield _with_incidents(shown, spans, start, end)


class _Ahead:
    """The passes of a period in their order, looked at one ahead; as few questions as a period has pages."""

    def __init__(self, reader: PastReader, since: datetime, until: datetime) -> None:
        self._reader, self._until = reader, until
        self._passes = iter(reader.passes(since, until))
        self.near = reader.history_near(since - _INSTANT)
        if self.near.after is not None and self.near.after.taken_at < until:
            self._go_on()

    def _go_on(self) -> None:
        found = next(self._passes, None)
        if found is not None:
            self.near = replace(self.near, after=found[0], step_s=found[1])
        else:  # what is behind the period says why its end is not known
            later = self._reader.history_near(self._until - _INSTANT).after
            self.near = replace(self.near, after=later)

    def busiest_before(self, end: datetime) -> tuple[Rates | None, UnknownStretch | None]:
        """The busiest pass up to there, and a stretch of which nothing is known, where there is one."""
        busiest, unknown = None, None
        while (rates := self.near.after) is not None and rates.taken_at < end:
            if self.near.before is not None:
                unknown = stretch_between(self.near.before, rates, self.near.step_s) or unknown
            if rates.gap is None and (busiest is None or _rank(rates) > _rank(busiest)):
                busiest = rates
            seen = rates if rates.processes else self.near.with_processes
            self.near = replace(self.near, before=rates, with_processes=seen)
            self._go_on()
        return busiest, unknown


def _rank(rates: Rates) -> tuple[bool, float]:
    return bool(rates.processes), rates.system.machine_percent


def moment_of(rates: Rates, at: datetime, with_processes: Rates | None) -> Moment:
    """Return what one pass knows; its processes may be those of an earlier one that looked at them.

    After a gap rates are averages over what nobody saw: they are not told.
    """
    looked = rates if rates.processes or with_processes is None else with_processes
    is_near = (rates.taken_at - looked.taken_at).total_seconds() <= _LEADERS_FROM_S
    found = [leader_of(each) for each in looked.processes] if is_near else []
    if looked.gap is not None:
        found = [replace(each, **_NO_RATES) for each in found]
    return Moment(
        at=at,
        taken_at=rates.taken_at,
        totals=totals_of(rates),
        leaders=tuple(sorted(found, key=lambda one: -(one.cpu_percent or 0.0))),
        leaders_at=looked.taken_at if found else None,
        notes=() if found else ("no process was looked at: none could break a rule",),
    )


def totals_of(rates: Rates) -> MomentTotals:
    """Return a pass's totals; after a gap its rates are not known."""
    system, is_known = rates.system, rates.gap is None
    disks, links = system.disk_bytes_per_s.values(), system.network_bytes_per_s.values()
    return MomentTotals(
        machine_percent=system.machine_percent if is_known else None,
        cpu_count=system.cpu_count,
        load_1=system.load_1,
        memory_total_bytes=system.memory_total_bytes,
        memory_available_bytes=system.memory_available_bytes,
        swap_used_bytes=system.swap_used_bytes,
        process_count=rates.process_count,
        disk_bytes_per_s=sum(disks) if is_known and disks else None,
        network_bytes_per_s=max(links, default=None) if is_known else None,
        unattributed_cpu_percent=system.unattributed_cpu_percent if is_known else None,
        pressure_percent=system.pressure_percent if is_known else {},
    )


def _with_incidents(shown: Moment, spans: Sequence[IncidentSpan], since: datetime, until: datetime) -> Moment:
    """What went on meanwhile, oldest first, and the functions that are known by it."""
    found = going_on(spans, since, until)[:_INCIDENTS_SHOWN][::-1]
    functions = tuple(one for span in found for one in functions_of(span))
    leaders = tuple(_with_function(one, functions) for one in shown.leaders)
    return replace(shown, incidents=tuple(map(incident_of, found)), functions=functions, leaders=leaders)


def _with_function(leader: Leader, functions: Sequence[MomentFunction]) -> Leader:
    hottest = next((one for one in functions if one.pid == leader.pid), None)
    if hottest is None:
        return leader
    return replace(leader, function=hottest.function, file=hottest.file, share=hottest.self_share)


def leader_of(process: ProcessRates) -> Leader:
    """Return a process as it was read; its name is cleared of secrets."""
    return Leader(
        pid=process.key.pid,
        name=redact_name(process.name),
        cpu_percent=process.cpu_percent,
        rss_bytes=process.rss_bytes,
        disk_bytes_per_s=process.disk_bytes_per_s,
        network_bytes_per_s=process.network_bytes_per_s,
        thread_count=process.thread_count,
        state=process.state,
        unit=process.unit,
    )
