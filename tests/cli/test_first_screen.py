"""The first screen of an incident answers the question: one sentence, then where the time went and what ran."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from monitord.cli.terminal import display_width
from monitord.model import BEFORE, SNAPSHOT, Capture, CaptureStatus, Cause, Incident, TriggerMetric
from tests.cli.conftest import Cli
from tests.cli.test_before import with_before

ROWS = tuple(
    (f"row {n}", "what speaks for it, in as many words as a line of a terminal has") for n in range(4)
)
CAUSE = Cause("tight loop", "83 % of its CPU time is spent in price_basket", "certain", "a lock", None, ROWS)


def incident(**changed: object) -> Incident:
    return replace(with_before(late=False), cause=CAUSE, **changed)  # type: ignore[arg-type]  # its own fields


def test_the_verdict_the_functions_and_what_ran_stand_on_the_first_screen_in_this_order(
    store, here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """80 columns and 24 lines, the prompt's own included."""
    monkeypatch.setenv("COLUMNS", "80")
    made = incident()
    store.save_incident(made)
    screen = here("show", made.correlation_id).out.splitlines()[:23]
    assert " ".join(screen[:2]) == (
        "python3 main.py: 83 % of its CPU time is spent in price_basket; tight loop (certain)"
    )
    found = [
        "\n".join(screen).rindex(text)
        for text in (
            made.correlation_id[:8],
            "Where the time went",
            "% ±10",
            "What ran before",
            " load_orders ",
        )
    ]
    assert found == sorted(found)


@pytest.mark.parametrize("metric", [TriggerMetric.CPU, TriggerMetric.MEMORY])
def test_the_page_goes_on_with_where_it_went_the_timeline_what_was_captured_and_the_rest(
    metric: TriggerMetric, store, here: Cli
) -> None:
    """What a cause rests on says where memory went; of CPU the functions do."""
    made = incident()
    store.save_incident(replace(made, alert=replace(made.alert, metric=metric)))
    page = here("show", made.correlation_id).out
    order = [
        "Where the time went", "What ran before the alert", "What was captured", "What speaks for it",
        "The alert", "Next",
    ]  # fmt: skip
    if metric is TriggerMetric.MEMORY:
        order.insert(0, order.pop(3))
    assert sorted(order, key=page.index) == order


@pytest.mark.parametrize("columns", [40, 60, 80])
@pytest.mark.parametrize("rule", ["cpu-hog", SNAPSHOT])
def test_what_explain_says_of_before_is_no_wider_than_the_terminal(
    columns: int, rule: str, store, here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    made = incident()
    store.save_incident(replace(made, alert=replace(made.alert, rule=rule)))
    lines = here("explain", made.correlation_id).out.splitlines()
    assert max(map(display_width, lines)) <= columns


def test_a_snapshot_knows_of_no_alert(store, here: Cli) -> None:
    """It was asked for by hand: nothing is `before the alert`, nothing `had begun`."""
    made = incident()
    alert = replace(made.alert, rule=SNAPSHOT, metric=TriggerMetric.MANUAL, window_s=60.0)
    captures = tuple(capture for capture in made.captures if capture.role == BEFORE)
    store.save_incident(replace(made, alert=alert, captures=captures, history=(), cause=None))
    page, told = here("show", made.correlation_id).out, here("explain", made.correlation_id).out
    assert "snapshot of 60 s, 97 % of one core" in page.splitlines()[1]
    assert "What ran (20 s, 1 s a step" in page
    assert "(from the black box: 263 samples)" in page
    assert "The black box saw it spend" in " ".join(told.split())
    later = replace(alert, raised_at=alert.raised_at + timedelta(minutes=2))
    again = replace(made, correlation_id="abcdefghijkl", alert=later, captures=captures, history=())
    store.save_incident(
        replace(again, captures=tuple(replace(one, started_at=later.raised_at) for one in captures))
    )
    told += here("explain", "abcdefghijkl").out
    for text in ("before the alert", "before it", "had begun", "The same rule fired"):
        assert text not in " ".join((page + told).split())


def test_a_process_in_a_causes_evidence_keeps_its_name(store, here: Cli) -> None:
    """`python` is a process, and no `Python` at the beginning of a sentence."""
    cause = Cause("process starts", "children", "likely", None, None, (("python", "ended children 39 %"),))
    made = replace(incident(), cause=cause)
    store.save_incident(made)
    assert "\npython: ended children 39 %." in here("explain", made.correlation_id).out


@pytest.mark.parametrize(
    ("others", "said"), [(1, "was another incident: "), (5, "were 5 other incidents, such as ")]
)
def test_what_happened_beside_it_is_one_sentence(others: int, said: str, store, here: Cli) -> None:
    made = incident()
    store.save_incident(made)
    for _ in range(others):
        store.save_incident(incident())
    sentences = json.loads(here("explain", made.correlation_id, "--json").out)["sentences"]
    (sentence,) = (one for one in sentences if "Within five minutes" in one["text"])
    assert said in sentence["text"]
    assert len(sentence["evidence"]) == min(others, 3)


@pytest.mark.parametrize("has_before", [True, False])
def test_that_a_process_was_gone_is_no_loss_where_the_box_has_what_it_ran(
    has_before: bool, store, here: Cli
) -> None:
    made = incident()
    gone = Capture(
        role="profile", profiler="auto", status=CaptureStatus.TARGET_GONE, target=made.captures[0].target,
        started_at=made.alert.raised_at, duration_s=0.0, reason="cannot find process 4321",
    )  # fmt: skip
    held = [capture for capture in made.captures if capture.role == BEFORE] if has_before else []
    store.save_incident(replace(made, captures=(*held, gone)))
    assert ("cannot find process" in here("show", made.correlation_id).out) is not has_before
    assert "cannot find process" in here("explain", made.correlation_id).out


def test_one_reason_is_told_once_whatever_steps_it_stood_in_the_way_of(store, here: Cli) -> None:
    """First look and profile of a process that is gone, then a limit that is a fact of its own."""
    made = incident()
    limit = "this rule's limit of 6 captures an hour is reached"
    steps = [
        Capture(
            role=role, profiler=tool, status=status, target=made.captures[0].target,
            started_at=made.alert.raised_at, duration_s=0.0, reason=reason,
        )
        for role, tool, status, reason in (
            ("profile", "auto", CaptureStatus.TARGET_GONE, "cannot find process 4321"),
            ("dump", "none", CaptureStatus.TARGET_GONE, "cannot find process 4321"),
            ("before", "none", CaptureStatus.REFUSED, limit),
        )
    ]  # fmt: skip
    alert = replace(made.alert, suppressed_by=limit)
    store.save_incident(replace(made, alert=alert, captures=tuple(steps)))
    page = here("show", made.correlation_id).out
    missing = page[page.index("What could not be captured") : page.index("What speaks for it")].splitlines()[
        1:-1
    ]
    assert missing == ["  profile    target gone: cannot find process 4321"]
    assert page.count(limit) == 1
    told = " ".join(here("explain", made.correlation_id).out.split())
    assert told.count("cannot find process 4321") == 1
