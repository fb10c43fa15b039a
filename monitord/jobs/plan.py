"""What has to go so that the store keeps its promises: the limits as policies, and one round of them.

Pinned incidents stay. Among the others the mild go before the bad, and the old before the new where
they are equally bad. Evidence (big) goes before the summary that remembers it (small).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitord.jobs.clock_guard import why_not_by_age
from monitord.jobs.history import SUMMARY_BYTES, HistoryTrim
from monitord.jobs.incidents import (
    BARE,
    EVIDENCE,
    SUMMARY,
    Incidents,
    correlation_id_of,
    evidence_bytes,
    is_summary,
)
from monitord.jobs.limits import RetentionLimits
from monitord.storage.artefacts.lifecycle import (
    KIND,
    PROCESS,
    Decision,
    Failure,
    FreeDiskFloor,
    LifecycleManager,
    LifecyclePolicy,
    LifecycleReport,
    MaxAge,
    MaxTotalBytes,
    QuotaPerTag,
    ShareWhenFull,
)
from monitord.storage.views import RetentionRow, Usage

_LAST_RESORT = "last resort"
_REASONS = {
    "summary age": "age",
    _LAST_RESORT: "budget",
    "summaries": "budget",
}  # for people; the others are called as they are


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What is to go, or went. `reasons` maps each correlation id to age, process quota, budget or free disk.

    `share_of_all` is how much of everything deletable goes *because of age*, the greater of the share by
    count and by bytes; it is what a clock jump would make large. `shortfall_bytes` is what is missing even
    when all evidence that may go is gone. `age_skipped` says why no age was judged. `failures` could not go,
    `broken` are policies that raised.
    """

    drop_evidence: tuple[str, ...] = ()
    delete_incidents: tuple[str, ...] = ()
    drop_history_before: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    share_of_all: float = 0.0
    shortfall_bytes: int = 0
    age_skipped: str | None = None
    failures: tuple[Failure, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.drop_evidence or self.delete_incidents or self.drop_history_before)


