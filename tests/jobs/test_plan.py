"""What retention decides, for any rows: budget, pins, order, quota, and clocks that jump."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.jobs import RetentionLimits
from monitord.jobs.limits import PATIENCE
from monitord.jobs.plan import Round, share_by_age
from monitord.storage.incident_stock import correlation_id_of
from tests.incident_rows import IncidentRow as Row
from tests.incident_rows import listed_stock

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
BUDGET = 1_000_000
LIMITS = RetentionLimits(max_total_bytes=BUDGET, process_share=0.5, min_free_disk_bytes=1000)


@dataclass(frozen=True)
class Usage:
    database_bytes: int
    wal_bytes: int
    artefact_bytes: int
    free_disk_bytes: int = 10**12
    disk_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.database_bytes + self.wal_bytes + self.artefact_bytes


def row(name: str, *, hours: float = 1, severity: float = 1.0, size: int = 1000, process: str = "p") -> Row:
    return Row(name, NOW - timedelta(hours=hours), severity, False, size, size == 0, process)


@dataclass(frozen=True)
class Planned:
    """A plan over rows that are all looked at, with the names of what goes."""

    drop_evidence: tuple[str, ...]
    delete_incidents: tuple[str, ...]
    reasons: dict[str, str]
    drop_history_before: datetime | None
    shortfall_bytes: int
    share_of_all: float
    drop_events_before: datetime | None
    keep_history_share: float


def plan_retention(
    rows: list[Row],
    usage: Usage,
    limits: RetentionLimits,
    now: datetime,
    *,
    by_age: bool = True,
    pressure: int = 0,
) -> Planned:
    stock = listed_stock(rows, usage.total_bytes, usage.free_disk_bytes)
    plan = Round(limits, now, by_age, pressure).plan(stock, usage)
    gone: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for step in plan.steps:
        for each in step.decisions():
            gone[step.takes_whole][correlation_id_of(each.key)] = each.policy
    bare = tuple(sorted(gone[False].keys() - gone[True].keys()))
    reasons = gone[False] | gone[True]
    share = share_by_age(stock, limits, now)
    return Planned(
        bare,
        tuple(sorted(gone[True])),
        reasons,
        plan.drop_history_before,
        plan.shortfall_bytes,
        share,
        plan.drop_events_before,
        plan.keep_history_share,
    )


def usage_of(rows: list[Row], database_bytes: int = 50_000) -> Usage:
    return Usage(database_bytes, 0, sum(each.artefact_bytes for each in rows))


def store_of(seed: int) -> list[Row]:
    """Up to forty incidents of four processes, some pinned, some summaries, up to 40 days old."""
    chance, rows = random.Random(seed), []
    for index in range(chance.choice((0, 1, 2, chance.randint(3, 40)))):
        is_summary = chance.random() < 0.5
        rows.append(
            Row(
                correlation_id=f"i{index}",
                process_name=chance.choice(["web", "db", "job", "\udcff=cmd\n"]),
                raised_at=NOW - timedelta(minutes=chance.choice((0, 1, chance.randint(0, 40 * 24 * 60)))),
                severity=chance.choice([1.0, 1.5, 2.0, 9.0]),
                pinned=chance.random() < 0.5,
                artefact_bytes=chance.randint(0, 900)
                if is_summary
                else chance.choice((0, chance.randint(1, 300_000))),
                is_summary=is_summary,
            )
        )
    return rows


# One number is drawn for each: to draw forty rows takes hypothesis far longer than to plan over them.
STORES = st.integers(0, 2**64).map(store_of)


def evidence(row: Row) -> int:
    """What is freed when the evidence goes: a summary's own file stays."""
    return 0 if row.is_summary else row.artefact_bytes


def gone(plan: Planned) -> set[str]:
    return {*plan.drop_evidence, *plan.delete_incidents}


def is_milder(left: Row, right: Row) -> bool:
    return (left.severity, left.raised_at) < (right.severity, right.raised_at)


