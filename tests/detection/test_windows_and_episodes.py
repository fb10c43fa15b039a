"""From the first crossing to the end of the cooldown, drawn as timelines of 2 s ticks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitord.detection import Detector, replay
from monitord.model import ProcessKey
from tests.detection.timelines import (
    BURNER,
    CPU_HOG,
    START,
    alerts,
    draw,
    passed,
    process,
    seconds,
    verdicts,
)


@pytest.mark.parametrize(
    ("timeline", "raised_s"),
    [
        ("0 95*6", [12]),  # 10 s after the crossing at 2 s
        ("0 95*4 0 0", []),  # lost just before the end
        ("0 95*5 0", [12]),  # 5 of 6: it did burn for the 10 s before this sample
        ("0 95 95 20 95 95 95", [12]),  # 5 of 6 is above 80 %
        ("0 95 20 95 20 95 95", []),  # 4 of 6 is not
        ("0 95 20 20 95*6", [18]),  # broken early, armed anew at 8 s
        ("95*6", [10]),  # the first pass may arm, and never alerts
        ("95", []),
        ("0 95 95 ? 95 95 95", [12]),  # not read: no evidence either way
        ("0 95 - - - 95 95", [12]),  # unknown: no evidence either way
        ("0 95 . . 95*4", []),  # rested twice: that is evidence, and the window is lost …
        ("0 95 . . 95*6", [18]),  # … and armed anew afterwards
        ("0 95*3 gap 95*3 0 0", []),  # a gap restarts the window …
        ("0 95*3 gap 95*6", [20]),  # … and breaks nothing
        ("gap gap gap gap gap gap gap", []),
        ("0 95*5 x", []),  # its window was not satisfied when it went
        ("0 95*3 gap 0 95*5", []),  # after a gap, too, a window starts with a crossing
        ("0 90*6", [12]),  # the level itself is broken
        ("0 89.9*20", []),
    ],
)
def test_a_crossing_must_hold_for_its_window(timeline: str, raised_s: list[float]) -> None:
    assert [seconds(alert) for alert in alerts(CPU_HOG, draw(timeline))] == raised_s


def test_an_alert_says_in_numbers_what_happened() -> None:
    (alert,) = alerts(CPU_HOG, draw("0 97*6"))
    assert (
        alert.reason == "burn.py used 97 % of one core on average, at least 90 % in 6 of 6 samples over 10 s"
    )
    assert (alert.target, alert.process_name, alert.suppressed_by) == (BURNER, "burn.py", None)
    assert alert.value == pytest.approx(97)
    assert alert.severity == pytest.approx(97 / 90)
    assert (alert.crossed_at - START).total_seconds() == 2
    assert seconds(alert) == 12


def test_the_value_of_an_alert_is_the_mean_of_the_samples_that_broke_the_rule() -> None:
    (alert,) = alerts(CPU_HOG, draw("0 95 95 20 95 95 95"))
    assert alert.value == pytest.approx(95)
    assert "on average when at least 90 %, in 5 of 6 samples" in alert.reason


def test_the_first_crossing_arms_and_a_lost_window_disarms() -> None:
    said = verdicts(Detector([CPU_HOG]), draw("0 95 20 20 95 95"))
    assert [len(verdict.armed) for verdict in said] == [0, 1, 0, 0, 1, 0]
    assert [len(verdict.disarmed) for verdict in said] == [0, 0, 0, 1, 0, 0]
    arming = said[1].armed[0]
    assert (arming.rule, arming.target, arming.process_name, arming.value) == (
        "cpu-hog",
        BURNER,
        "burn.py",
        95,
    )


def test_a_window_cut_by_a_gap_stays_armed() -> None:
    said = verdicts(Detector([CPU_HOG]), draw("0 95 95 gap 95 95"))
    assert [len(verdict.armed) for verdict in said] == [0, 1, 0, 0, 0, 0]
    assert not any(verdict.disarmed for verdict in said)


def test_a_target_without_evidence_for_a_minute_is_no_longer_armed() -> None:
    said = verdicts(Detector([CPU_HOG]), draw("0 95 -*40"))
    assert sum(len(verdict.disarmed) for verdict in said) == 1


def test_two_ends_of_a_long_silence_are_not_joined_to_a_window() -> None:
    """Unknown for two minutes in between: the window starts anew."""
    said = alerts(CPU_HOG, draw("0 95 95 -*60 95*6"))
    assert [(seconds(alert) - 126, len(said)) for alert in said] == [(10, 1)]


def test_an_exit_in_mid_window_disarms_and_forgets() -> None:
    detector = Detector([CPU_HOG])
    said = verdicts(detector, draw("0 95 95 x"))
    assert len(said[-1].disarmed) == 1
    assert detector.explain(pid=BURNER.pid) == []
    assert detector.demand().watched == frozenset()


def test_an_exit_in_the_pass_that_completes_the_window_still_fires() -> None:
    last = passed([process(cpu_percent=95.0)], 12, exited=frozenset({BURNER}))
    assert len(alerts(CPU_HOG, [*draw("0 95*5"), last])) == 1


@pytest.mark.parametrize(
    ("timeline", "granted_s", "suppressed_s"),
    [
        ("0 95*600", [12], []),  # one episode, however long: one evidence
        ("0 95*6 70*50 95*50", [12], []),  # never below the clear level: still the same episode
        ("0 95*6 20 95*20", [12], [26]),  # cooling down: said once, no evidence
        ("0 95*6 20*2 95*10 20 95*10 20", [12], [28, 50]),  # once for each episode
        ("0 95*6 20*305 95*6", [12, 634], []),  # the cooldown is over
        ("0 95*6 20 95*320", [12, 624], [26]),  # still burning when the cooldown ends: evidence then
    ],
)
def test_one_episode_asks_for_evidence_once(
    timeline: str, granted_s: list[float], suppressed_s: list[float]
) -> None:
    said = alerts(CPU_HOG, draw(timeline))
    assert [seconds(alert) for alert in said if alert.suppressed_by is None] == granted_s
    assert [seconds(alert) for alert in said if alert.suppressed_by is not None] == suppressed_s


def test_a_suppressed_alert_says_how_long_it_must_wait_and_what_would_break_through() -> None:
    said = alerts(CPU_HOG, draw("0 95*6 20 95*6"))
    assert said[-1].suppressed_by == "cooling down for 10 min more, unless it stays at or above 142 %"


@pytest.mark.parametrize(
    ("timeline", "granted_s"),
    [
        ("0 100*6 200*6", [12, 24]),  # twice as bad while firing
        ("0 100*6 200*4 100*9", [12]),  # worse, but not for a window
        ("0 100*6 140*20", [12]),  # not worse enough
        ("0 100*6 20 200*6", [12, 26]),  # twice as bad while cooling down
        ("0 100*6 200*6 20 200*9", [12, 24]),  # the high-water mark rose with it
    ],
)
def test_only_clearly_worse_breaks_through_a_cooldown(timeline: str, granted_s: list[float]) -> None:
    said = alerts(CPU_HOG, draw(timeline))
    assert [seconds(alert) for alert in said if alert.suppressed_by is None] == granted_s


def test_a_cooldown_belongs_to_one_process_not_to_its_number() -> None:
    """A pid that is used again by another process is another target."""
    again = ProcessKey(BURNER.pid, BURNER.start_ticks + 1)
    first = list(draw("0 95*6"))
    second = [passed([process(again, cpu_percent=95.0)], 14 + 2 * i) for i in range(6)]
    said = alerts(CPU_HOG, [*first, *second])
    assert [(alert.target, alert.suppressed_by) for alert in said] == [(BURNER, None), (again, None)]


def test_a_jump_of_the_wall_clock_changes_no_cooldown() -> None:
    """R16: within a run only monotonic time counts."""
    passes = list(draw("0 95*6 20*2 95*6 20 95*6"))
    jumped = [
        replace(rates, taken_at=rates.taken_at.replace(year=1970 if i % 2 else 2036)) if i > 6 else rates
        for i, rates in enumerate(passes)
    ]
    assert [bool(a.suppressed_by) for a in alerts(CPU_HOG, jumped)] == [
        bool(a.suppressed_by) for a in alerts(CPU_HOG, passes)
    ]


def test_a_clock_that_runs_backwards_is_a_gap() -> None:
    """Recorded passes of two boots: what was before is not joined with what comes after."""
    before, after = (
        list(draw("0 95*4")),
        [replace(r, monotonic_s=r.monotonic_s - 4000) for r in draw("95*4", start_s=10)],
    )
    assert alerts(CPU_HOG, [*before, *after]) == []


def test_five_hundred_anomalies_at_once_make_few_captures() -> None:
    """L3: the hour's budget goes to the worst, the rest is counted, first looks are as few."""
    keys = [ProcessKey(pid, 1) for pid in range(1, 501)]
    crowd = [process(key, cpu_percent=91.0 + key.pid / 10) for key in keys]
    detector = Detector([CPU_HOG])
    said = verdicts(detector, (passed(crowd, 2.0 * i) for i in range(60)))
    raised = [alert for verdict in said for alert in verdict.alerts]
    granted = [alert.target.pid for alert in raised if alert.suppressed_by is None and alert.target]
    assert sorted(granted) == [495, 496, 497, 498, 499, 500]
    assert len(raised) == 500
    assert sum(len(verdict.armed) for verdict in said) == CPU_HOG.captures_per_hour


