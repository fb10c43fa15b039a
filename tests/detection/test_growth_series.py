"""Which courses of memory are growth: leaks of every sort are, what comes back or stands still is not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from monitord.model import Rates, Rule, Threshold, TriggerMetric
from tests.detection.timelines import alerts, passed, process

MIB = 1 << 20
RULE = Rule(
    "growth", TriggerMetric.MEMORY_GROWTH, above=Threshold(256 * MIB, "bytes"),
    window_s=600, min_share=0.6, cooldown_s=3600,
)  # fmt: skip
Course = Callable[[float, random.Random], float]  # MiB by seconds

LEAKS: dict[str, Course] = {
    "fast": lambda t, _: 100 + t,
    "slow": lambda t, _: 100 + 0.5 * t,
    "noisy": lambda t, rng: 500 + 0.6 * t + rng.gauss(0, 40),
    "with a collector's teeth": lambda t, _: 100 + 0.6 * t + 5 * (t % 60),
    "in small steps": lambda t, _: 100 + 20 * (t // 30),
    "in large steps": lambda t, _: 100 + 100 * (t // 120),
    "in rare bursts": lambda t, _: 100 + 300 * (t // 1000),
    "in rare bursts that breathe": lambda t, rng: 100 + 400 * (t // 800) + rng.gauss(0, 3),
    "after it was large once": lambda t, _: 1500 if t < 300 else 100 + t,
}
STEADY = ("fast", "slow", "with a collector's teeth", "in small steps", "in large steps")
NONE: dict[str, Course] = {
    "quick teeth": lambda t, _: 100 + 5 * (t % 60),
    "one step": lambda t, _: 100 + 800 * (t > 1000),
    "two steps": lambda t, _: 100 + 300 * (t > 1000) + 300 * (t > 1400),
    "steps that are taken back": lambda t, _: 100 + 300 * (t // 1000 % 3),
    "noise": lambda _t, rng: 1000 + rng.gauss(0, 150),
    "a cache that fills": lambda t, _: 100 + 1.5 * min(t, 400),
    "a wave": lambda t, _: 1000 + 300 * math.sin(t / 1200 * 2 * math.pi),
}
# Their first rise is as long as the window and looks like a leak; the next ones only come back.
ONCE: dict[str, Course] = {
    "slow teeth": lambda t, _: 100 + 0.66 * (t % 900),
    "slower teeth": lambda t, _: 100 + 0.5 * (t % 1800),
    "a long wave": lambda t, _: 1000 + 300 * math.sin(t / 3000 * 2 * math.pi),
}


def course(level: Course, seed: int, hours: float = 3.0) -> Iterator[Rates]:
    rng = random.Random(seed)
    for i in range(int(hours * 720)):
        size = int(level(5.0 * i, rng) * MIB)
        yield passed([process(rss_bytes=size, private_bytes=size)], 5.0 * i, interval_s=5.0)


@pytest.mark.parametrize("kind", LEAKS)
@pytest.mark.parametrize("seed", range(2))
def test_a_leak_is_told_and_thought_further_only_where_it_is_steady(kind: str, seed: int) -> None:
    said = alerts(RULE, course(LEAKS[kind], seed, hours=1.0))
    assert said
    assert kind not in STEADY or "at this steady pace" in said[0].reason


def test_the_third_large_step_is_told_with_those_before_it_and_a_first_rise_without_a_verdict() -> None:
    """A step every quarter of an hour that is never given back is a leak; one rise may be a slow saw-tooth."""
    steps = alerts(RULE, course(LEAKS["in rare bursts"], 0, hours=1.0))[0]
    assert "rising 12 % of that time; as much was gained 2 times in the 60 minutes before" in steps.reason
    assert "whether it falls again is not known yet" in alerts(RULE, course(ONCE["slow teeth"], 0))[0].reason


@pytest.mark.parametrize("kind", NONE)
@pytest.mark.parametrize("seed", range(2))
def test_what_stands_still_or_comes_back_is_never_told(kind: str, seed: int) -> None:
    assert alerts(RULE, course(NONE[kind], seed)) == []


@pytest.mark.parametrize("kind", ONCE)
def test_what_comes_back_slowly_is_told_once_however_long_it_lasts(kind: str) -> None:
    """Also without a cooldown: the next tooth is not higher than the last."""
    for rule in (RULE, replace(RULE, cooldown_s=60)):
        said = alerts(rule, course(ONCE[kind], 0))
        assert len([alert for alert in said if alert.suppressed_by is None]) == 1
