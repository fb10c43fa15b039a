"""What has to go so that the store keeps its promises: the limits as policies, and one round of them.

Pinned incidents stay. Among the others the mild go before the bad, and the old before the new where
they are equally bad. Evidence (big) goes before the summary that remembers it (small).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitord.jobs.limits import SUMMARY_BYTES, HistoryTrim, RetentionLimits
from monitord.storage.artefacts.lifecycle import (
    KIND,
    PROCESS,
    RULE,
    SEVERITY,
    Cut,
    Cutting,
    Decision,
    FreeDiskFloor,
    MaxAge,
    MaxAgeBySeverity,
    MaxCount,
    MaxTotalBytes,
    QuotaPerTag,
    ShareWhenFull,
    StockView,
    Tagged,
    Tally,
)
from monitord.storage.incident_stock import BARE, EVIDENCE, SUMMARY
from monitord.storage.views import Usage

EVIDENCES, SUMMARIES = {KIND: EVIDENCE}, {KIND: SUMMARY}
_LAST_RESORT, _WHOLE = "last resort", "summary age"
PROFILES = {**SUMMARIES, RULE: "profile"}  # kept ones of scripts
_REASONS = {
    _WHOLE: "age",
    _LAST_RESORT: "budget",
    "summaries": "budget",
}  # for people; the others are called as they are


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy lets go of the stock that those before it leave; `tally` is what it comes to."""

    policy: str
    cuts: tuple[Cut, ...]
    stock: StockView
    tally: Tally

    @property
    def takes_whole(self) -> bool:
        """Whether incidents go whole by it, and not their evidence alone."""
        return self.cuts[0].only[KIND] == SUMMARY

    def decisions(self) -> Iterator[Decision]:
        """One by one, mild first; what goes meanwhile is not looked at again."""
        reason = _REASONS.get(self.policy, self.policy)
        return (Decision(item.key, reason, item.stored_size) for item in self.stock.select(self.cuts))


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What is to go: `steps` in the order in which it should be done, and the history before a moment.

    Of history's bytes `keep_history_share` stays, the newest. Of events those before another moment go that
    belong to no incident.

    `shortfall_bytes` is what is missing even when all evidence that may go is gone.
    """

    steps: tuple[Step, ...] = ()
    drop_history_before: datetime | None = None
    drop_events_before: datetime | None = None
    keep_history_share: float = 1.0
    shortfall_bytes: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.steps or self.shortens_history)

    @property
    def shortens_history(self) -> bool:
        """Whether any of it is to go, by age or for its size."""
        return self.drop_history_before is not None or self.keep_history_share < 1.0


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
) -> dict[str, Cutting]:
    """What retention is: these policies, in this order. Without a clock to trust, those by age are left out.

    Whole incidents go for room only where shortening the history did not help; old summaries that take more
    than their share go before any evidence does.
    """
    quota_bytes = int(limits.process_share * limits.max_total_bytes)
    budget_bytes = limits.max_total_bytes + trim.credit_bytes + bare_bytes
    policies: dict[str, Cutting] = {
        **policies_by_age(limits),
        **(
            {"count of profiles": MaxCount(limits.max_profiles, only=PROFILES)} if limits.max_profiles else {}
        ),
        **({"count": MaxCount(limits.max_count, only=SUMMARIES)} if limits.max_count else {}),
        "process quota": QuotaPerTag(PROCESS, quota_bytes, only=EVIDENCES),
        "summaries": summary_share(limits, row_bytes),
        "budget": MaxTotalBytes(budget_bytes, only=EVIDENCES),
        "free disk": FreeDiskFloor(floor_bytes, only=EVIDENCES),
    }
    if trim.pressure and not trim.credit_bytes:
        policies[_LAST_RESORT] = MaxTotalBytes(budget_bytes, row_bytes, only=SUMMARIES)
    if is_clock_trusted:
        return policies
    return {name: each for name, each in policies.items() if each.get_retention_period() is None}


def policies_by_age(limits: RetentionLimits) -> dict[str, Cutting]:
    """Those that judge by the clock."""
    summary_age_s = max(limits.evidence_age_s, limits.summary_age_s)
    steps = {float(value): timedelta(seconds=age_s) for tag, value, age_s in limits.ages if tag == SEVERITY}
    named = [each for each in limits.ages if each[0] != SEVERITY]
    return {
        _WHOLE: MaxAge(timedelta(seconds=summary_age_s), only=SUMMARIES),
        "age": MaxAge(timedelta(seconds=limits.evidence_age_s), only=EVIDENCES),
        **({"age by severity": MaxAgeBySeverity(steps, only=EVIDENCES)} if steps else {}),
        **{  # without an age nothing is asked of the clock
            f"age of {tag} {value}": MaxAge(timedelta(seconds=age_s), only={**EVIDENCES, tag: value})
            if age_s
            else Tagged(only={**EVIDENCES, tag: value})
            for tag, value, age_s in named
        },
    }


def summary_share(limits: RetentionLimits, row_bytes: int) -> ShareWhenFull:
    """Of the summaries whose evidence is gone: what they take beyond their share goes before any evidence."""
    share_bytes = int(limits.summary_share * limits.max_total_bytes)
    return ShareWhenFull(limits.max_total_bytes, share_bytes, row_bytes, only={**SUMMARIES, BARE: "yes"})


def share_by_age(stock: StockView, limits: RetentionLimits, now: datetime) -> float:
    """Of everything that may go at all, the share that goes by age: by count or bytes, the greater.

    It is what a clock jump would make large.
    """
    policies = policies_by_age(limits)
    whole = policies.pop(_WHOLE).consider(stock, now).cuts
    aged = [cut for policy in policies.values() for cut in policy.consider(stock, now).cuts]
    of_whole, of_aged = stock.tally(whole), stock.tally(aged)
    if not (of_whole.count or of_aged.count):
        return 0.0
    both = stock.tally([replace(cut, only=EVIDENCES) for cut in whole])
    count = stock.tally((Cut(SUMMARIES),)).count
    held_bytes = stock.tally((Cut(EVIDENCES),)).stored_bytes
    by_count = (of_whole.count + of_aged.count - both.count) / count
    by_bytes = (of_whole.stored_bytes + of_aged.stored_bytes) / held_bytes if held_bytes else 0.0
    return max(by_count, by_bytes)


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

    def plan(self, stock: StockView, usage: Usage) -> RetentionPlan:
        """What goes in this round; pure."""
        limits, by_age = self.limits, self.by_age
        weights = Weights.of(stock.count(SUMMARIES), usage, self.history_bytes)
        trim = HistoryTrim.of(
            weights.history_bytes, usage, limits, is_clock_trusted=by_age, pressure=self.pressure
        )
        bare_bytes = summary_share(limits, weights.row_bytes).wanted_bytes(stock)
        policies = policies_of(
            limits,
            trim,
            row_bytes=weights.row_bytes,
            bare_bytes=bare_bytes,
            floor_bytes=limits.floor_bytes(usage.disk_bytes),
            is_clock_trusted=by_age,
        )
        steps = tuple(_judged(policies, stock, self.now))
        freed = sum(step.tally.stored_bytes for step in steps if step.policy != _LAST_RESORT)
        freed += trim.credit_bytes + bare_bytes
        shortfall = max(0, usage.total_bytes - limits.max_total_bytes - freed)
        aged = self.now - timedelta(seconds=limits.history_age_s) if by_age else None
        return RetentionPlan(
            # What goes whole goes first: its evidence need not be dropped before.
            tuple(sorted(steps, key=lambda step: not step.takes_whole)),
            aged,
            self.now - timedelta(seconds=limits.max_age_s) if by_age else None,
            trim.left_share(is_short=shortfall > 0),
            shortfall,
        )


def _judged(policies: Mapping[str, Cutting], stock: StockView, now: datetime) -> Iterator[Step]:
    """Ask the policies one after the other; each sees what those before it leave."""
    for name, policy in policies.items():
        cuts = policy.consider(stock, now).cuts
        tally = stock.tally(cuts)
        if tally.count:
            yield Step(name, cuts, stock, tally)
            stock = stock.excluding(cuts)
