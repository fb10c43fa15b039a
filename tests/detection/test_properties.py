"""What must hold for every timeline, against the simplest possible reference."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.detection import Detector
from monitord.model import Alert, ProcessKey, Rates, Rule
from tests.detection.timelines import CPU_HOG, START, alerts, draw, passed, process

WORDS = st.sampled_from(["0", "20", "70", "95", "95", "95", "95", "150", "250", "?", ".", "-", "gap"])
TIMELINES = st.lists(WORDS, max_size=150)
PLAIN = st.lists(st.sampled_from(["0", "70", "95", "95", "95"]), max_size=80)
SHARES = st.sampled_from([0.3, 0.5, 0.8, 1.0])
WINDOWS = st.sampled_from([2.0, 4.0, 10.0, 30.0])
TICK_S = 2.0


def first_alert_by_reference(
    values: list[float], level: float, window_s: float, min_share: float
) -> int | None:
    """Anchored windows, judged by looking at whole slices."""
    steps = round(window_s / TICK_S)
    anchor = 0
    while anchor < len(values):
        if values[anchor] < level:
            anchor += 1
            continue
        end = anchor
        while True:
            seen = [value >= level for value in values[anchor : end + 1]]
            if len(seen) > steps and sum(seen) >= min_share * len(seen) - 1e-9:
                return end
            total = max(len(seen), steps + 1)
            if sum(seen) + total - len(seen) < min_share * total - 1e-9:
                break
            end += 1
            if end == len(values):
                return None
        anchor = end + 1
    return None


@given(PLAIN, WINDOWS, SHARES)
def test_the_first_alert_comes_exactly_when_the_reference_says(
    words: list[str], window_s: float, share: float
) -> None:
    rule = replace(CPU_HOG, window_s=window_s, min_share=share)
    said = alerts(rule, draw(words))
    expected = first_alert_by_reference([float(word) for word in words], 90, window_s, share)
    assert (said[0].raised_at if said else None) == (
        None if expected is None else list(draw(words))[expected].taken_at
    )


@given(TIMELINES, WINDOWS, SHARES)
def test_every_alert_stands_on_a_window_that_was_truly_satisfied(
    words: list[str], window_s: float, share: float
) -> None:
    """Between crossing and alert there is no gap, time enough, and a sufficient share of broken samples."""
    rule = replace(CPU_HOG, window_s=window_s, min_share=share, escalation_factor=1.5)
    for alert in alerts(rule, draw(words)):
        first = round((alert.crossed_at - START).total_seconds() / TICK_S)
        last = round((alert.raised_at - START).total_seconds() / TICK_S)
        inside = words[first : last + 1]
        assert "gap" not in inside
        assert (last - first) * TICK_S >= window_s
        values = [0.0 if word == "." else float(word) for word in inside if word not in ("?", "-")]
        assert values[0] >= 90
        assert len(values) >= 2
        assert sum(value >= 90 for value in values) >= share * len(values) - 1e-9


@given(st.sampled_from(["95", "1000", "gap", "?"]), WINDOWS, SHARES)
def test_the_first_sample_never_alerts(word: str, window_s: float, share: float) -> None:
    assert alerts(replace(CPU_HOG, window_s=window_s, min_share=share), draw(word)) == []


def assert_limits_kept(said: list[Alert], rule: Rule) -> None:
    granted = [alert for alert in said if alert.suppressed_by is None]
    for i, later in enumerate(granted):
        for earlier in granted[:i]:
            apart_s = (later.raised_at - earlier.raised_at).total_seconds()
            if apart_s < rule.cooldown_s:
                assert later.value >= earlier.value * rule.escalation_factor - 1e-6
        in_the_hour = [a for a in granted[: i + 1] if (later.raised_at - a.raised_at).total_seconds() < 3600]
        assert len(in_the_hour) <= rule.captures_per_hour


LIMITED = replace(CPU_HOG, window_s=4, cooldown_s=60, captures_per_hour=3)


@given(TIMELINES)
def test_no_second_evidence_within_the_cooldown_unless_clearly_worse(words: list[str]) -> None:
    assert_limits_kept(alerts(LIMITED, draw(words)), LIMITED)


def with_restart(rule: Rule, passes: list[Rates], at: int) -> tuple[list[Alert], list[Alert]]:
    """Alerts before and after a restart whose memory went through JSON."""
    before = Detector([rule])
    early = [alert for rates in passes[:at] for alert in before.judge(rates).alerts]
    after = Detector([rule], json.loads(json.dumps(before.remember())))
    late = [alert for rates in passes[at:] for alert in after.judge(rates).alerts]
    return early, late


@given(TIMELINES, st.integers(0, 150))
def test_a_restart_at_any_point_breaks_no_limit(words: list[str], at: int) -> None:
    early, late = with_restart(LIMITED, list(draw(words)), at)
    assert_limits_kept(early + late, LIMITED)


@given(st.integers(4, 40), st.integers(0, 60))
def test_a_restart_in_the_middle_of_an_episode_fires_nothing_again(at: int, after: int) -> None:
    passes = list(draw(f"0 95*{at + after}"))
    early, late = with_restart(LIMITED, passes, at)
    assert len(early) == 1
    assert late == []


@settings(max_examples=50)
@given(TIMELINES)
def test_said_once_for_each_episode(words: list[str]) -> None:
    """Between two suppressed alerts of a target there is a fall below the clear level."""
    said = [
        alert
        for alert in alerts(replace(LIMITED, escalation_factor=1000), draw(words))
        if alert.suppressed_by
    ]
    for earlier, later in itertools.pairwise(said):
        first = round((earlier.raised_at - START).total_seconds() / TICK_S)
        last = round((later.raised_at - START).total_seconds() / TICK_S)
        assert any(word in ("0", "20", ".") for word in words[first:last])


@settings(max_examples=50)
@given(TIMELINES)
def test_every_arming_is_answered_once(words: list[str]) -> None:
    """Armed, then disarmed or alerted: never twice armed in between, never disarmed unarmed."""
    detector = Detector([LIMITED])
    is_armed = False
    for rates in draw(words):
        verdict = detector.judge(rates)
        for _ in verdict.armed:
            assert not is_armed
            is_armed = True
        if verdict.disarmed:
            assert is_armed
        if verdict.disarmed or verdict.alerts:
            is_armed = False


CROWD = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0.0, 70.0, 95.0, 95.0, 200.0, None]), min_size=6, max_size=6),
        st.sampled_from([0.5, 2.0, 2.0, 2.0, 15.0]),
        st.booleans(),
        st.sets(st.integers(0, 5), max_size=1),
    ),
    max_size=60,
)


def crowded(steps: list[tuple[list[float | None], float, bool, set[int]]]) -> list[Rates]:
    """Six processes at uneven ticks; some exit and come back under a new identity."""
    at_s, lives, passes = 0.0, [1] * 6, []
    for values, tick_s, is_complete, exits in steps:
        at_s += tick_s
        exited = frozenset(ProcessKey(i + 1, lives[i]) for i in exits)
        for i in exits:
            lives[i] += 1
        alive = [
            process(ProcessKey(i + 1, lives[i]), cpu_percent=value)
            for i, value in enumerate(values)
            if value is not None
        ]
        passes.append(passed(alive, at_s, interval_s=tick_s, is_complete=is_complete, exited=exited))
    return passes


@given(CROWD, st.integers(0, 3))
def test_a_crowd_at_uneven_ticks_keeps_every_limit(
    steps: list[tuple[list[float | None], float, bool, set[int]]], budget: int
) -> None:
    rule = replace(LIMITED, captures_per_hour=budget)
    said = alerts(rule, crowded(steps))
    granted = [alert for alert in said if alert.suppressed_by is None]
    assert len(granted) <= budget  # 60 passes are less than an hour
    for target in {alert.target for alert in said}:
        assert_limits_kept([alert for alert in said if alert.target == target], rule)
    for alert in said:
        lasted_s = (alert.raised_at - alert.crossed_at).total_seconds()
        assert lasted_s >= rule.window_s - 1.5  # a tenth of the longest tick
        assert alert.value >= 90
        assert alert.severity >= 1


@given(CROWD)
def test_judging_has_no_hidden_inputs(steps: list[tuple[list[float | None], float, bool, set[int]]]) -> None:
    """The same passes give the same verdicts: no clock, no chance, no order of sets."""
    passes = crowded(steps)
    one, other = Detector([LIMITED]), Detector([LIMITED])
    assert [one.judge(rates) for rates in passes] == [other.judge(rates) for rates in passes]
    assert one.remember() == other.remember()
    assert one.explain() == other.explain()
