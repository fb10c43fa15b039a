"""An incident without evidence says why and what to type, in every form in which it is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from monitord.model import Threshold, TriggerMetric


@pytest.mark.parametrize("metric", list(TriggerMetric))
def test_an_incident_of_nobody_has_its_reason_and_its_fix_everywhere(
    metric, store, here, new_incident
) -> None:
    """Traffic or memory of no process: `recent`, `show`, `explain` and their JSON tell why nothing was taken."""
    made = new_incident(metric=metric, threshold=Threshold(1e6, "count"), name="unattributed")
    nobody = replace(made, alert=replace(made.alert, target=None), process=None, captures=(), history=())
    store.save_incident(nobody)
    shown = json.loads(here("show", "1", "--json").out)
    (step,) = shown["not_captured"]
    assert step["reason"].startswith("there is no process to profile: ")
    assert step["fix"]
    (capture,) = shown["captures"]
    assert (capture["reason"], capture["fix"]) == (step["reason"], step["fix"])
    told = here("show", "1").out
    assert step["reason"] in " ".join(told.split())
    assert f"fix: {step['fix']}" in told
    assert step["fix"] in " ".join(here("explain", "1").out.split())
    assert "no process" in here("recent").out


def test_a_rule_that_takes_no_profile_says_so(store, here, new_incident) -> None:
    made = new_incident()
    store.save_incident(replace(made, alert=replace(made.alert, profiler="none"), captures=()))
    (step,) = json.loads(here("show", "1", "--json").out)["not_captured"]
    assert "cpu-hog" in step["reason"]
    assert step["fix"]


@pytest.mark.parametrize("metric", [metric for metric in TriggerMetric if metric.is_machine_wide])
def test_root_is_not_told_to_become_root_where_the_machine_is_what_crossed_the_threshold(
    metric, store, here, new_incident
) -> None:
    made = new_incident(metric=metric, threshold=Threshold(1e6, "count"), name="no single process")
    store.save_incident(
        replace(made, alert=replace(made.alert, target=None), process=None, captures=(), history=())
    )
    assert "record as root" not in here("show", made.correlation_id).out
