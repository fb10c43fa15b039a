"""What every lifecycle policy must hold. A new policy joins by one line in EXAMPLES."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.storage.artefacts.lifecycle import (
    POLICIES,
    ArchiveAfter,
    FreeDiskFloor,
    LifecyclePolicy,
    MaxAge,
    MaxAgeBySeverity,
    MaxCount,
    MaxTotalBytes,
    QuotaPerTag,
    ShareWhenFull,
    Stock,
    Tagged,
    Verdict,
    is_pinned,
    judge,
)
from monitord.storage.artefacts.metadata import StorageMetadata

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)
PROFILE = {"kind": "profile"}

EXAMPLES: dict[str, LifecyclePolicy] = {
    "age": MaxAge(timedelta(hours=72), only=PROFILE),
    "age by severity": MaxAgeBySeverity({0.0: timedelta(hours=1), 2.0: timedelta(hours=100)}, only=PROFILE),
    "count": MaxCount(7, only=PROFILE),
    "total bytes": MaxTotalBytes(50_000, only=PROFILE),
    "share": ShareWhenFull(90_000, 20_000, only=PROFILE),
    "quota": QuotaPerTag("process", 20_000, only=PROFILE),
    "floor": FreeDiskFloor(90_000, only=PROFILE),
    "tag": Tagged(only=PROFILE),
    "archive": ArchiveAfter(timedelta(hours=24), only=PROFILE),
}
FOR_ROOM = ("count", "total bytes", "share", "quota", "floor")


def stock_of(seed: int) -> Stock:
    """Up to thirty items of three processes, some pinned, some archived, some of another kind."""
    chance, items = random.Random(seed), []
    for number in range(chance.choice((0, 1, 2, chance.randint(3, 30)))):
        tags = {
            "kind": chance.choice(["profile", "profile", "dump"]),
            "process": chance.choice(["web", "db", "\udcff=cmd\n"]),
            "severity": chance.choice(["0.5", "1.5", "2.0", "9", "nan", "high"]),
            "pinned": chance.choice(["", "0", "no", "yes"]),
        }
        if chance.random() < 0.5:
            del tags[chance.choice(sorted(tags))]
        created_at = NOW - timedelta(minutes=chance.choice((-60, 0, chance.randint(-60, 10_000))))
        size = chance.choice((0, 1, chance.randint(0, 30_000), chance.randint(0, 30_000)))
        archived_in = chance.choice([None, None, "s3"])
        item = StorageMetadata(
            f"k{number}", size, created_at, created_at, "", tags, stored_size=size, archived_in=archived_in
        )
        items.append(item)
    total = sum(item.stored_size for item in items) + chance.choice((0, chance.randint(0, 60_000)))
    return Stock.of(items, total, chance.choice((None, 0, chance.randint(0, 100_000))))


# One number is drawn for each: to draw thirty items took hypothesis far longer than to judge them by every policy.
STOCKS = st.integers(0, 2**64).map(stock_of)


def gone(verdict: Verdict) -> set[str]:
    return {decision.key for decision in (*verdict.archive, *verdict.delete)}


def judged(name: str, stock: Stock) -> Verdict:
    verdict = judge({name: EXAMPLES[name]}, stock, NOW)
    assert not verdict.broken
    return verdict


quickly = settings(max_examples=100, deadline=None)


def test_every_policy_has_an_example_here() -> None:
    assert {type(policy) for policy in EXAMPLES.values()} == set(POLICIES)


@quickly
@given(stock=STOCKS)
def test_a_pinned_item_never_goes(stock: Stock) -> None:
    pinned = {item.key for item in stock.items if is_pinned(item)}
    for name in EXAMPLES:
        assert gone(judged(name, stock)).isdisjoint(pinned), name


@quickly
@given(stock=STOCKS)
def test_what_does_not_carry_the_tags_is_left_alone(stock: Stock) -> None:
    others = {item.key for item in stock.items if item.tags.get("kind") != "profile"}
    for name in EXAMPLES:
        assert gone(judged(name, stock)).isdisjoint(others), name


@quickly
@given(stock=STOCKS, seed=st.integers())
def test_the_order_of_the_items_does_not_matter(stock: Stock, seed: int) -> None:
    items = list(stock.items)
    random.Random(seed).shuffle(items)
    shuffled = Stock.of(items, stock.total_bytes, stock.free_disk_bytes)
    for name in EXAMPLES:
        first, second = judged(name, stock), judged(name, shuffled)
        assert (first.archive, first.delete) == (second.archive, second.delete), name


@quickly
@given(stock=STOCKS)
def test_considering_changes_neither_the_policy_nor_what_it_answers_before(stock: Stock) -> None:
    """Pure: asked twice it says the same, and unasked it lets nothing go."""
    for name, policy in EXAMPLES.items():
        before = replace(policy)  # type: ignore[type-var]  # every policy here is a dataclass
        assert judged(name, stock) == judged(name, stock), name
        assert policy == before, name
        unasked = [item for item in stock.items if policy.should_delete(item) or policy.should_archive(item)]
        assert unasked == [], name


@quickly
@given(stock=STOCKS)
def test_nothing_more_goes_once_it_was_done(stock: Stock) -> None:
    for name in EXAMPLES:
        assert gone(judged(name, judged(name, stock).left)) == set(), name


@quickly
@given(stock=STOCKS)
def test_the_bytes_that_are_left_are_told_right(stock: Stock) -> None:
    for name in EXAMPLES:
        verdict = judged(name, stock)
        freed = sum(decision.stored_bytes for decision in (*verdict.archive, *verdict.delete))
        assert verdict.left.total_bytes == stock.total_bytes - freed, name
        if stock.free_disk_bytes is not None:
            assert verdict.left.free_disk_bytes == stock.free_disk_bytes + freed, name


@quickly
@given(stock=STOCKS)
def test_no_worse_one_of_a_process_goes_for_room_while_a_milder_one_stays(stock: Stock) -> None:
    def severity(item: StorageMetadata) -> float:
        text = item.tags.get("severity", "")
        return float(text) if text in ("0.5", "1.5", "2.0", "9") else 0.0

    for name in FOR_ROOM:
        doomed = gone(judged(name, stock))
        concerned = [
            item
            for item in stock.movable
            if item.tags.get("kind") == "profile" and (item.stored_size or name == "count")
        ]
        for worse in concerned:
            for milder in concerned:
                is_milder = (severity(milder), milder.created_at) < (severity(worse), worse.created_at)
                if is_milder and milder.tags.get("process") == worse.tags.get("process"):
                    assert worse.key not in doomed or milder.key in doomed, name


@quickly
@given(stock=STOCKS, jump=st.sampled_from([-400_000, -24, 24, 90_000]))
def test_a_policy_without_a_retention_period_does_not_look_at_the_clock(stock: Stock, jump: int) -> None:
    """Who does not trust the clock leaves out those that have one; no jump changes what the others say."""
    for name, policy in EXAMPLES.items():
        if policy.get_retention_period() is None:
            then = judge({name: policy}, stock, NOW + timedelta(hours=jump))
            assert gone(then) == gone(judged(name, stock)), name