@given(STORES)
def test_the_budget_is_kept_whenever_unpinned_evidence_suffices(rows: list[Row]) -> None:
    usage = usage_of(rows)
    plan = plan_retention(rows, usage, LIMITS, NOW)
    left = usage.total_bytes - sum(evidence(each) for each in rows if each.correlation_id in gone(plan))
    least = usage.total_bytes - sum(evidence(each) for each in rows if not each.pinned)
    assert left <= max(BUDGET, least)
    assert plan.shortfall_bytes <= max(0, left - BUDGET)


@given(STORES, st.booleans(), st.integers(0, 3))
def test_a_pinned_incident_never_goes(rows: list[Row], by_age: bool, pressure: int) -> None:
    tight = replace(LIMITS, max_total_bytes=1, min_free_disk_bytes=10**15)
    plan = plan_retention(rows, usage_of(rows), tight, NOW, by_age=by_age, pressure=pressure)
    assert gone(plan).isdisjoint(each.correlation_id for each in rows if each.pinned)


@given(STORES, st.integers(0, 5))
def test_no_worse_incident_of_a_process_goes_for_room_while_a_milder_one_keeps_its_evidence(
    rows: list[Row], pressure: int
) -> None:
    plan = plan_retention(rows, usage_of(rows, 200_000), LIMITS, NOW, by_age=False, pressure=pressure)
    holders = [each for each in rows if evidence(each) and not each.pinned]
    for worse in holders:
        for milder in holders:
            if worse.process_name == milder.process_name and is_milder(milder, worse):
                assert worse.correlation_id not in gone(plan) or milder.correlation_id in gone(plan)


@given(STORES)
def test_for_the_budget_the_mildest_of_all_processes_go_first(rows: list[Row]) -> None:
    plan = plan_retention(rows, usage_of(rows, 200_000), LIMITS, NOW, by_age=False)
    holders = [each for each in rows if evidence(each) and not each.pinned]
    taken = [each for each in holders if plan.reasons.get(each.correlation_id) == "budget"]
    kept = [each for each in holders if each.correlation_id not in gone(plan)]
    assert not any(is_milder(left, right) for left in kept for right in taken)


@given(STORES)
def test_nothing_goes_for_the_budget_beyond_what_was_needed(rows: list[Row]) -> None:
    usage = usage_of(rows)
    plan = plan_retention(rows, usage, LIMITS, NOW, by_age=False)
    by_id = {each.correlation_id: each for each in rows}
    taken = [by_id[name] for name, reason in plan.reasons.items() if reason == "budget"]
    if taken:
        last = max(taken, key=lambda each: (each.severity, each.raised_at, each.correlation_id))
        freed = sum(evidence(by_id[name]) for name in gone(plan))
        assert usage.total_bytes - freed + evidence(last) > BUDGET


