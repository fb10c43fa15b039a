"""What a rule is said to fire at is where it fires: the level itself breaks it, and the words include it."""

from __future__ import annotations

import json

import pytest

from monitord.detection import reasons
from monitord.detection.conditions import condition_of
from monitord.detection.growth import Climb
from monitord.detection.windows import Window
from monitord.export.units import quantity
from monitord.model import METRIC_UNITS, Rule, Threshold, TriggerMetric
from tests.detection.timelines import START

LEVELS = {"percent": "7", "bytes": '"7MiB"', "bytes_per_s": '"7MB/s"', "seconds": "7", "count": "7"}
KINDS = [
    (metric, unit)
    for metric, units in METRIC_UNITS.items()
    for unit in units
    if metric is not TriggerMetric.MANUAL
]


def side_of(metric: TriggerMetric) -> tuple[str, str]:
    return ("below", "at most") if metric is TriggerMetric.FREE_MEMORY else ("above", "at least")


@pytest.mark.parametrize(("metric", "unit"), KINDS, ids=str)
def test_a_list_of_rules_names_the_level_as_it_is_compared(metric, unit, here, tmp_path) -> None:
    key, words = side_of(metric)
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[[rules]]\nname = "mine"\nmetric = "{metric}"\n{key} = {LEVELS[unit]}\n')
    listed = json.loads(here("rules", "list", "--json", "--config", str(rules)).out)
    level = next(rule for rule in listed if rule["name"] == "mine")[key]["value"]
    condition = condition_of(Rule("mine", metric, **{key: Threshold(level, unit)}))
    assert condition.is_broken(level, level)
    assert f"{words} 7" in here("rules", "list", "--config", str(rules)).out


@pytest.mark.parametrize(("metric", "unit"), KINDS, ids=str)
def test_a_reason_names_the_level_as_it_was_compared(metric, unit) -> None:
    """A kill for lack of memory has no level to name: each is one too many."""
    key, words = side_of(metric)
    condition = condition_of(Rule("mine", metric, **{key: Threshold(7.0, unit)}))
    for said in sentences(condition, metric):
        assert f"{words} {reasons.quantity(7.0, unit)}" in said
        assert "above" not in said
        assert "below" not in said


def sentences(condition, metric) -> list[str]:
    """Every sentence that an alert of this metric can have."""
    if metric is TriggerMetric.OOM_KILL:
        return []
    if metric is TriggerMetric.SHORT_SPIKE:
        return [reasons.spiked("it", 7.0, condition, 7.0)]
    if metric is TriggerMetric.HANG:
        return [reasons.hung("it", 7.0, 7.0)]
    if metric.endswith("_growth"):
        return [reasons.grown("it", condition, Climb(0.0, 7.0, 7.0, 1.0, True), 7.0, None)]
    window = Window(0.0, START, 0.0)
    window.add(5.0, START, 7.0, True)
    said = [reasons.held("it", condition, window, 7.0)]
    window.add(10.0, START, 6.0, False)
    said.append(reasons.held("it", condition, window, 7.0))
    if metric is TriggerMetric.MEMORY:
        said.append(reasons.disappeared("it", condition, window, 7.0, None))
    return said


@pytest.mark.parametrize("count", [50.0, 999.0, 1955.0, 2_345_678.0])
def test_a_count_is_written_alike_in_a_reason_and_in_a_table(count: float) -> None:
    """`recent` said 1,955 of what the reason called 1955."""
    assert reasons.quantity(count, "count") == quantity(count, "count")
