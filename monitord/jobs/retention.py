"""RetentionManager: keeps the store within its promises. What goes, the policies of `plan` decide alone.

Here is what they can't know: whether the clock may be trusted, and what the disk says after each round; the
promise rests on that and not on an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from monitord.jobs.history import PATIENCE
from monitord.jobs.incidents import (
    Incidents,
    IncidentStore,
    RetentionRow,
    Usage,
    correlation_id_of,
    evidence_bytes,
)
from monitord.jobs.limits import RetentionLimits
from monitord.jobs.plan import RetentionPlan, Round, plan_retention
from monitord.jobs.second_look import STATE_KEY, Moment, Uptime, judge_clock, read_look, read_uptime

_ROUNDS = PATIENCE + 4


class RetentionStore(IncidentStore, Protocol):
    """What retention needs of the store; storage's store has all of it."""

    def retention_rows(self) -> Sequence[RetentionRow]: ...
    def usage(self) -> Usage: ...
    def drop_history_before(self, when: datetime, /) -> int: ...
    def compact(self) -> object: ...
    def get_state(self, key: str, /) -> object: ...
    def set_state(self, key: str, value: object, /) -> None: ...


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one pass did, or would do when `is_dry_run`.

    `postponed` says why nothing was deleted by age this time. `reasons` maps each correlation id to why it
    went. `has_room` tells whether the budget (and for `make_room` the bytes asked for) is met afterwards.
    `failures` maps what could not go to why: correlation ids, and names of policies that raised.
    """

    dropped_evidence: tuple[str, ...] = ()
    deleted_incidents: tuple[str, ...] = ()
    history_before: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    bytes_before: int = 0
    bytes_after: int = 0
    postponed: str | None = None
    has_room: bool = True
    is_dry_run: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def freed_bytes(self) -> int:
        return max(0, self.bytes_before - self.bytes_after)

    def summary(self) -> str:
        """One line for logs and tables."""
        verb = "would free" if self.is_dry_run else "freed"
        words = (
            f"{verb} {self.freed_bytes} bytes: evidence of {len(self.dropped_evidence)} and the whole of"
            f" {len(self.deleted_incidents)} incidents"
        )
        if self.postponed:
            words += f"; nothing by age: {self.postponed}"
        if not self.has_room:
            words += "; still over the budget or below the free-disk floor: what is left is pinned or in use"
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
        uptime: Callable[[], Uptime] = read_uptime,
    ) -> None:
        self._store = store
        self._limits = limits
        self._uptime = uptime

    def purge_expired(self, now: datetime, *, dry_run: bool = False) -> RetentionReport:
        """One hourly pass: age (unless the clock is in doubt, see `second_look`), quotas, budget, floor."""
        postponed = self._judge_age(now, remember=not dry_run)
        by_age = postponed is None
        if dry_run:
            return self._foretell(now, by_age, postponed)
        return replace(self._carry_out(self._limits, now, by_age), postponed=postponed)

    def make_room(self, bytes_needed: int, now: datetime) -> RetentionReport:
        """Free `bytes_needed` inside the budget before they are written; `has_room` says whether it worked.

        What can't be had is not tried: no evidence goes in vain.
        """
        limits = replace(
            self._limits,
            max_total_bytes=self._limits.max_total_bytes - bytes_needed,
            min_free_disk_bytes=self._limits.min_free_disk_bytes + bytes_needed,
        )
        usage = self._store.usage()
        if _fits(usage, limits):
            return RetentionReport(bytes_before=usage.total_bytes, bytes_after=usage.total_bytes)
        movable = sum(evidence_bytes(row) for row in self._store.retention_rows() if not row.pinned)
        lean = usage.total_bytes - usage.wal_bytes - movable
        if lean > limits.max_total_bytes or usage.free_disk_bytes + movable < limits.min_free_disk_bytes:
            return RetentionReport(
                bytes_before=usage.total_bytes, bytes_after=usage.total_bytes, has_room=False
            )
        return self._carry_out(limits, now, by_age=False)

    def _judge_age(self, now: datetime, *, remember: bool) -> str | None:
        """Why age must not be judged in this pass; None when it may."""
        plan = plan_retention(self._store.retention_rows(), self._store.usage(), self._limits, now)
        if plan.age_skipped:
            return plan.age_skipped
        look = read_look(self._store.get_state(STATE_KEY))
        share = max(plan.share_of_all, self._history_share_gone(look.last, now))
        reason, look = judge_clock(look, Moment(now, self._uptime()), share_of_all=share)
        if remember:
            self._store.set_state(STATE_KEY, look.as_json())
        return reason

    def _history_share_gone(self, last: Moment | None, now: datetime) -> float:
        """The share of the history that age takes, judged by how much time the last pass left behind."""
        if last is None:
            return 0.0
        return min(1.0, max(0.0, (now - last.wall).total_seconds() / self._limits.max_age_s))

    def _foretell(self, now: datetime, by_age: bool, postponed: str | None) -> RetentionReport:
        rows, usage = self._store.retention_rows(), self._store.usage()
        folded = _Folded(usage.database_bytes, usage.artefact_bytes, usage.free_disk_bytes)
        is_over = usage.total_bytes > self._limits.max_total_bytes
        plan = plan_retention(rows, folded if is_over else usage, self._limits, now, by_age=by_age)
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
            is_dry_run=True,
            failures=dict(_failures(plan)),
        )

    def _carry_out(self, limits: RetentionLimits, now: datetime, by_age: bool) -> RetentionReport:
        """Judge, do, measure; again while the store is over its budget and a round still frees something.

        What could not go counts as pinned in the next round: something else goes in its place. Raises
        StorageError when the store is too sick to let anything go.
        """
        before = self._store.usage().total_bytes
        if before > limits.max_total_bytes:
            self._store.compact()  # the WAL and free pages go before any evidence does
        plans: list[RetentionPlan] = []
        stuck: set[str] = set()
        for _ in range(_ROUNDS):
            rows, usage = self._store.retention_rows(), self._store.usage()
            pressure = sum(not plan.is_empty for plan in plans)
            incidents = Incidents(rows, usage, self._store, stuck=stuck)
            plan = Round(limits, now, by_age, pressure).apply(incidents, dry_run=False)
            plans.append(plan)
            if plan.is_empty and not plan.failures:
                break
            self._settle(plan)
            stuck.update(failure.key for failure in plan.failures)
            if self._store.usage().total_bytes <= limits.max_total_bytes:
                break
        return _report(plans, before, self._store.usage(), limits)

    def _settle(self, plan: RetentionPlan) -> None:
        """Cut the history and give back what is free; raises when nothing at all could go."""
        went = plan.drop_evidence or plan.delete_incidents
        if not went and not all(failure.is_tried for failure in plan.failures):
            raise plan.failures[0].error
        if plan.drop_history_before is not None:
            self._store.drop_history_before(plan.drop_history_before)
        self._store.compact()


@dataclass(frozen=True, slots=True)
class _Folded:
    """The usage as it will be once the WAL is folded into the database, which comes before any deleting."""

    database_bytes: int
    artefact_bytes: int
    free_disk_bytes: int
    wal_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.database_bytes + self.artefact_bytes


def _fits(usage: Usage, limits: RetentionLimits) -> bool:
    return usage.total_bytes <= limits.max_total_bytes and usage.free_disk_bytes >= limits.min_free_disk_bytes


def _report(
    plans: Sequence[RetentionPlan], before: int, after: Usage, limits: RetentionLimits
) -> RetentionReport:
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
        has_room=_fits(after, limits),
        failures={name: why for plan in plans for name, why in _failures(plan)},
    )


def _failures(plan: RetentionPlan) -> Iterator[tuple[str, str]]:
    for failure in plan.failures:
        yield correlation_id_of(failure.key), str(failure.error)
    yield from plan.broken.items()
