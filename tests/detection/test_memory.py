"""What survives a restart, and what a wall clock that jumped in between can do to it: little."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.detection import Detector
from monitord.model import Alert, Threshold, TriggerMetric
from tests.detection.timelines import BURNER, CPU_HOG, draw, passed, process, seconds, verdicts

SPIKE = replace(CPU_HOG, above=Threshold(20, "percent"), clear_level=None, times_baseline=3.0)


def remembered(timeline: str, rule: object = CPU_HOG) -> dict[str, object]:
    detector = Detector([rule])  # type: ignore[list-item]  # rules only
    verdicts(detector, draw(timeline))
    memory: dict[str, object] = json.loads(json.dumps(detector.remember()))
    return memory


def after(memory: Mapping[str, object], timeline: str, *, start_s: float, wall_s: float = 0) -> list[Alert]:
    """Alerts of a detector with that memory, whose wall clock is off by `wall_s`; a new monotonic clock."""
    passes = (
        replace(rates, taken_at=rates.taken_at + timedelta(seconds=wall_s), monotonic_s=7 + i * 2.0)
        for i, rates in enumerate(draw(timeline, start_s=start_s))
    )
    detector = Detector([CPU_HOG], memory)
    return [alert for rates in passes for alert in detector.judge(rates).alerts]


def test_a_restart_in_the_middle_of_a_cooldown_does_not_fire_again() -> None:
    memory = remembered("0 95*6 20")  # cooling down from 14 s on
    (alert,) = after(memory, "95*6", start_s=100)
    assert "cooling down" in (alert.suppressed_by or "")
    (alert,) = after(memory, "95*6", start_s=700)
    assert alert.suppressed_by is None


def test_a_restart_while_firing_does_not_fire_again_however_long_it_took() -> None:
    memory = remembered("0 95*6")
    assert after(memory, "95*20", start_s=20) == []
    assert after(memory, "95*20", start_s=90_000) == []


def test_a_first_pass_that_is_a_gap_keeps_the_episode() -> None:
    """The sampler's first pass after a start proves nothing, and forgets nothing."""
    assert after(remembered("0 95*6"), "gap 95*20", start_s=20) == []


@pytest.mark.parametrize("wall_s", [-3600, -86_400 * 365 * 50, -1])
def test_a_clock_set_back_neither_ends_nor_extends_a_cooldown(wall_s: float) -> None:
    memory = remembered("0 95*6 20")
    said = after(memory, "20 95*6 20*300 95*6", start_s=16, wall_s=wall_s)
    assert [alert.suppressed_by is None for alert in said] == [False, True]


def test_a_clock_set_forward_can_only_end_a_cooldown() -> None:
    said = after(remembered("0 95*6 20"), "20 95*6", start_s=16, wall_s=86_400 * 3650)
    assert [alert.suppressed_by for alert in said] == [None]


def test_a_restored_cooldown_is_never_longer_than_the_rule_says() -> None:
    memory = remembered("0 95*6 20")
    memory["rules"]["cpu-hog"]["targets"][0]["cooling_s"] = 1e12  # type: ignore[index]
    said = after(memory, "20*299 95*6", start_s=16)
    assert [alert.suppressed_by for alert in said] == [None]


def test_the_grants_of_the_last_hour_are_remembered() -> None:
    rule = replace(CPU_HOG, captures_per_hour=1)
    detector = Detector([rule], remembered("0 95*6 x", rule))
    other = process(replace(BURNER, pid=9), cpu_percent=95.0)
    said = [alert for i in range(8) for alert in detector.judge(passed([other], 20 + 2 * i)).alerts]
    assert ["limit" in (alert.suppressed_by or "") for alert in said] == [True]


def test_high_water_marks_are_remembered() -> None:
    said = after(remembered("0 100*6 20"), "140*6 20 160*7", start_s=16)
    assert [alert.suppressed_by is None for alert in said] == [False, True]


def test_baselines_are_remembered_whatever_the_name() -> None:
    """Names of any bytes go through JSON, UTF-8 included."""
    detector = Detector([SPIKE])
    verdicts(detector, draw("10*40", name="né\udcff\n"))
    text = json.dumps(detector.remember(), ensure_ascii=False).encode("utf-8")
    again = Detector([SPIKE], json.loads(text))
    said = verdicts(again, draw("50*6", start_s=80, name="né\udcff\n"))
    assert len(said[-1].alerts) == 1


