"""What each policy lets go, what several decide together, and that one item's trouble stays its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.errors import StorageError
from monitord.scheduling import ScheduledTask, SchedulerError, TaskResult, TaskScheduler
from monitord.storage.artefacts.errors import ArtefactError, TransientError
from monitord.storage.artefacts.lifecycle import (
    ArchiveAfter,
    ArtefactInventory,
    FreeDiskFloor,
    Item,
    LifecycleError,
    LifecycleManager,
    LifecyclePolicy,
    MaxAge,
    MaxAgeBySeverity,
    MaxCount,
    MaxTotalBytes,
    QuotaPerTag,
    Stock,
    Tagged,
    judge,
)
from monitord.storage.artefacts.manager import StorageManager
from monitord.storage.artefacts.metadata import StorageMetadata
from monitord.storage.artefacts.providers.memory import MemoryStorageProvider

NOW = datetime(2026, 5, 4, 3, 0, tzinfo=UTC)


def item(
    key: str, *, hours: float = 1, size: int = 1000, severity: float = 1, **tags: str
) -> StorageMetadata:
    created_at = NOW - timedelta(hours=hours)
    held = {"severity": str(severity), **tags}
    return StorageMetadata(key, size, created_at, created_at, "", held, stored_size=size)


def deleted(policy: LifecyclePolicy, *items: StorageMetadata, free: int | None = None) -> list[str]:
    stock = Stock.of(items, sum(each.stored_size for each in items), free)
    return [decision.key for decision in judge({"it": policy}, stock, NOW).delete]


# ------------------------------------------------------------------------------------ policies


def test_age_takes_what_is_older_and_not_what_is_as_old() -> None:
    policy = MaxAge(timedelta(hours=72))
    assert deleted(policy, item("old", hours=73), item("edge", hours=72), item("future", hours=-5)) == ["old"]


def test_the_mild_go_sooner() -> None:
    policy = MaxAgeBySeverity({0: timedelta(hours=1), 2: timedelta(hours=10)})
    mild, bad = item("mild", hours=5, severity=1.9), item("bad", hours=5, severity=2)
    old, unjudged = item("old", hours=11, severity=9), item("below", hours=99, severity=-1)
    assert deleted(policy, bad, mild, old, unjudged) == ["mild", "old"]
    assert policy.get_retention_period() == timedelta(hours=10)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20), st.integers(0, 12))
def test_a_count_is_kept_or_all_that_may_go_is_gone(facts: list[tuple[int, bool]], most: int) -> None:
    items = [
        item(f"k{number}", severity=severity, pinned="yes" if pinned else "no")
        for number, (severity, pinned) in enumerate(facts)
    ]
    left = len(items) - len(deleted(MaxCount(most), *items))
    assert left == max(min(most, len(items)), sum(pinned for _severity, pinned in facts))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 3), st.booleans()), max_size=20),
    st.integers(0, 5000),
)
def test_the_budget_holds_or_all_that_may_go_is_gone_and_nothing_goes_in_vain(
    facts: list[tuple[int, int, bool]], most: int
) -> None:
    items = [
        item(f"k{number}", size=size, severity=severity, pinned="yes" if pinned else "no")
        for number, (size, severity, pinned) in enumerate(facts)
    ]
    sizes = {each.key: each.stored_size for each in items}
    gone = deleted(MaxTotalBytes(most), *items)
    left = sum(sizes.values()) - sum(sizes[key] for key in gone)
    assert left <= max(most, sum(size for size, _severity, pinned in facts if pinned))
    if gone:
        assert left + sizes[gone[-1]] > most


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 900), st.booleans()), max_size=20))
def test_nobody_holds_more_than_the_quota_while_another_holds_something(
    facts: list[tuple[str, int, bool]],
) -> None:
    items = [
        item(f"k{number}", size=size, process=process, pinned="yes" if pinned else "no")
        for number, (process, size, pinned) in enumerate(facts)
    ]
    gone = deleted(QuotaPerTag("process", 1000), *items)
    held, fixed = defaultdict[str, int](int), defaultdict[str, int](int)
    for each in items:
        if each.stored_size and each.key not in gone:
            held[each.tags["process"]] += each.stored_size
            fixed[each.tags["process"]] += each.stored_size if each.tags["pinned"] == "yes" else 0
    if len({each.tags["process"] for each in items if each.stored_size}) > 1:
        assert all(size <= max(1000, fixed[process]) for process, size in held.items())
    else:
        assert gone == []


def test_nothing_is_thrown_after_a_floor_that_can_not_be_had() -> None:
    mild, bad = item("mild"), item("bad", severity=9)
    assert deleted(FreeDiskFloor(1500), bad, mild, free=500) == ["mild"]
    assert deleted(FreeDiskFloor(9000), bad, mild, free=500) == []
    assert deleted(FreeDiskFloor(9000), bad, mild, free=None) == []


def test_a_tag_policy_without_a_tag_is_refused() -> None:
    """It would delete everything."""
    with pytest.raises(ValueError, match="must name one"):
        Tagged()
    assert deleted(Tagged(only={"run": "7"}), item("a", run="7"), item("b", run="8"), item("c")) == ["a"]


# ------------------------------------------------------------------------------------ together


def test_a_policy_sees_what_those_before_it_leave() -> None:
    """What goes by age makes the room; nothing more goes for it."""
    items = (item("old", hours=80, severity=9), item("mild"), item("bad", severity=5))
    policies = {"age": MaxAge(timedelta(hours=72)), "budget": MaxTotalBytes(2000)}
    verdict = judge(policies, Stock.of(items, 3000), NOW)
    assert [(each.key, each.policy) for each in verdict.delete] == [("old", "age")]
    policies["budget"] = MaxTotalBytes(1999)
    verdict = judge(policies, Stock.of(items, 3000), NOW)
    assert [(each.key, each.policy) for each in verdict.delete] == [("old", "age"), ("mild", "budget")]


def test_what_is_archived_makes_room_and_what_is_deleted_is_not_archived_first() -> None:
    items = (item("older", hours=80), item("old", hours=30), item("new"))
    policies = {
        "archive": ArchiveAfter(timedelta(hours=24)),
        "age": MaxAge(timedelta(hours=72)),
        "budget": MaxTotalBytes(1000),
    }
    verdict = judge(policies, Stock.of(items, 3000), NOW)
    assert [each.key for each in verdict.archive] == ["old"]
    assert [each.key for each in verdict.delete] == ["older"]
    assert judge(policies, verdict.left, NOW).archive == ()


class Raising(MaxAge):
    def should_delete(self, item: Item) -> bool:
        raise RuntimeError("no idea")


def test_a_policy_that_raises_stops_no_other_and_is_named() -> None:
    policies = {"broken": Raising(timedelta(0)), "age": MaxAge(timedelta(hours=72))}
    inventory = Shelf([item("old", hours=80), item("new")])
    report = LifecycleManager(policies, inventory).apply_policies(NOW)
    assert (sorted(inventory.items), dict(report.broken)) == (["new"], {"broken": "RuntimeError: no idea"})
    assert not report.is_fine
    assert "broken" in report.summary()


# ------------------------------------------------------------------------------------ carrying out


@dataclass
class Shelf:
    """An inventory in memory; `stuck` items say no, each in its own words, or all in the same."""

    of: Sequence[StorageMetadata]
    stuck: frozenset[str] = frozenset()
    says: str = "{key} is stuck"
    error: type[Exception] = StorageError
    calls: int = 0
    archived: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.items = {each.key: each for each in self.of}

    def stock(self) -> Stock:
        return Stock.of(self.items.values(), sum(each.stored_size for each in self.items.values()))

    def archive(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._touch(key)
            self.archived.append(key)

    def delete(self, keys: Sequence[str]) -> None:
        self.calls += 1
        for key in keys:
            self._touch(key)
            self.items.pop(key, None)

    def _touch(self, key: str) -> None:
        if key in self.stuck:
            raise self.error(self.says.format(key=key))


def everything(count: int = 50) -> list[StorageMetadata]:
    return [item(f"k{number:02}", hours=number + 1) for number in range(count)]


ALL = {"age": MaxAge(timedelta(0))}


def test_an_item_that_can_not_go_is_reported_and_the_rest_goes() -> None:
    shelf = Shelf(everything(), frozenset({"k07", "k30", "k31", "k49"}))
    report = LifecycleManager(ALL, shelf).apply_policies(NOW)
    assert set(shelf.items) == shelf.stuck == {failure.key for failure in report.failures}
    assert len(report.deleted) == 46
    assert {str(failure.error) for failure in report.failures} == {f"{key} is stuck" for key in shelf.stuck}
    assert all(failure.is_tried and failure.policy == "age" for failure in report.failures)
    assert report.left.total_bytes == shelf.stock().total_bytes
    assert "4 could not go" in report.summary()


def test_a_sick_store_is_not_asked_ten_thousand_times() -> None:
    """A locked database says the same of every item: after a batch and two items, nobody waits for more."""
    shelf = Shelf(everything(500), frozenset(each.key for each in everything(500)), says="locked")
    report = LifecycleManager(ALL, shelf).apply_policies(NOW)
    assert shelf.calls == 3
    assert len(report.failures) == 500
    assert sum(failure.is_tried for failure in report.failures) == 2


def test_an_archive_that_is_away_keeps_nothing_else_from_going() -> None:
    """What is worth another try is tried for each: one remote provider's items may stand next to local ones."""
    away = frozenset(f"k{number:02}" for number in range(20, 40))
    shelf = Shelf(everything(), away, says="time ran out", error=TransientError)
    LifecycleManager(ALL, shelf).apply_policies(NOW)
    assert set(shelf.items) == away


