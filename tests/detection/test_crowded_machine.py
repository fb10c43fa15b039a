"""Where everybody waits for a turn: what a process wants counts, and the machine as a whole is judged."""

from __future__ import annotations

import pytest

from monitord.detection import Detector
from monitord.model import ProcessKey, ProcessRates, Rates, Rule, Threshold, TriggerMetric
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


def test_an_overload_rule_demands_to_be_told_who_uses_the_machine() -> None:
    """And no rule but it does."""
    assert Detector([OVERLOAD]).demand().needs_consumers
    assert not Detector([CPU_HOG]).demand().needs_consumers