def test_a_rule_that_watches_something_else_now_remembers_nothing() -> None:
    memory = remembered("0 95*6")
    rule = replace(CPU_HOG, metric=TriggerMetric.DISK_IO, above=Threshold(1, "bytes_per_s"), clear_level=None)
    detector = Detector([rule], memory)
    assert [status.state for status in detector.explain()] == ["quiet"]


def test_what_was_restored_and_never_met_again_is_dropped() -> None:
    detector = Detector([CPU_HOG], remembered("0 95*6"))
    other = process(replace(BURNER, pid=9))
    verdicts(detector, (passed([other], 20 + 2 * i, is_complete=False) for i in range(310)))
    assert json.loads(json.dumps(detector.remember()))["rules"]["cpu-hog"]["targets"] == []


def test_a_memory_is_not_lost_by_a_restart_before_the_first_pass() -> None:
    memory = remembered("0 95*6 20")
    assert Detector([CPU_HOG], Detector([CPU_HOG], memory).remember()).remember() == memory


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_a_damaged_memory_is_left_out_not_believed(rules: object, targets: object, baselines: object) -> None:
    base = {"version": 1, "saved_at": "2026-03-01T03:00:00+00:00"}
    rule = {"metric": "cpu", "granted_ages_s": targets, "targets": targets}
    for memory in ({**base, "rules": rules, "baselines": baselines}, {**base, "rules": {"cpu-hog": rule}}):
        detector = Detector([CPU_HOG], memory)
        assert len(verdicts(detector, draw("0 95*6"))) == 7


@pytest.mark.parametrize("saved_at", [None, "", "yesterday", "2026-03-01T03:00:00", 5])
def test_a_memory_without_its_time_is_not_used(saved_at: object) -> None:
    memory = {**remembered("0 95*6"), "saved_at": saved_at}
    assert len(after(memory, "95*6", start_s=20)) == 1


def test_replacing_rules_keeps_what_did_not_change_and_drops_the_rest() -> None:
    other = replace(CPU_HOG, name="other")
    detector = Detector([CPU_HOG, other])
    verdicts(detector, draw("0 95*4"))
    detector.replace_rules([CPU_HOG, replace(other, min_share=0.9)])
    said = [(seconds(a), a.rule) for v in verdicts(detector, draw("95*5", start_s=10)) for a in v.alerts]
    assert said == [(12, "cpu-hog")]


def test_an_arming_of_a_rule_that_is_no_more_is_answered() -> None:
    detector = Detector([CPU_HOG])
    (armed,) = [arming for verdict in verdicts(detector, draw("0 95 95")) for arming in verdict.armed]
    detector.replace_rules([])
    (disarmed,) = detector.judge(passed([], 6)).disarmed
    assert (disarmed.rule, disarmed.target) == (armed.rule, armed.target)
    assert detector.judge(passed([], 8)).disarmed == ()


def test_processes_of_another_boot_are_strangers_but_the_hour_and_the_baselines_count_on() -> None:
    rule = replace(CPU_HOG, captures_per_hour=2)
    memory = remembered("0 95*6", rule)
    detector = Detector([rule], memory, same_boot=False)
    said = [alert for verdict in verdicts(detector, draw("95*6", start_s=20)) for alert in verdict.alerts]
    assert [alert.suppressed_by for alert in said] == [None]
    other = process(replace(BURNER, pid=9), cpu_percent=95.0)
    said = [alert for i in range(8) for alert in detector.judge(passed([other], 40 + 2 * i)).alerts]
    assert ["limit" in (alert.suppressed_by or "") for alert in said] == [True]


def test_an_episode_whose_process_ended_meanwhile_is_not_told_as_firing() -> None:
    """The process ended while no daemon ran: the first complete pass that lacks it ends its episode."""
    memory = remembered("0 95*6")
    detector = Detector([CPU_HOG], memory)
    for rates in draw("0 0 0", start_s=50):
        detector.judge(replace(rates, processes=(), is_complete=True))
    assert [status.state for status in detector.explain() if status.target == BURNER] == []
