"""Where everybody waits for a turn: what a process wants counts, and the machine as a whole is judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitord.detection import Detector, replay
from monitord.detection.meters import ProcessMeter
from monitord.detection.passes import Pass
from monitord.model import ProcessKey, ProcessRates, Rates, Rule, SystemRates, Threshold, TriggerMetric
from tests.detection.timelines import CPU_HOG, alerts, draw, machine, passed, process

OVERLOAD = Rule(
    name="cpu-overload",
    metric=TriggerMetric.CPU_PRESSURE,
    above=Threshold(85, "percent"),
    window_s=20,
)


def test_what_was_waited_for_counts_like_what_was_used() -> None:
    """31 % used and 64 % waited break a rule of 90 %, and the reason says both."""
    (alert,) = alerts(CPU_HOG, draw("0 31*10", waited_percent=64.0))
    assert "31 % used, 64 % waited for a turn" in alert.reason
    assert "wanted 95 % of one core" in alert.reason
    assert (alert.value, alert.waited_percent) == (95.0, 64.0)


@pytest.mark.parametrize("waited", [None, 0.0, 20.0])
def test_without_enough_waiting_a_starved_looking_process_is_left_alone(waited: float | None) -> None:
    """Waiting that is not known, or does not fill the threshold, makes no alert."""
    assert alerts(CPU_HOG, draw("0 31*20", waited_percent=waited)) == []


def test_a_process_that_got_all_it_wanted_is_said_to_have_used_it() -> None:
    """No word about waiting where there was none."""
    (alert,) = alerts(CPU_HOG, draw("0 97*10"))
    assert "used 97 % of one core" in alert.reason
    assert "waited" not in alert.reason


def crowd(percents: list[float], processes: list[ProcessRates], stalled: float | None = 100.0) -> list[Rates]:
    pressure = {} if stalled is None else {"cpu_some": stalled}
    return [
        passed(processes, 2.0 * i, system=machine(machine_percent=percent, pressure_percent=pressure))
        for i, percent in enumerate(percents)
    ]


def burners(*used: float, name: str = "cc1") -> list[ProcessRates]:
    return [
        process(ProcessKey(100 + i, 7), name=name, cpu_percent=each, waited_percent=200.0 - each)
        for i, each in enumerate(used)
    ]


def test_a_crowd_is_nobodys_fault_and_the_reason_names_who_used_the_most() -> None:
    """Eight alike: no single process, and the sum of them is said."""
    (alert,) = alerts(OVERLOAD, crowd([20.0, *[100.0] * 15], burners(*[25.0] * 8)))
    assert alert.target is None
    assert alert.process_name == "no single process"
    assert "8 × cc1 200 % of a core, 1400 % waited for a turn" in alert.reason


def test_whoever_stands_out_is_the_target() -> None:
    """One of them used more than all others together."""
    (alert,) = alerts(OVERLOAD, crowd([20.0, *[100.0] * 15], burners(150.0, 20.0, 20.0)))
    assert alert.target == ProcessKey(100, 7)
    assert alert.process_name == "cc1"


@pytest.mark.parametrize(("busy", "stalled"), [(100.0, 30.0), (12.0, 100.0), (70.0, None)])
def test_full_cores_without_a_queue_and_a_queue_at_one_core_are_no_overload(
    busy: float, stalled: float | None
) -> None:
    """Both must be: work on all cores, and somebody who waits; where waiting is not known, busy cores."""
    assert alerts(OVERLOAD, crowd([busy] * 40, burners(50.0), stalled)) == []


def test_where_the_kernel_does_not_tell_of_waiting_full_cores_are_enough() -> None:
    """Without pressure stall information the machine's use is judged."""
    (alert,) = alerts(OVERLOAD, crowd([99.0] * 20, burners(50.0, 50.0, 50.0), None))
    assert alert.severity >= 1


@pytest.mark.parametrize(("has_overload_rule", "told"), [(True, 2), (False, 8)])
def test_of_a_crowd_that_was_told_only_those_with_evidence_are_incidents(
    has_overload_rule: bool, told: int
) -> None:
    """Eight starve alike, evidence is left for two: the rest counts with the overload, where a rule tells of it."""
    hog = replace(CPU_HOG, captures_per_hour=2)
    calm = crowd([100.0] * 15, [process(ProcessKey(99, 7), cpu_percent=1.0)])
    starving = crowd([100.0] * 15, burners(*[25.0] * 8))
    later = [replace(each, monotonic_s=30.0 + each.monotonic_s) for each in starving]
    found = list(replay([hog, OVERLOAD] if has_overload_rule else [hog], [*calm, *later]))
    hogs = [alert for alert in found if alert.metric is TriggerMetric.CPU]
    assert len([alert for alert in hogs if alert.counts_with is None]) == told
    assert {alert.counts_with for alert in hogs} <= {None, OVERLOAD.name}
    assert len(hogs) == 8, "nobody goes uncounted"
    assert len([alert for alert in found if alert.metric is TriggerMetric.CPU_PRESSURE]) == has_overload_rule


def test_who_burns_a_core_of_its_own_is_told_in_a_crowd_too() -> None:
    """Refused evidence or not: it is above its threshold by what it used."""
    hog = replace(CPU_HOG, captures_per_hour=0)
    found = list(replay([hog, OVERLOAD], crowd([100.0] * 30, burners(97.0))))
    assert [alert.metric for alert in found if alert.suppressed_by] == [TriggerMetric.CPU]


def test_an_overload_rule_demands_to_be_told_who_uses_the_machine() -> None:
    """And no rule but it does."""
    assert Detector([OVERLOAD]).demand().needs_consumers
    assert not Detector([CPU_HOG]).demand().needs_consumers


def test_a_process_within_a_quota_is_judged_by_what_it_wants() -> None:
    """39 % of a core is all that its group may use; the reason says what held it back."""
    passes = draw("0 39*10", throttled_percent=58.0, cpu_limit_percent=40.0)
    (alert,) = alerts(CPU_HOG, passes)
    assert "(39 % used, 58 % held back by its group's limit of 40 %)" in alert.reason


def test_memory_in_percent_is_of_what_the_group_may_hold() -> None:
    """100 of 120 MiB are much, however large the machine is."""
    rule = Rule("memory-hog", TriggerMetric.MEMORY, above=Threshold(40, "percent"), window_s=6)
    limited = draw("10 100*8", "rss_bytes", scale=1 << 20, memory_limit_bytes=120 << 20)
    (alert,) = alerts(rule, limited)
    assert "83 % of the 120 MiB that its group may hold" in alert.reason
    assert alerts(rule, draw("10 100*8", "rss_bytes", scale=1 << 20)) == []


def test_a_paused_group_is_no_hang() -> None:
    """Frozen processes stand in state D for as long as somebody wants them to."""
    rule = Rule("hang", TriggerMetric.HANG, above=Threshold(10, "seconds"), window_s=10)
    assert alerts(rule, draw("0*20", state="D", is_frozen=True)) == []
    assert len(alerts(rule, draw("0*20", state="D"))) == 1


def test_the_value_of_a_process_is_read_once_for_all_rules_of_its_metric() -> None:
    """Two hundred quiet rules cost one reading of everybody and a comparison each."""
    asked: list[ProcessRates] = []

    def read(process: ProcessRates, _: SystemRates) -> float | None:
        asked.append(process)
        return process.cpu_percent

    meters = [ProcessMeter(read, minimum=90.0) for _ in range(200)]
    look = Pass.of(passed(burners(*[20.0] * 50)), 0.0)
    assert [reading for meter in meters for reading in meter.readings(look, {})] == []
    assert len(asked) == 50
