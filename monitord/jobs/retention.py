"""RetentionManager: keeps the store within its promises. What goes, the policies of `plan` decide alone.

Here is what they can't know: whether the clock may be trusted, and what the disk says after each round; the
promise rests on that and not on an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from monitord.jobs.boots import STATE_KEY as BOOTS_KEY
from monitord.jobs.boots import Boots, put_right, read_boots
from monitord.jobs.clock_guard import (
    STATE_KEY,
    Moment,
    Uptime,
    judge_clock,
    read_remembered,
    read_uptime,
    why_not_by_age,
)
from monitord.jobs.history import PATIENCE
from monitord.jobs.incidents import (
    Incidents,
    IncidentStore,
    correlation_id_of,
    evidence_bytes,
)
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.plan import RetentionPlan, Round, Weights, plan_retention
from monitord.model import counted
from monitord.storage.views import RetentionRow, Usage

_ROUNDS = PATIENCE + 4
_FUTILE_ROUNDS = 2  # rounds that took something and made the store no smaller: more would be in vain


class RetentionStore(IncidentStore, Protocol):
    """What retention needs of the store; storage's store has all of it."""

    def retention_rows(self) -> Sequence[RetentionRow]: ...
    def usage(self) -> Usage: ...
    def history_bytes(self) -> int: ...
    def drop_history_before(self, when: datetime, /) -> int: ...
    def drop_set_aside(self, wanted_bytes: int, /) -> int: ...
    def compact(self) -> str | None: ...
    def get_state(self, key: str, /) -> object: ...
    def set_state(self, key: str, value: object, /) -> None: ...


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one pass did, or would do when `is_dry_run`.

    `postponed` says why nothing was deleted by age this time. `reasons` maps each correlation id to why it
    went. `has_room` tells whether the budget (and for `make_room` the bytes asked for) is met afterwards.
    `obstacle` says why it is not. `failures` maps what could not go to why: correlation ids, and names of
    policies that raised.
    """

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
        if not (self.dropped_evidence or self.deleted_incidents):
            return "no incident had to go"
        whole = counted(len(self.deleted_incidents), "whole incident")
        return f"the evidence of {counted(len(self.dropped_evidence), 'incident')}, and {whole}"

    def summary(self) -> str:
        """One line for logs and tables."""
        verb = "would free" if self.is_dry_run else "freed"
        words = f"{verb} {self.freed_bytes / 1e6:,.1f} MB: {self.gone}"
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
        uptime: Callable[[], Uptime] = read_uptime,
    ) -> None:
        """Keep `reserve_bytes` free once something must go, for what is written until room is made."""
        self._store = store
        self._reserve_bytes = reserve_bytes
        self._limits = limits
        self._uptime = uptime

    def purge_expired(self, now: datetime, *, dry_run: bool = False) -> RetentionReport:
        """One hourly pass: age (unless the clock is in doubt, see `clock_guard`), quotas, budget, floor."""
        postponed = self._judge_age(now, remember=not dry_run)
        by_age = postponed is None
        if dry_run:
            return self._foretell(now, by_age, postponed)
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
        """
        limits = replace(
            self._limits,
            max_total_bytes=self._limits.max_total_bytes - bytes_needed,
            min_free_disk_bytes=self._limits.min_free_disk_bytes + bytes_needed,
        )
        usage = self._store.usage()
        if _fits(usage, limits):
            return RetentionReport(bytes_before=usage.total_bytes, bytes_after=usage.total_bytes)
        held_by, usage = self._tidy(usage, limits)
        if held_by is not None:  # what it holds is not paid for with evidence: only what is asked for is
            floor = max(limits.max_total_bytes, usage.total_bytes - bytes_needed)
            limits = replace(limits, max_total_bytes=floor)
        room = _fits(usage, limits)
        if room or (held_by is not None and not may_delete) or not self._can_have(usage, limits):
            return RetentionReport(
                bytes_before=usage.total_bytes,
                bytes_after=usage.total_bytes,
                has_room=room,
                obstacle=None if room else self._obstacle(usage, limits, held_by),
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

    def _can_have(self, usage: Usage, limits: RetentionLimits) -> bool:
        """Whether all that may go would make the room at all."""
        rows, history_bytes = self._store.retention_rows(), self._store.history_bytes()
        row_bytes = Weights.of(len(rows), usage, history_bytes).row_bytes
        files = sum(row.artefact_bytes for row in rows if not row.pinned)
        evidence = sum(evidence_bytes(row) for row in rows if not row.pinned)
        movable = files + row_bytes * sum(not row.pinned for row in rows) + history_bytes
        return (
            usage.total_bytes - movable <= limits.max_total_bytes
            and usage.free_disk_bytes + evidence >= limits.floor_bytes(usage.disk_bytes)
        )

    def _judge_age(self, now: datetime, *, remember: bool) -> str | None:
        """Why age must not be judged in this pass; None when it may."""
        boots, kept = self._boots(now), self._store.retention_rows()
        if (doubt := why_not_by_age(kept, now)) is not None:
            return doubt
        plan = plan_retention(put_right(kept, boots, now), self._store.usage(), self._limits, now)
        if plan.age_skipped:
            return plan.age_skipped
        look = read_remembered(self._store.get_state(STATE_KEY))
        share = max(plan.share_of_all, self._history_share_gone(look.last, now))
        reason, look = judge_clock(look, Moment(now, self._uptime()), share_of_all=share)
        if remember:
            self._store.set_state(STATE_KEY, look.as_json())
            self._store.set_state(BOOTS_KEY, boots.as_json())
        return reason

    def _boots(self, now: datetime) -> Boots:
        """The boots that are known, this one by the clock of now."""
        return read_boots(self._store.get_state(BOOTS_KEY)).seen(Moment(now, self._uptime()))

    def _history_share_gone(self, last: Moment | None, now: datetime) -> float:
        """The share of the history that age takes, judged by how much time the last pass left behind."""
        if last is None:
            return 0.0
        return min(1.0, max(0.0, (now - last.wall).total_seconds() / self._limits.max_age_s))

    def _foretell(self, now: datetime, by_age: bool, postponed: str | None) -> RetentionReport:
        rows = put_right(self._store.retention_rows(), self._boots(now), now)
        usage = self._store.usage()
        is_over = usage.total_bytes > self._limits.max_total_bytes
        # The WAL is folded into the database before anything is deleted.
        folded = replace(usage, wal_bytes=0) if is_over else usage
        history_bytes = self._store.history_bytes()
        plan = plan_retention(rows, folded, self._limits, now, by_age=by_age, history_bytes=history_bytes)
        gone = {*plan.drop_evidence, *plan.delete_incidents}
        freed = sum(row.artefact_bytes for row in rows if row.correlation_id in gone)
        freed += usage.wal_bytes if is_over else 0
        return RetentionReport(
            dropped_evidence=plan.drop_evidence,
            deleted_incidents=plan.delete_incidents,
            history_before=plan.drop_history_before,
            reasons=plan.reasons,
            bytes_before=usage.total_bytes,
            bytes_after=usage.total_bytes - freed,
            postponed=postponed,
            has_room=plan.shortfall_bytes == 0,
            obstacle=self._obstacle(usage, self._limits, None) if plan.shortfall_bytes else None,
            is_dry_run=True,
            failures=dict(_failures(plan)),
        )

    def _carry_out(self, limits: RetentionLimits, now: datetime, by_age: bool) -> RetentionReport:
        """Judge, do, measure; again while the store is over its budget and a round still frees something.

        What could not go counts as pinned in the next round: something else goes in its place. Raises
        StorageError when the store is too sick to let anything go.
        """
        usage = self._store.usage()
        before, held_by = usage.total_bytes, None
        boots = self._boots(now)
        if not _fits(usage, limits):
            held_by, usage = self._tidy(usage, limits)
        if held_by is not None:
            limits = replace(
                limits, max_total_bytes=max(limits.max_total_bytes, limits.max_total_bytes + usage.wal_bytes)
            )
        plans: list[RetentionPlan] = []
        stuck: set[str] = set()
        futile = 0
        for _ in range(_ROUNDS):
            rows, usage = put_right(self._store.retention_rows(), boots, now), self._store.usage()
            pressure = sum(not plan.is_empty for plan in plans)
            incidents = Incidents(rows, usage, self._store, stuck=stuck)
            history_bytes = self._store.history_bytes()
            plan = Round(limits, now, by_age, pressure, history_bytes).apply(incidents, dry_run=False)
            plans.append(plan)
            if plan.is_empty and not plan.failures:
                break
            self._settle(plan)
            stuck.update(failure.key for failure in plan.failures)
            left = self._store.usage()
            went = bool(plan.drop_evidence or plan.delete_incidents)
            futile += went and left.total_bytes >= usage.total_bytes
            if left.total_bytes <= limits.max_total_bytes or futile >= _FUTILE_ROUNDS:
                break
        after = self._store.usage()
        words = None if _fits(after, limits) else self._obstacle(after, limits, held_by)
        return _report(plans, before, after, words)

    def _obstacle(self, usage: Usage, limits: RetentionLimits, held_by: str | None) -> str:
        """Why there is no room, by what it really is: the disk, another program, or what is kept."""
        floor_bytes = limits.floor_bytes(usage.disk_bytes)
        if usage.free_disk_bytes < floor_bytes:
            return (
                f"the disk has {usage.free_disk_bytes / 1e6:,.0f} MB free, and {floor_bytes / 1e6:,.0f} MB"
                " must stay free (retention.min_free_disk_mb)"
            )
        if held_by is not None:
            megabytes = usage.wal_bytes / 1e6
            return f"{held_by}: {megabytes:,.1f} MB of changes can't be folded back until it is done"
        if any(row.pinned for row in self._store.retention_rows()):
            return "the incidents that are kept (pinned) fill the budget (retention.max_total_mb)"
        return "what is left can't be made smaller: raise the budget (retention.max_total_mb)"

    def _settle(self, plan: RetentionPlan) -> None:
        """Cut the history and give back what is free; raises when nothing at all could go."""
        went = plan.drop_evidence or plan.delete_incidents
        if not went and not all(failure.is_tried for failure in plan.failures):
            raise plan.failures[0].error
        if plan.drop_history_before is not None:
            self._store.drop_history_before(plan.drop_history_before)
        self._store.compact()


def _fits(usage: Usage, limits: RetentionLimits) -> bool:
    is_below = usage.total_bytes <= limits.max_total_bytes
    return is_below and usage.free_disk_bytes >= limits.floor_bytes(usage.disk_bytes)


def _report(plans: Sequence[RetentionPlan], before: int, after: Usage, words: str | None) -> RetentionReport:
    deleted = {name for plan in plans for name in plan.delete_incidents}
    dropped = {name for plan in plans for name in plan.drop_evidence} - deleted
    cutoffs = [plan.drop_history_before for plan in plans if plan.drop_history_before]
    return RetentionReport(
        dropped_evidence=tuple(sorted(dropped)),
        deleted_incidents=tuple(sorted(deleted)),
        history_before=max(cutoffs, default=None),
        reasons={name: reason for plan in plans for name, reason in plan.reasons.items()},
        bytes_before=before,
        bytes_after=after.total_bytes,
        has_room=words is None,
        obstacle=words,
        failures={name: why for plan in plans for name, why in _failures(plan)},
    )


def _failures(plan: RetentionPlan) -> Iterator[tuple[str, str]]:
    for failure in plan.failures:
        yield correlation_id_of(failure.key), str(failure.error)
    yield from plan.broken.items()
