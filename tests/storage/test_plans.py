"""Capture plans in the state: kept whole, refused by name, read by whoever only reads."""

from __future__ import annotations

from contextlib import closing

import pytest

from monitord.errors import MonitordError, NotFoundError, StorageError, UsageError
from monitord.model import CapturePlan, Match, NamedPlan
from monitord.storage import SQLiteProfileStore, open_store
from monitord.storage.plans import (
    delete_capture_plan,
    get_capture_plan,
    list_capture_plans,
    store_capture_plan,
)
from monitord.storage.queries import StoreReader
from monitord.storage.state import StateUnavailableError, Storage, open_state

FULL = NamedPlan(
    "java-slow", Match(names=("java*",), users=("app",), units=("shop.service",)), "perf", 30.0, 50, "always"
)


@pytest.fixture(params=["store", "memory"])
def state(request: pytest.FixtureRequest, store: SQLiteProfileStore) -> Storage:
    return store.state if request.param == "store" else open_state("memory://")


@pytest.mark.parametrize("plan", [FULL, NamedPlan("x", consent="never"), NamedPlan("y.1", Match(), "none")])
def test_a_plan_comes_back_as_it_was_stored(state: Storage, plan: NamedPlan) -> None:
    """Every part of it, and what it leaves as configured stays None."""
    store_capture_plan(state, plan)
    assert get_capture_plan(state, plan.name) == plan


def test_plans_are_listed_by_name_beside_other_state(state: Storage) -> None:
    """The order of names is the order they are tried in; other keys are none of them."""
    state.set("retention", b"{}")
    for name in ("b", "a", "C"):
        store_capture_plan(state, NamedPlan(name, rate_hz=5))
    assert [plan.name for plan in list_capture_plans(state)] == ["C", "a", "b"]


def test_storing_again_replaces_and_deleting_removes(state: Storage) -> None:
    """One plan a name; what is gone is not found."""
    store_capture_plan(state, FULL)
    store_capture_plan(state, NamedPlan(FULL.name, rate_hz=5))
    assert get_capture_plan(state, FULL.name) == NamedPlan(FULL.name, rate_hz=5)
    delete_capture_plan(state, FULL.name)
    assert list_capture_plans(state) == []
    for ask in (get_capture_plan, delete_capture_plan):
        with pytest.raises(NotFoundError, match="java-slow"):
            ask(state, FULL.name)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (NamedPlan("", rate_hz=5), "invalid plan name"),
        (NamedPlan("../x", rate_hz=5), "invalid plan name"),
        (NamedPlan("x" * 65, rate_hz=5), "invalid plan name"),
        (NamedPlan("x"), "changes nothing"),
        (NamedPlan("x", Match(pids=(1,)), rate_hz=5), "not pids or not_names"),
        (NamedPlan("x", Match(names=("",)), rate_hz=5), "names"),
        (NamedPlan("x", Match(names=("a",) * 65), rate_hz=5), "at most 64"),
        (NamedPlan("x", profiler="gdb"), "py-spy"),
        (NamedPlan("x", consent="maybe"), "always or never"),
        (NamedPlan("x", duration_s=0.1), "0.5 to 300"),
        (NamedPlan("x", duration_s=float("nan")), "0.5 to 300"),
        (NamedPlan("x", rate_hz=0), "1 to 1000"),
        (NamedPlan("x", rate_hz=2.5), "whole number"),  # type: ignore[arg-type]  # what a caller may get wrong
    ],
)
def test_what_is_no_plan_is_refused_and_nothing_is_kept(state: Storage, plan: NamedPlan, words: str) -> None:
    """By what is wrong and what was expected."""
    with pytest.raises(UsageError, match=words):
        store_capture_plan(state, plan)
    assert state.keys() == []


@pytest.mark.parametrize(
    "kept", [b"", b"[]", b"{", b'{"rate_hz": "5"}', b'{"colour": 1}', b'{"match": {"names": "java"}}']
)
def test_a_damaged_plan_is_named_and_costs_only_itself(state: Storage, kept: bytes) -> None:
    """Others are still found when it is skipped; alone or in a list it says which one it is."""
    store_capture_plan(state, FULL)
    state.set("plan/broken", kept)
    for ask in (lambda: get_capture_plan(state, "broken"), lambda: list_capture_plans(state)):
        with pytest.raises(StorageError, match="broken"):
            ask()
    skipped: list[MonitordError] = []
    assert list_capture_plans(state, skip=skipped.append) == [FULL]
    assert len(skipped) == 1
    delete_capture_plan(state, "broken")
    assert list_capture_plans(state) == [FULL]


def test_a_reader_sees_plans_and_changes_none(store: SQLiteProfileStore) -> None:
    """The same functions on the read-only side; writing is refused."""
    store_capture_plan(store.state, FULL)
    with StoreReader(store.data_dir) as reader:
        assert list_capture_plans(reader.storage) == [get_capture_plan(reader.storage, FULL.name)] == [FULL]
        for change in (
            lambda: store_capture_plan(reader.storage, FULL),
            lambda: delete_capture_plan(reader.storage, FULL.name),
            lambda: reader.storage.delete(None),
            reader.storage.sweep,
        ):
            with pytest.raises(StateUnavailableError):
                change()
    assert list_capture_plans(store.state) == [FULL]


def test_what_a_plan_leaves_out_stays_as_configured() -> None:
    """Only what it names changes, and the result says who changed it."""
    configured = CapturePlan("auto", 10.0, 100)
    assert NamedPlan("x", rate_hz=5).applied_to(configured) == CapturePlan("auto", 10.0, 5, None, "x")
    assert FULL.applied_to(configured) == CapturePlan("perf", 30.0, 50, "always", "java-slow")


def test_what_would_not_be_read_again_is_not_kept(
    store: SQLiteProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One limit for writing and reading: what was kept comes back, one more is refused and changes nothing."""
    monkeypatch.setattr("monitord.storage.kept_plans._LIMIT_BYTES", 1000)
    kept: list[str] = []

    def keep_all() -> None:
        for number in range(50):
            store.keep_plan(NamedPlan(f"p{number}", rate_hz=5))
            kept.append(f"p{number}")

    with pytest.raises(UsageError, match=r"cannot keep so many capture plans: .* expected at most 1,000"):
        keep_all()
    assert [plan.name for plan in list_capture_plans(store.state)] == sorted(kept)
    store.close()
    for path in store.data_dir.glob("monitord.db*"):
        path.unlink()
    with closing(open_store(store.data_dir)) as again:
        assert [plan.name for plan in list_capture_plans(again.state)] == sorted(kept) != []