def test_of_300_that_cross_at_once_the_worst_are_looked_at_first() -> None:
    """In whatever order a pass reports them: first looks are few, and go one after the other."""
    detector = Detector([CPU_HOG])
    keys = [ProcessKey(1000 + number, 1) for number in range(300)]
    shuffled = sorted(keys, key=lambda key: key.pid * 7919 % 300)
    everybody = [
        tuple(process(key, cpu_percent=100.0 + key.pid if is_hot else 0.0) for key in shuffled)
        for is_hot in (False, True)
    ]
    said = verdicts(detector, [passed(crowd, 2.0 * number) for number, crowd in enumerate(everybody)])
    armed = [arming.target for arming in said[-1].armed]
    assert armed == sorted(keys, key=lambda key: -key.pid)[: len(armed)]
    assert len(armed) == CPU_HOG.captures_per_hour


def test_the_hours_budget_frees_again() -> None:
    rule = replace(CPU_HOG, captures_per_hour=1, cooldown_s=0)
    said = alerts(rule, draw("0 95*6 20 95*6 20*1800 95*6"))
    assert [alert.suppressed_by is None for alert in said] == [True, False, True]
    assert "1 capture an hour" in (said[1].suppressed_by or "")


def test_a_long_window_is_cheap_and_announced_late() -> None:
    """An hour at 2 s ticks keeps counters only, and a blip of a minute asks for no first look."""
    slow = replace(CPU_HOG, name="slow-burn", window_s=3600)
    detector = Detector([slow])
    said = verdicts(detector, draw("0 95*10 0*60"))
    assert not any(verdict.armed or verdict.disarmed for verdict in said)
    said = verdicts(detector, draw("95*1801", start_s=200))
    assert sum(len(verdict.armed) for verdict in said) == 1
    assert [seconds(a) for verdict in said for a in verdict.alerts] == [3800]


def test_a_hopeless_long_window_is_given_up_after_a_minute() -> None:
    """Otherwise a blip would be followed closely for the 12 minutes in which 80 % of an hour stays possible."""
    detector = Detector([replace(CPU_HOG, window_s=3600)])
    verdicts(detector, draw("0 95*3 0*40"))
    assert detector.demand().watched == frozenset()


def test_replay_says_what_would_have_fired_suppressed_or_not_even_for_a_disabled_rule() -> None:
    said = list(replay([replace(CPU_HOG, is_enabled=False)], draw("0 95*6 20 95*6")))
    assert [alert.suppressed_by is None for alert in said] == [True, False]


def test_a_disabled_rule_says_nothing_and_asks_for_nothing() -> None:
    detector = Detector([replace(CPU_HOG, is_enabled=False)])
    assert not any(verdict.alerts or verdict.armed for verdict in verdicts(detector, draw("95*20")))
    assert detector.demand().cpu_percent is None
    assert [status.state for status in detector.explain()] == ["disabled"]