def test_what_could_not_be_archived_stays_and_the_next_pass_takes_it() -> None:
    shelf = Shelf(everything(3), frozenset({"k01"}))
    manager = LifecycleManager({"archive": ArchiveAfter(timedelta(0))}, shelf)
    report = manager.apply_policies(NOW)
    assert {decision.key for decision in report.archived} == {"k00", "k02"}
    assert [failure.key for failure in report.failures] == ["k01"]
    assert len(shelf.items) == 3
    shelf.stuck = frozenset()
    assert manager.apply_policies(NOW).is_fine


def test_a_dry_run_tells_what_the_real_one_does_and_touches_nothing() -> None:
    shelf = Shelf(everything())
    manager = LifecycleManager({"count": MaxCount(10)}, shelf)
    foretold = manager.apply_policies(NOW, dry_run=True)
    assert (shelf.calls, len(shelf.items), foretold.is_dry_run) == (0, 50, True)
    assert foretold.summary() == "would archive 0 and delete 40"
    done = manager.apply_policies(NOW)
    assert (done.deleted, done.left) == (foretold.deleted, foretold.left)


def test_a_bug_in_an_inventory_is_not_taken_for_an_item_that_can_not_go() -> None:
    with pytest.raises(ZeroDivisionError):
        LifecycleManager(
            ALL, Shelf(everything(2), frozenset({"k00"}), error=ZeroDivisionError)
        ).apply_policies(NOW)


