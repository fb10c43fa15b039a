"""Which plan a process gets, and how seldom the daemon looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from monitord.capture import Consent
from monitord.model import CapturePlan, DetectionResult, Match, NamedPlan, ProcessDetails
from monitord.recorder.capture_plans import Planner
from monitord.storage import SQLiteProfileStore
from monitord.storage.plans import delete_capture_plan, store_capture_plan
from tests.fakes import KEY, START, a_process, an_alert, some_rates
from tests.pipeline.test_pipeline import Stage

CONFIGURED = CapturePlan(duration_s=3)
PROCESS = ProcessDetails(KEY, "java", 1, START, uid=1000, user="app", unit="shop.service")


@pytest.fixture
def planner(store: SQLiteProfileStore) -> Planner:
    return Planner(store.data_dir, lambda: {"app": 1000})


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (Match(), True),
        (Match(names=("ja*",)), True),
        (Match(names=("python*", "java")), True),
        (Match(users=("app",)), True),
        (Match(users=("1000",), units=("shop.*",)), True),
        (Match(names=("JAVA",)), False),
        (Match(users=("root",)), False),
        (Match(names=("java",), units=("mail.service",)), False),
    ],
)
def test_a_plan_is_for_whom_it_matches(
    store: SQLiteProfileStore, planner: Planner, match: Match, hits: bool
) -> None:
    """Every list that is given must hit, as in a rule."""
    store_capture_plan(store.state, NamedPlan("one", match, rate_hz=7))
    adapted = planner.adapt(CONFIGURED, lambda: PROCESS)
    assert (adapted.rate_hz == 7, adapted.named) == (hits, "one" if hits else None)


def test_the_first_by_name_counts_and_a_change_is_seen_at_once(
    store: SQLiteProfileStore, planner: Planner
) -> None:
    """Set, overtaken by an earlier name, deleted: each next question has the new answer."""
    assert planner.adapt(CONFIGURED, lambda: PROCESS) == CONFIGURED
    store_capture_plan(store.state, NamedPlan("b", rate_hz=7))
    assert planner.adapt(CONFIGURED, lambda: PROCESS).named == "b"
    store_capture_plan(store.state, NamedPlan("a", duration_s=1.0))
    assert planner.adapt(CONFIGURED, lambda: PROCESS) == replace(CONFIGURED, duration_s=1.0, named="a")
    delete_capture_plan(store.state, "a")
    assert planner.adapt(CONFIGURED, lambda: PROCESS).named == "b"


def test_a_process_nobody_could_describe_is_profiled_as_configured(
    store: SQLiteProfileStore, planner: Planner
) -> None:
    """And without plans nobody is described at all."""
    described: list[int] = []

    def describe() -> None:
        described.append(1)

    assert planner.adapt(CONFIGURED, describe) == CONFIGURED
    assert described == []
    store_capture_plan(store.state, NamedPlan("all", rate_hz=7))
    assert planner.adapt(CONFIGURED, describe) == CONFIGURED
    assert described == [1]


def test_plans_last_seen_hold_while_the_store_cannot_be_read(
    store: SQLiteProfileStore, planner: Planner
) -> None:
    """A "never" must not end because a disk does."""
    store_capture_plan(store.state, NamedPlan("quiet", consent="never"))
    assert planner.adapt(CONFIGURED, lambda: PROCESS).consent == "never"
    store.close()
    store.database.rename(store.database.with_suffix(".away"))
    assert planner.adapt(CONFIGURED, lambda: PROCESS).consent == "never"


def test_one_damaged_plan_does_not_cost_the_others(store: SQLiteProfileStore, planner: Planner) -> None:
    """It is skipped."""
    store.state.set("plan/a", b"{")
    store_capture_plan(store.state, NamedPlan("b", rate_hz=7))
    assert planner.adapt(CONFIGURED, lambda: PROCESS).named == "b"


def test_a_pass_asks_for_no_plan(store: SQLiteProfileStore, planner: Planner, tmp_path: Path) -> None:
    """Forty passes with nothing wrong: not one look at the plans. One alert: one look, and it is used."""
    store_capture_plan(store.state, NamedPlan("all", rate_hz=7))
    passes = [some_rates(2 * number, [a_process()]) for number in range(41)]
    verdicts = [*[DetectionResult()] * 40, DetectionResult(alerts=(an_alert(),))]
    stage = Stage(tmp_path, passes, verdicts, lambda plan, process: planner.adapt(plan, lambda: process))
    for _ in range(40):
        stage.pipeline.run_pass()
    assert planner.reads == 0
    stage.run(1)
    assert planner.reads == 1
    assert stage.captures.asked == [(KEY, replace(CONFIGURED, rate_hz=7, named="all"))]
    assert {capture.notes.get("plan") for capture in stage.saved[-1].captures[1:]} == {"all"}


@pytest.mark.parametrize(
    ("consent", "plan", "refused"),
    [
        (Consent("listed"), "always", None),
        (Consent("never"), "always", None),
        (Consent("auto", deny=("java",)), "always", "deny list"),
        (Consent("never", deny=("java",)), "always", "deny list"),
        (Consent("auto"), "never", "capture plan 'p'"),
        (Consent("listed"), None, "not on the list"),
        (Consent("never"), None, "switched off"),
    ],
)
def test_a_plan_stands_in_for_the_mode_and_for_no_deny_list(
    consent: Consent, plan: str | None, refused: str | None
) -> None:
    """Always: whatever the mode, less the deny list. Never: not. None: as configured."""
    answer = consent.refusal("java", "/usr/bin/java", CapturePlan(consent=plan, named="p"))
    assert (answer is None) if refused is None else (answer is not None and refused in answer[0])
