"""RetentionManager: keeps the store within its promises. What goes, the policies of `plan` decide alone.

Here is what they can't know: whether the clock may be trusted, and what the disk says after each round; the
promise rests on that and not on an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from monitord.errors import StorageError
from monitord.jobs.clock_guard import (
    BOOTS_KEY,
    STATE_KEY,
    Boots,
    Moment,
    Uptime,
    judge_clock,
    read_boots,
    read_remembered,
    read_uptime,
    why_not_by_age,
)
from monitord.jobs.limits import PATIENCE, RetentionLimits
from monitord.jobs.plan import EVIDENCES, SUMMARIES, RetentionPlan, Round, Weights, share_by_age
from monitord.model import counted, sized
from monitord.storage.artefacts.lifecycle import Cut, Decision, Failure, StockView, carry_out
from monitord.storage.cells import MENDED_BY, SENSELESS
from monitord.storage.incident_stock import correlation_id_of, is_summary
from monitord.storage.views import Usage

_ROUNDS = PATIENCE + 4
_FUTILE_ROUNDS = 2  # rounds that took something and made the store no smaller: more would be in vain
_ALL_EVIDENCE, _ALL_SUMMARIES = (Cut(EVIDENCES),), (Cut(SUMMARIES),)


class RetentionStore(Protocol):
    """What retention needs of the store; storage's store has all of it. Deleting twice is not an error."""

    def incidents(
        self,
        usage: Usage,
        boots: Mapping[str, tuple[datetime, datetime]],
        now: datetime,
        stuck: Collection[str] = (),
        /,
    ) -> StockView: ...
    def mend_incidents(self) -> None: ...
    def incident_times(self) -> tuple[datetime, datetime] | None: ...
    def drop_evidence(self, correlation_ids: Sequence[str], /) -> int: ...
    def delete_incidents(self, correlation_ids: Sequence[str], /) -> int: ...
    def usage(self) -> Usage: ...
    def history_bytes(self) -> int: ...
    def drop_history_before(self, when: datetime, /) -> int: ...
    def history_from(self, keep_share: float, /) -> datetime | None: ...
    def shorten_history(self, keep_share: float, /) -> None: ...
    def prune_events(self, *, max_events: int | None, before: datetime | None) -> int: ...
    def drop_loose_events_before(self, when: datetime, /) -> int: ...
    def drop_set_aside(self, wanted_bytes: int, /) -> int: ...
    def compact(self) -> str | None: ...
    def get_state(self, key: str, /) -> object: ...
    def set_state(self, key: str, value: object, /) -> None: ...


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one pass did, or would do when `is_dry_run`.

    `postponed` says why nothing was deleted by age this time. `evidence_count` and `incident_count` are how
    many lost their evidence and how many went whole; the tuples name them, and `reasons` maps each
    correlation id to why it went, unless the manager keeps no names. `has_room` tells whether the budget
    (and for `make_room` the bytes asked for) is met afterwards, `obstacle` why it is not. `failures` maps
    the correlation ids that could not go to why.
    """

    evidence_count: int = 0
    incident_count: int = 0
    dropped_evidence: tuple[str, ...] = ()
    deleted_incidents: tuple[str, ...] = ()
    history_before: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    bytes_before: int = 0
    bytes_after: int = 0
    postponed: str | None = None
    has_room: bool = True
    obstacle: str | None = None
    is_dry_run: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def freed_bytes(self) -> int:
        return max(0, self.bytes_before - self.bytes_after)

    @property
    def gone(self) -> str:
        """What went, in words."""
        if not (self.evidence_count or self.incident_count):
            return "no incident had to go"
        whole = counted(self.incident_count, "whole incident")
        return f"the evidence of {counted(self.evidence_count, 'incident')}, and {whole}"

    def summary(self) -> str:
        """One line for logs and tables."""
        verb = "would free" if self.is_dry_run else "freed"
        words = f"{verb} {sized(self.freed_bytes, 'disk_bytes')}: {self.gone}"
        if self.postponed:
            words += f"; nothing by age: {self.postponed}"
        if not self.has_room:
            words += f"; still without room: {self.obstacle}"
        for name, why in self.failures.items():
            return f"{words}; {len(self.failures)} could not go, the first {name}: {why}"
        return words


class RetentionManager:
    """Purges by age, keeps the budget and makes room. One writer calls it; it keeps no state of its own."""

    def __init__(
        self,
        store: RetentionStore,
        limits: RetentionLimits,
        *,
        reserve_bytes: int = 0,
        keeps_names: bool = True,
        uptime: Callable[[], Uptime] = read_uptime,
    ) -> None:
        """Keep `reserve_bytes` free once something must go, for what is written until room is made.

        Without `keeps_names` its reports only count, because a month of incidents may go at once; one that
        lost its evidence first and went whole later counts as both.
        """
        self._store = store
        self._reserve_bytes = reserve_bytes
        self._limits = limits
        self._keeps_names = keeps_names
        self._uptime = uptime

    def purge_expired(self, now: datetime, *, dry_run: bool = False) -> RetentionReport:
        """One hourly pass: age (unless the clock is in doubt, see `clock_guard`), quotas, budget, floor."""
        self._store.mend_incidents()
        postponed = self._judge_age(now, remember=not dry_run)
        by_age = postponed is None
        if dry_run:
            return self._foretell(now, by_age, postponed)
        if bounds := self._limits.event_bounds(now, by_age=by_age):
            self._store.prune_events(**bounds)
        usage = self._store.usage()
        goal = self._limits if _fits(usage, self._limits) else self._with_reserve()
        report = replace(self._carry_out(goal, now, by_age), postponed=postponed)
        if not report.has_room and _fits(self._store.usage(), self._limits):
            return replace(report, has_room=True, obstacle=None)
        return report

    def _with_reserve(self) -> RetentionLimits:
        return replace(self._limits, max_total_bytes=self._limits.max_total_bytes - self._reserve_bytes)

    def make_room(self, bytes_needed: int, now: datetime, *, may_delete: bool = True) -> RetentionReport:
        """Free `bytes_needed` inside the budget before they are written; `has_room` says whether it worked.

        What can't be had is not tried: no evidence goes in vain. With `may_delete=False` only what nobody
        misses goes, if somebody else keeps the WAL from being folded back: then the budget can't be had.
        Raises StorageError alone: nothing that lies in the store may cost what is saved next.
        """
        try:
            return self._make_room(bytes_needed, now, may_delete)
        except SENSELESS as error:
            raise StorageError(f"cannot judge what is kept ({error}); {MENDED_BY}") from error

    def _make_room(self, bytes_needed: int, now: datetime, may_delete: bool) -> RetentionReport:
        limits = replace(
            self._limits,
            max_total_bytes=self._limits.max_total_bytes - bytes_needed,
            min_free_disk_bytes=self._limits.min_free_disk_bytes + bytes_needed,
        )
        usage = self._store.usage()
        if _fits(usage, limits):
            return RetentionReport(bytes_before=usage.total_bytes, bytes_after=usage.total_bytes)
        self._store.mend_incidents()
        held_by, usage = self._tidy(usage, limits)
        if held_by is not None:  # what it holds is not paid for with evidence: only what is asked for is
            floor = max(limits.max_total_bytes, usage.total_bytes - bytes_needed)
            limits = replace(limits, max_total_bytes=floor)
        room = _fits(usage, limits)
        if room or (held_by is not None and not may_delete) or not self._can_have(usage, now, limits):
            return RetentionReport(
                bytes_before=usage.total_bytes,
                bytes_after=usage.total_bytes,
                has_room=room,
                obstacle=None if room else self._obstacle(usage, now, limits, held_by),
            )
        return self._carry_out(limits, now, by_age=False)

    def _tidy(self, usage: Usage, limits: RetentionLimits) -> tuple[str | None, Usage]:
        """What nobody misses goes first: free pages, the WAL's room, what was set aside."""
        held_by = self._store.compact()
        usage = self._store.usage()
        missing = max(
            usage.total_bytes - limits.max_total_bytes,
            limits.floor_bytes(usage.disk_bytes) - usage.free_disk_bytes,
        )
        if missing > 0 and self._store.drop_set_aside(missing):
            usage = self._store.usage()
        return held_by, usage

    def _can_have(self, usage: Usage, now: datetime, limits: RetentionLimits) -> bool:
        """Whether all that may go would make the room at all."""
        stock, history_bytes = self._incidents(usage, now), self._store.history_bytes()
        evidence, summaries = stock.tally(_ALL_EVIDENCE), stock.tally(_ALL_SUMMARIES)
        row_bytes = Weights.of(stock.count(SUMMARIES), usage, history_bytes).row_bytes
        movable = evidence.stored_bytes + summaries.stored_bytes + row_bytes * summaries.count + history_bytes
        return (
            usage.total_bytes - movable <= limits.max_total_bytes
            and usage.free_disk_bytes + evidence.stored_bytes >= limits.floor_bytes(usage.disk_bytes)
        )

    def _incidents(self, usage: Usage, now: datetime, stuck: Collection[str] = ()) -> StockView:
        return self._store.incidents(usage, self._boots(now).spans, now, stuck)

    def _judge_age(self, now: datetime, *, remember: bool) -> str | None:
        """Why age must not be judged in this pass; None when it may."""
        stock = self._incidents(self._store.usage(), now)
        if (doubt := why_not_by_age(self._store.incident_times(), now)) is not None:
            return doubt
        look = read_remembered(self._store.get_state(STATE_KEY))
        share = max(share_by_age(stock, self._limits, now), self._history_share_gone(look.last, now))
        reason, look = judge_clock(look, Moment(now, self._uptime()), share_of_all=share)
        if remember:
            boots = self._boots(now)
            self._store.set_state(STATE_KEY, look.as_json())
            self._store.set_state(BOOTS_KEY, boots.as_json())
        return reason

    def _boots(self, now: datetime) -> Boots:
        """The boots that are known, this one by the clock of now."""
        return read_boots(self._store.get_state(BOOTS_KEY)).seen(Moment(now, self._uptime()))

    def _history_share_gone(self, last: Moment | None, now: datetime) -> float:
        """The share of loose events that age takes, judged by how much time the last pass left behind."""
        if last is None:
            return 0.0
        return min(1.0, max(0.0, (now - last.wall).total_seconds() / self._limits.max_age_s))

    def _foretell(self, now: datetime, by_age: bool, postponed: str | None) -> RetentionReport:
        usage = self._store.usage()
        is_over = usage.total_bytes > self._limits.max_total_bytes
        # The WAL is folded into the database before anything is deleted.
        folded = replace(usage, wal_bytes=0) if is_over else usage
        round_ = Round(self._limits, now, by_age, history_bytes=self._store.history_bytes())
        plan = round_.plan(self._incidents(folded, now), folded)
        went = _Went(self._keeps_names)
        for step in plan.steps:
            for decision in step.decisions():
                went.note(decision)
        freed = sum(step.tally.stored_bytes for step in plan.steps) + (usage.wal_bytes if is_over else 0)
        return replace(
            went.report(),
            history_before=self._history_before(plan),
            bytes_before=usage.total_bytes,
            bytes_after=usage.total_bytes - freed,
            postponed=postponed,
            has_room=plan.shortfall_bytes == 0,
            obstacle=self._obstacle(usage, now, self._limits, None) if plan.shortfall_bytes else None,
            is_dry_run=True,
        )

    def _carry_out(self, limits: RetentionLimits, now: datetime, by_age: bool) -> RetentionReport:
        """Judge, do, measure; again while the store is over its budget and a round still frees something.

        What could not go counts as pinned in the next round: something else goes in its place. Raises
        StorageError when the store is too sick to let anything go.
        """
        usage = self._store.usage()
        before, held_by = usage.total_bytes, None
        if not _fits(usage, limits):
            held_by, usage = self._tidy(usage, limits)
        if held_by is not None:
            limits = replace(limits, max_total_bytes=limits.max_total_bytes + usage.wal_bytes)
        went, pressure, futile = _Went(self._keeps_names), 0, 0
        for _ in range(_ROUNDS):
            usage = self._store.usage()
            stock = self._incidents(usage, now, went.stuck)
            plan = Round(limits, now, by_age, pressure, self._store.history_bytes()).plan(stock, usage)
            if plan.is_empty:
                break
            count = went.count
            self._let_go(plan, went)
            left = self._store.usage()
            pressure += went.count > count or plan.shortens_history
            futile += went.count > count and left.total_bytes >= usage.total_bytes
            if left.total_bytes <= limits.max_total_bytes or futile >= _FUTILE_ROUNDS:
                break
        after = self._store.usage()
        words = None if _fits(after, limits) else self._obstacle(after, now, limits, held_by)
        return replace(
            went.report(),
            bytes_before=before,
            bytes_after=after.total_bytes,
            has_room=words is None,
            obstacle=words,
        )

    def _let_go(self, plan: RetentionPlan, went: _Went) -> None:
        """Do what the plan says and give back what is free; raises when the store lets nothing at all go."""
        count = went.count
        for step in plan.steps:
            for outcome in carry_out(self._delete, step.decisions()):
                if isinstance(outcome, Decision):
                    went.note(outcome)
                elif outcome.is_tried:
                    went.note_failure(outcome)
                elif went.count == count:
                    raise outcome.error
                else:
                    break
        if plan.drop_events_before is not None:
            self._store.drop_loose_events_before(plan.drop_events_before)
        ends = (went.history_before, self._history_before(plan))
        went.history_before = max((when for when in ends if when), default=None)
        if plan.drop_history_before is not None:
            self._store.drop_history_before(plan.drop_history_before)
        if plan.keep_history_share < 1.0:
            self._store.shorten_history(plan.keep_history_share)
        self._store.compact()

    def _delete(self, keys: Sequence[str]) -> None:
        """Delete items of one step, which are all of one kind."""
        delete = self._store.delete_incidents if is_summary(keys[0]) else self._store.drop_evidence
        delete([correlation_id_of(key) for key in keys])

    def _history_before(self, plan: RetentionPlan) -> datetime | None:
        """Before when history goes by this plan."""
        share = plan.keep_history_share
        sized = self._store.history_from(share) if share < 1.0 else None
        return max((when for when in (plan.drop_history_before, sized) if when), default=None)

    def _obstacle(self, usage: Usage, now: datetime, limits: RetentionLimits, held_by: str | None) -> str:
        """Why there is no room, by what it really is: the disk, another program, or what is kept."""
        floor_bytes = limits.floor_bytes(usage.disk_bytes)
        if usage.free_disk_bytes < floor_bytes:
            return (
                f"the disk has {sized(usage.free_disk_bytes, 'disk_bytes')} free, and"
                f" {sized(floor_bytes, 'disk_bytes')} must stay free (retention.min_free_disk_mb)"
            )
        if held_by is not None:
            changes = sized(usage.wal_bytes, "disk_bytes")
            return f"{held_by}: {changes} of changes can't be folded back until it is done"
        stock = self._incidents(usage, now)
        if stock.count(SUMMARIES) > stock.tally(_ALL_SUMMARIES).count:
            return "the incidents that are kept (pinned) fill the budget (retention.max_total_mb)"
        return "what is left can't be made smaller: raise the budget (retention.max_total_mb)"