class Unreadable(Shelf):
    def stock(self) -> Stock:
        raise StorageError("no such folder")


def test_what_can_not_be_seen_is_one_error() -> None:
    with pytest.raises(LifecycleError, match="no such folder"):
        LifecycleManager(ALL, Unreadable([])).apply_policies(NOW)


# ------------------------------------------------------------------------------------ over a provider


def test_artefacts_of_a_real_provider_go_by_age_count_and_tag() -> None:
    provider = MemoryStorageProvider()
    clock = [NOW - timedelta(hours=100)]
    manager = StorageManager(provider, now=lambda: clock[0])
    manager.store_data("old", b"x" * 100)
    manager.store_data("kept", b"x" * 100, tags={"pinned": "yes"})
    clock[0] = NOW
    manager.store_data("new", b"x" * 100)
    manager.store_data("doomed", b"x" * 100, tags={"run": "7"})
    policies = {"age": MaxAge(timedelta(hours=72)), "run": Tagged(only={"run": "7"})}
    report = LifecycleManager(policies, ArtefactInventory(provider)).apply_policies(NOW)
    assert {(each.key, each.policy) for each in report.deleted} == {("old", "age"), ("doomed", "run")}
    assert list(manager.list()) == ["kept", "new"]
    assert report.left.total_bytes == sum(manager.get_metadata(key).stored_size for key in manager.list())


def test_without_an_archive_nothing_is_archived_and_it_says_so() -> None:
    provider = MemoryStorageProvider()
    StorageManager(provider, now=lambda: NOW - timedelta(days=9)).store_data("old", b"x")
    policies = {"archive": ArchiveAfter(timedelta(hours=1))}
    report = LifecycleManager(policies, ArtefactInventory(provider)).apply_policies(NOW)
    assert isinstance(report.failures[0].error, ArtefactError)
    assert "no archive" in report.summary()
    assert list(provider.list()) == ["old"]


# ------------------------------------------------------------------------------------ tasks


class State:
    def __init__(self) -> None:
        self.held: dict[str, object] = {}

    def get_state(self, key: str) -> object:
        return self.held.get(key)

    def set_state(self, key: str, value: object) -> None:
        self.held[key] = value


def test_a_lifecycle_is_a_task_of_its_scheduler() -> None:
    """It runs when it is due, not before, and what came of it is remembered."""
    shelf = Shelf(everything(), frozenset({"k01"}))
    scheduler = TaskScheduler([], State())
    LifecycleManager({"count": MaxCount(0)}, shelf, scheduler, every_s=3600)
    outcome, *_ = scheduler.execute_tasks(NOW, uptime_s=0)
    assert (outcome.name, outcome.outcome) == ("lifecycle", "failed")
    assert list(shelf.items) == ["k01"]
    assert scheduler.execute_tasks(NOW + timedelta(minutes=59), uptime_s=0) == []
    shelf.stuck = frozenset()
    outcome, *_ = scheduler.execute_tasks(NOW + timedelta(minutes=61), uptime_s=0)
    assert (outcome.outcome, shelf.items) == ("ok", {})
    assert scheduler.table()["lifecycle"]["outcome"] == "ok"


def test_a_name_is_scheduled_once_and_a_task_must_rest() -> None:
    task = ScheduledTask("a", 60, 0, run=lambda _now: TaskResult("ok", ""))
    scheduler = TaskScheduler([task], State())
    with pytest.raises(SchedulerError, match="already"):
        scheduler.schedule_task(task)
    with pytest.raises(SchedulerError, match="every 0 s"):
        scheduler.schedule_task(ScheduledTask("b", 0, 0, run=task.run))
