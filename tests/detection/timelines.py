"""Timelines drawn as text, so that a test shows what it is about.

One word is one pass: a number is the value read, `?` a value that could not be read, `.` a complete pass
without the process (it rested), `-` an incomplete pass without it (unknown), `gap` a pass that proves
nothing, `x` a pass that says the process exited. `95*5` repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitord.detection import Detector
from monitord.model import (
    Alert,
    DetectionResult,
    ProcessKey,
    ProcessRates,
    Rates,
    Rule,
    SystemRates,
    Threshold,
    TriggerMetric,
)

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
GIB = 1 << 30
TOTAL = 16 * GIB
BURNER = ProcessKey(4242, 777)

CPU_HOG = Rule(
    name="cpu-hog",
    metric=TriggerMetric.CPU,
    above=Threshold(90, "percent"),
    clear_level=Threshold(60, "percent"),
    window_s=10,
)


def machine(**changes: object) -> SystemRates:
    calm = SystemRates(
        machine_percent=5.0,
        cpu_count=8,
        memory_total_bytes=TOTAL,
        memory_available_bytes=TOTAL // 2,
        swap_used_bytes=0,
        load_1=0.5,
        network_bytes_per_s={"lo": 0.0, "eth0": 1000.0},
    )
    return replace(calm, **changes)  # type: ignore[arg-type]  # a test may change any field


def process(key: ProcessKey = BURNER, **changes: object) -> ProcessRates:
    calm = ProcessRates(
        key=key,
        name="burn.py",
        parent_pid=1,
        state="S",
        uid=1000,
        cpu_percent=0.0,
        rss_bytes=50 << 20,
        thread_count=1,
        disk_bytes_per_s=0.0,
        fd_count=10,
    )
    return replace(calm, **changes)  # type: ignore[arg-type]  # a test may change any field


def passed(
    processes: Iterable[ProcessRates] = (),
    at_s: float = 0.0,
    *,
    interval_s: float = 2.0,
    is_complete: bool = True,
    **changes: object,
) -> Rates:
    """One pass, `at_s` seconds after the start of everything."""
    rates = Rates(
        taken_at=START + timedelta(seconds=at_s),
        monotonic_s=5000.0 + at_s,
        interval_s=interval_s,
        system=machine(),
        processes=tuple(processes),
        is_complete=is_complete,
    )
    return replace(rates, **changes)  # type: ignore[arg-type]  # a test may change any field


def words(timeline: str) -> list[str]:
    drawn: list[str] = []
    for word in timeline.split():
        text, _, count = word.partition("*")
        drawn += [text] * int(count or 1)
    return drawn


def draw(
    timeline: str | Sequence[str],
    field: str = "cpu_percent",
    *,
    start_s: float = 0.0,
    interval_s: float = 2.0,
    scale: float = 1,
    **same: object,
) -> Iterator[Rates]:
    """The passes of one process whose `field` follows the timeline; numbers are multiplied by `scale`."""
    for index, word in enumerate(words(timeline) if isinstance(timeline, str) else timeline):
        at_s = start_s + index * interval_s
        match word:
            case "gap":
                yield passed([], at_s, interval_s=interval_s, gap="suspend")
            case "x":
                yield passed([], at_s, interval_s=interval_s, exited=frozenset({BURNER}))
            case "." | "-":
                yield passed([], at_s, interval_s=interval_s, is_complete=word == ".")
            case _:
                value = None if word == "?" else float(word) * scale
                if field in ("rss_bytes", "thread_count", "fd_count") and value is not None:
                    value = int(value)
                yield passed([process(**{field: value}, **same)], at_s, interval_s=interval_s)


def verdicts(detector: Detector, passes: Iterable[Rates]) -> list[DetectionResult]:
    return [detector.judge(rates) for rates in passes]


def alerts(rules: Sequence[Rule] | Rule, passes: Iterable[Rates]) -> list[Alert]:
    detector = Detector([rules] if isinstance(rules, Rule) else rules)
    return [alert for verdict in verdicts(detector, passes) for alert in verdict.alerts]


def seconds(alert: Alert) -> float:
    """When an alert was raised, in seconds since the start."""
    return (alert.raised_at - START).total_seconds()