def _fits(usage: Usage, limits: RetentionLimits) -> bool:
    is_below = usage.total_bytes <= limits.max_total_bytes
    return is_below and usage.free_disk_bytes >= limits.floor_bytes(usage.disk_bytes)


@dataclass(slots=True)
class _Went:
    """What went so far, and what could not: counted, and named where names are kept."""

    keeps_names: bool
    evidence_count: int = 0
    incident_count: int = 0
    dropped: dict[str, str] = field(default_factory=dict)  # by correlation id: why
    deleted: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    history_before: datetime | None = None

    @property
    def count(self) -> int:
        return self.evidence_count + self.incident_count

    def note(self, decision: Decision) -> None:
        is_whole = is_summary(decision.key)
        self.incident_count += is_whole
        self.evidence_count += not is_whole
        if self.keeps_names:
            (self.deleted if is_whole else self.dropped)[correlation_id_of(decision.key)] = decision.policy

    def note_failure(self, failure: Failure) -> None:
        self.stuck.add(failure.key)
        self.failures[correlation_id_of(failure.key)] = str(failure.error)

    def report(self) -> RetentionReport:
        dropped = tuple(sorted(self.dropped.keys() - self.deleted.keys()))
        return RetentionReport(
            evidence_count=len(dropped) if self.keeps_names else self.evidence_count,
            incident_count=self.incident_count,
            dropped_evidence=dropped,
            deleted_incidents=tuple(sorted(self.deleted)),
            history_before=self.history_before,
            reasons=self.dropped | self.deleted,
            failures=self.failures,
        )
