"""Whatever the machine does, detection stays small."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitord.detection import Detector
from monitord.detection.baselines import MAX_ENTRIES
from monitord.detection.demands import MAX_WATCHED
from monitord.detection.explanations import MAX_RECENT
from monitord.detection.growth import MAX_PROCESSES, LevelHistory
from monitord.detection.judges import MAX_TRACKS
from monitord.model import ProcessKey, ProcessRates, Rule, Threshold, TriggerMetric
from tests.detection.timelines import CPU_HOG, draw, passed, process, verdicts

GROWTH = Rule("growth", TriggerMetric.THREAD_GROWTH, Threshold(10, "count"), window_s=60)
HANG = Rule("hang", TriggerMetric.HANG, Threshold(60, "seconds"))
SPIKE = Rule("spike", TriggerMetric.CPU, Threshold(20, "percent"), times_baseline=3)


def crowd(count: int, start: int, **same: object) -> list[ProcessRates]:
    return [process(ProcessKey(pid, 1), name=f"p{pid}", **same) for pid in range(start, start + count)]


def size(value: object, seen: set[int] | None = None) -> int:
    """Objects reachable from here, counted by their own size."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    return sys.getsizeof(value) + sum(size(inner, seen) for inner in _inside(value))


def _inside(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset) or type(value).__name__ == "deque":
        yield from value  # type: ignore[misc]  # a deque is iterable
    yield from getattr(value, "__dict__", {}).values()
    for name in getattr(type(value), "__slots__", ()):
        if hasattr(value, name):
            yield getattr(value, name)


def test_ten_thousand_targets_that_come_and_stay_hot_stay_bounded() -> None:
    """Nobody says that they exited: the worst sampler there can be."""
    detector = Detector([CPU_HOG, GROWTH, HANG, SPIKE])
    for i in range(20):
        detector.judge(passed(crowd(500, i * 500, cpu_percent=99.0, state="D"), 2.0 * i))
    limits = 4 * MAX_TRACKS + MAX_RECENT * 5 + MAX_PROCESSES + MAX_ENTRIES
    assert size(detector) < limits * 1500
    assert len(detector.demand().watched) <= MAX_WATCHED
    assert len(detector.explain()) <= 4 * 50
    before = size(detector)
    for i in range(20, 40):
        detector.judge(passed(crowd(500, i * 500, cpu_percent=99.0, state="D"), 2.0 * i))
    assert size(detector) < 1.5 * before


def test_ten_thousand_targets_that_exit_leave_nothing() -> None:
    detector = Detector([CPU_HOG, GROWTH, HANG])
    before = size(detector)
    for i in range(20):
        batch = crowd(500, i * 500, cpu_percent=99.0, state="D")
        detector.judge(passed(batch, 4.0 * i))
        detector.judge(passed([], 4.0 * i + 2, exited=frozenset(each.key for each in batch)))
    assert detector.demand().watched == frozenset()
    assert size(detector) < before + 200_000  # emptied tables keep some room


def test_a_level_history_keeps_few_points_however_long_it_runs() -> None:
    history = LevelHistory(3600)
    key = ProcessKey(1, 1)
    for i in range(20_000):
        history.note(key, 2.0 * i, float(i))
    assert size(history) < 5_000
    climb = history.climb(key, 2.0 * 19_999)
    assert climb is not None
    assert climb.covers_window
    assert 1800 <= climb.gain <= 1800 * 9 / 8 + 1


@pytest.mark.parametrize(("looks", "most"), [(1, 300), (60, 900)])
def test_a_process_of_a_crowd_costs_a_level_history_few_bytes(looks: int, most: int) -> None:
    """Seen once, and with a window full of stretches."""
    keys = [ProcessKey(pid, 1) for pid in range(1_000)]
    tracemalloc.start()
    try:
        history = LevelHistory(600)
        for look in range(looks):
            for key in keys:
                history.note(key, 20.0 * look, 1e6 + look)
        bytes_each = tracemalloc.get_traced_memory()[0] / len(keys)
    finally:
        tracemalloc.stop()
    assert bytes_each < most


def test_what_is_remembered_is_bounded() -> None:
    detector = Detector([CPU_HOG, SPIKE])
    for i in range(30):
        detector.judge(passed(crowd(500, i % 10 * 500, cpu_percent=1.0), 2.0 * i))
    memory = detector.remember()
    assert isinstance(memory["baselines"], list)
    assert len(memory["baselines"]) == MAX_ENTRIES


def compile_for_an_hour(name: str) -> int:
    """Armings of a build: each of its compilers burns for four seconds, one after the other."""
    detector, armed = Detector([CPU_HOG]), 0
    for i in range(0, 1800, 4):
        key = ProcessKey(i + 10, 1)
        for step, percent in enumerate((0.0, 99.0, 99.0)):
            verdict = detector.judge(
                passed([process(key, name=name.format(i), cpu_percent=percent)], 2.0 * (i + step))
            )
            armed += len(verdict.armed)
        detector.judge(passed([], 2.0 * (i + 3), exited=frozenset({key})))
    return armed


def test_a_build_is_not_looked_at_again_and_again() -> None:
    """Five looks in vain, then at most one a minute; a name that never crossed before is looked at at once."""
    assert 5 < compile_for_an_hour("cc1plus") <= 5 + 60
    assert compile_for_an_hour("job-{}") == 450


def test_a_name_whose_crossing_held_is_looked_at_at_once_again() -> None:
    rule = replace(CPU_HOG, cooldown_s=0, captures_per_hour=100)
    detector = Detector([rule])
    for blip in range(5):
        verdicts(detector, draw("0 95 0 0", start_s=10.0 * blip))
    assert [len(v.armed) for v in verdicts(detector, draw("0 95 0 0", start_s=50))] == [0, 0, 0, 0]
    assert any(v.alerts for v in verdicts(detector, draw("95*8 0 0", start_s=60)))
    assert sum(len(v.armed) for v in verdicts(detector, draw("0 95 0 0", start_s=90))) == 1


def blips(detector: Detector, key: ProcessKey, count: int, start_s: float) -> int:
    """Armings of a python that crosses for one sample so many times."""
    armed = 0
    for blip in range(count):
        for step, percent in enumerate((0.0, 99.0, 0.0)):
            now_s = start_s + 2.0 * (3 * blip + step)
            armed += len(
                detector.judge(passed([process(key, name="python", cpu_percent=percent)], now_s)).armed
            )
    return armed


@pytest.mark.parametrize("start_ticks", [100, 900])
def test_short_crossings_of_one_program_do_not_take_the_look_from_another_of_that_name(
    start_ticks: int,
) -> None:
    """Five of one "python" make that one wait; another "python", older or younger, is looked at at once."""
    detector = Detector([replace(CPU_HOG, cooldown_s=0)])
    assert blips(detector, ProcessKey(50, 500), 8, 0.0) == 5
    assert blips(detector, ProcessKey(60, start_ticks), 1, 50.0) == 1


def test_a_swarm_of_a_name_does_not_take_the_look_from_a_process_older_than_it() -> None:
    detector = Detector([replace(CPU_HOG, cooldown_s=0)])
    assert sum(blips(detector, ProcessKey(70 + i, 500 + i), 1, 6.0 * i) for i in range(8)) == 5
    assert blips(detector, ProcessKey(60, 100), 1, 50.0) == 1
    assert blips(detector, ProcessKey(90, 600), 1, 56.0) == 0