@dataclass(frozen=True, slots=True)
class Weights:
    """What takes room beside the artefacts' files, as it was measured: a guess would cost evidence."""

    history_bytes: int
    row_bytes: int  # of one incident in the database

    @classmethod
    def of(cls, incident_count: int, usage: Usage, history_bytes: int | None) -> Weights:
        """Without a measurement of the history it is what the database holds beyond the incidents."""
        if history_bytes is None:
            return cls(max(0, usage.database_bytes - incident_count * SUMMARY_BYTES), SUMMARY_BYTES)
        rows_bytes = max(0, usage.database_bytes - history_bytes)
        return cls(history_bytes, max(SUMMARY_BYTES // 4, rows_bytes // max(1, incident_count)))


def policies_of(
    limits: RetentionLimits,
    trim: HistoryTrim,
    *,
    row_bytes: int,
    bare_bytes: int,
    floor_bytes: int,
    is_clock_trusted: bool,
) -> dict[str, LifecyclePolicy]:
    """What retention is: these policies, in this order. Without a clock to trust, those by age are left out.

    Whole incidents go for room only where shortening the history did not help; old summaries that take more
    than their share go before any evidence does.
    """
    evidence, summaries = {KIND: EVIDENCE}, {KIND: SUMMARY}
    quota_bytes = int(limits.process_share * limits.max_total_bytes)
    budget_bytes = limits.max_total_bytes + trim.credit_bytes + bare_bytes
    policies: dict[str, LifecyclePolicy] = {
        "summary age": MaxAge(timedelta(seconds=max(limits.max_age_s, limits.summary_age_s)), only=summaries),
        "age": MaxAge(timedelta(seconds=limits.max_age_s), only=evidence),
        "process quota": QuotaPerTag(PROCESS, quota_bytes, only=evidence),
        "summaries": summary_share(limits, row_bytes),
        "budget": MaxTotalBytes(budget_bytes, only=evidence),
        "free disk": FreeDiskFloor(floor_bytes, only=evidence),
    }
    if trim.pressure and not trim.credit_bytes:
        policies[_LAST_RESORT] = MaxTotalBytes(budget_bytes, row_bytes, only=summaries)
    if is_clock_trusted:
        return policies
    return {name: each for name, each in policies.items() if each.get_retention_period() is None}


def summary_share(limits: RetentionLimits, row_bytes: int) -> ShareWhenFull:
    """Of the summaries whose evidence is gone: what they take beyond their share goes before any evidence."""
    share_bytes = int(limits.summary_share * limits.max_total_bytes)
    return ShareWhenFull(limits.max_total_bytes, share_bytes, row_bytes, only={KIND: SUMMARY, BARE: "yes"})


@dataclass(frozen=True, slots=True)
class Round:
    """One round of retention: the policies over all incidents, and from when on history stays.

    `by_age=False` judges no age (the clock can't be trusted, or only room is wanted). `pressure` counts
    the rounds before this one that did not free enough: each keeps a quarter of the history before.
    """

    limits: RetentionLimits
    now: datetime
    by_age: bool = True
    pressure: int = 0
    history_bytes: int | None = None

    def apply(self, incidents: Incidents, *, dry_run: bool) -> RetentionPlan:
        """Let go what the policies say, or only tell. History is told only: it is the caller's to cut.

        A clock behind the newest incident was set back: then nothing goes by age.
        """
        rows, usage = incidents.rows, incidents.usage
        skipped = why_not_by_age(rows, self.now) if self.by_age else "not asked for"
        weights = Weights.of(len(rows), usage, self.history_bytes)
        trim = HistoryTrim.of(
            weights.history_bytes,
            usage,
            self.limits,
            is_clock_trusted=skipped is None,
            pressure=self.pressure,
        )
        bare_bytes = summary_share(self.limits, weights.row_bytes).wanted_bytes(incidents.stock())
        policies = policies_of(
            self.limits,
            trim,
            row_bytes=weights.row_bytes,
            bare_bytes=bare_bytes,
            floor_bytes=self.limits.floor_bytes(usage.disk_bytes),
            is_clock_trusted=skipped is None,
        )
        report = LifecycleManager(policies, incidents).apply_policies(self.now, dry_run=dry_run)
        freed = sum(each.stored_bytes for each in report.deleted if each.policy != _LAST_RESORT)
        freed += trim.credit_bytes + bare_bytes
        shortfall = max(0, usage.total_bytes - self.limits.max_total_bytes - freed)
        aged = self.now - timedelta(seconds=self.limits.max_age_s) if skipped is None else None
        sized = trim.cutoff(self.now, self.limits.max_age_s, is_short=shortfall > 0)
        return RetentionPlan(
            *_told_apart(report.deleted),
            drop_history_before=max((when for when in (aged, sized) if when), default=None),
            reasons={
                correlation_id_of(each.key): _REASONS.get(each.policy, each.policy) for each in report.deleted
            },
            share_of_all=_share_by_age(rows, report),
            shortfall_bytes=shortfall,
            age_skipped=skipped if self.by_age else None,
            failures=report.failures,
            broken=report.broken,
        )


def plan_retention(
    rows: Sequence[RetentionRow],
    usage: Usage,
    limits: RetentionLimits,
    now: datetime,
    *,
    by_age: bool = True,
    pressure: int = 0,
    history_bytes: int | None = None,
) -> RetentionPlan:
    """What one round would let go; pure."""
    return Round(limits, now, by_age, pressure, history_bytes).apply(Incidents(rows, usage), dry_run=True)


def _told_apart(deleted: Iterable[Decision]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The incidents that lose their evidence, and those that go whole."""
    whole = {correlation_id_of(each.key) for each in deleted if is_summary(each.key)}
    bare = {correlation_id_of(each.key) for each in deleted} - whole
    return tuple(sorted(bare)), tuple(sorted(whole))


def _share_by_age(rows: Sequence[RetentionRow], report: LifecycleReport) -> float:
    """Of everything that may go at all, the share that goes by age: by count or bytes, the greater."""
    by_age = [each for each in report.deleted if each.policy in ("age", "summary age")]
    gone = {correlation_id_of(each.key) for each in by_age}
    movable = [row for row in rows if not row.pinned]
    held_bytes = sum(evidence_bytes(row) for row in movable)
    by_count = len(gone) / len(movable) if gone else 0.0
    return max(by_count, sum(each.stored_bytes for each in by_age) / held_bytes if held_bytes else 0.0)