@given(STORES)
def test_no_process_holds_more_than_its_quota_while_another_holds_evidence(rows: list[Row]) -> None:
    plan = plan_retention(rows, usage_of(rows), LIMITS, NOW, by_age=False)
    held: defaultdict[str, int] = defaultdict(int)
    pinned: defaultdict[str, int] = defaultdict(int)
    for each in rows:
        if evidence(each) and each.correlation_id not in gone(plan):
            held[each.process_name] += each.artefact_bytes
            pinned[each.process_name] += each.artefact_bytes if each.pinned else 0
    if len(held) > 1:
        assert all(size <= max(BUDGET // 2, pinned[name]) for name, size in held.items())


@given(STORES)
def test_age_takes_evidence_after_72_hours_and_the_summary_after_30_days(rows: list[Row]) -> None:
    roomy = replace(LIMITS, max_total_bytes=10**12, process_share=1.0)
    plan = plan_retention(rows, usage_of(rows), roomy, NOW)
    for each in rows:
        age = NOW - each.raised_at
        if each.pinned or age <= timedelta(hours=72):
            assert each.correlation_id not in gone(plan)
        elif age > timedelta(days=30):
            assert each.correlation_id in plan.delete_incidents
        else:
            assert (each.correlation_id in plan.drop_evidence) is not each.is_summary
    assert plan.drop_history_before == NOW - timedelta(days=30)
    assert plan.drop_events_before == NOW - timedelta(hours=72)


@pytest.mark.parametrize(("jump", "share"), [(timedelta(hours=1), 0.0), (timedelta(days=3650), 1.0)])
def test_the_share_that_age_would_take_is_told(jump: timedelta, share: float) -> None:
    rows = [row(f"i{index}", hours=index) for index in range(10)]
    assert plan_retention(rows, usage_of(rows), LIMITS, NOW + jump).share_of_all == share


def test_the_share_counts_bytes_as_well_as_incidents() -> None:
    """One old incident among ten, holding nearly all bytes, is more than half of everything."""
    rows = [row("old", hours=80, size=90_000), *(row(f"i{index}", size=100) for index in range(9))]
    plan = plan_retention(rows, usage_of(rows), LIMITS, NOW)
    assert plan.drop_evidence == ("old",)
    assert plan.share_of_all > 0.9


def test_a_process_that_floods_loses_its_own_mildest_and_leaves_the_others_alone() -> None:
    flood = [row(f"f{index}", process="flood", size=100_000, severity=index) for index in range(9)]
    other = row("other", process="quiet", severity=0.1, size=1000)
    plan = plan_retention([*flood, other], usage_of([*flood, other]), LIMITS, NOW)
    assert plan.drop_evidence == ("f0", "f1", "f2", "f3")
    assert set(plan.reasons.values()) == {"process quota"}


def test_the_free_disk_floor_takes_the_mildest_when_that_helps() -> None:
    rows = [row("bad", severity=9), row("mild", severity=1)]
    usage = replace(usage_of(rows), free_disk_bytes=500)
    plan = plan_retention(rows, usage, LIMITS, NOW)
    assert (plan.drop_evidence, plan.reasons) == (("mild",), {"mild": "free disk"})


def test_no_evidence_is_thrown_after_a_floor_that_cannot_be_restored() -> None:
    rows = [row("bad", severity=9), row("mild", severity=1)]
    hopeless = replace(LIMITS, min_free_disk_bytes=10**9)
    assert not gone(plan_retention(rows, replace(usage_of(rows), free_disk_bytes=0), hopeless, NOW))


def test_history_beyond_its_share_is_cut_at_the_old_end() -> None:
    """Twice the allowed size: half of its bytes go, the oldest, and more in each further round."""
    usage = Usage(database_bytes=500_000, wal_bytes=0, artefact_bytes=0)
    first = plan_retention([], usage, LIMITS, NOW)
    second = plan_retention([], usage, LIMITS, NOW, pressure=1)
    assert (first.keep_history_share, second.keep_history_share) == (0.5, 0.5 / 4)
    assert first.drop_history_before == NOW - timedelta(days=30), "for its age, whatever its size"


def test_history_keeps_its_length_when_the_clock_is_in_doubt() -> None:
    usage = Usage(database_bytes=500_000, wal_bytes=0, artefact_bytes=0)
    plan = plan_retention([], usage, LIMITS, NOW, by_age=False)
    assert (plan.drop_history_before, plan.keep_history_share) == (None, 1.0)


def test_a_database_too_big_by_itself_loses_history_first_and_summaries_only_then() -> None:
    rows = [row(f"s{index}", size=0, severity=index) for index in range(5)]
    usage = Usage(database_bytes=BUDGET + 5000, wal_bytes=0, artefact_bytes=0)
    first = plan_retention(rows, usage, LIMITS, NOW, by_age=False)
    assert first.keep_history_share < 1.0
    assert not first.delete_incidents
    later = plan_retention(rows, usage, LIMITS, NOW, by_age=False, pressure=PATIENCE)
    assert later.delete_incidents == ("s0", "s1")


def test_no_evidence_goes_for_a_history_that_has_grown_too_long() -> None:
    rows = [row("a"), row("b")]
    usage = usage_of(rows, database_bytes=BUDGET + 100_000)
    assert not gone(plan_retention(rows, usage, LIMITS, NOW))
