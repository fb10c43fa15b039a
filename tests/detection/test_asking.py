"""What detection demands of sampling, and what it answers when asked why a rule did or did not fire."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitord.detection import Detector, assess, replay
from monitord.detection.reasons import wait
from monitord.model import Demand, Match, ProcessKey, Rule, Threshold, TriggerMetric
from tests.detection.timelines import (
    BURNER,
    CPU_HOG,
    GIB,
    TOTAL,
    draw,
    machine,
    passed,
    process,
    verdicts,
)

MEMORY = Rule("hog", TriggerMetric.MEMORY, Threshold(25, "percent"))
LEAK = Rule("leak", TriggerMetric.MEMORY_GROWTH, Threshold(1 * GIB, "bytes"), window_s=60)
DISK = Rule("disk", TriggerMetric.DISK_IO, Threshold(1e8, "bytes_per_s"))
FDS = Rule("fds", TriggerMetric.FD_GROWTH, Threshold(100, "count"))
LOW = Rule("low", TriggerMetric.FREE_MEMORY, below=Threshold(5, "percent"))
NETWORK = Rule("net", TriggerMetric.NETWORK, Threshold(1e8, "bytes_per_s"))

# --------------------------------------------------------------------------------------------- demand


def test_no_rules_demand_nothing() -> None:
    assert Detector([]).demand() == Demand()


def test_the_lowest_threshold_of_each_metric_is_demanded() -> None:
    slow = replace(CPU_HOG, name="slow", above=Threshold(35, "percent"), clear_level=None)
    off = replace(CPU_HOG, name="off", above=Threshold(1, "percent"), clear_level=None, is_enabled=False)
    demand = Detector([CPU_HOG, slow, off, DISK]).demand()
    assert demand == Demand(cpu_percent=35, disk_bytes_per_s=1e8)


def test_a_share_of_ram_is_demanded_in_bytes_once_the_size_is_known() -> None:
    detector = Detector([MEMORY])
    assert detector.demand().rss_bytes == 0  # not known: show everything
    detector.judge(passed([], gap="first sample"))
    assert detector.demand().rss_bytes == TOTAL // 4


def test_who_gained_a_gigabyte_holds_one() -> None:
    detector = Detector([MEMORY, LEAK])
    detector.judge(passed([]))
    assert detector.demand().rss_bytes == GIB


def test_slow_growth_is_left_to_the_heartbeat() -> None:
    """Every machine uses more than a leak's threshold: demanding it would end all skipping."""
    assert Detector([replace(LEAK, window_s=600)]).demand().rss_bytes is None


def test_a_baseline_rule_demands_its_floor() -> None:
    rule = replace(CPU_HOG, above=Threshold(20, "percent"), clear_level=None, times_baseline=3.0)
    assert Detector([rule]).demand().cpu_percent == 20


def test_open_files_are_asked_for_only_by_a_rule_about_them() -> None:
    assert Detector([FDS]).demand().needs_fd_count
    assert not Detector([CPU_HOG]).demand().needs_fd_count


def test_units_of_all_are_asked_for_when_a_rule_without_a_level_is_about_some() -> None:
    """Who reaches a level has its unit read anyway; for growth there is no level, so no unit without asking."""
    match = Match(units=("nginx.service",))
    for rule in (FDS, replace(LEAK, window_s=600), replace(FDS, metric=TriggerMetric.THREAD_GROWTH)):
        assert Detector([replace(rule, match=match)]).demand().needs_unit
        assert not Detector([rule]).demand().needs_unit
    assert not Detector([replace(CPU_HOG, match=match), replace(LEAK, match=match)]).demand().needs_unit


@pytest.mark.parametrize(
    ("timeline", "is_watched"),
    [
        ("0", False),
        ("0 95", True),
        ("0 95*6", True),
        ("0 95*6 20", True),
        ("0 95*6 20*302", False),
        ("0 95 0 0", False),
    ],
)
def test_armed_firing_and_cooling_targets_are_watched(timeline: str, is_watched: bool) -> None:
    detector = Detector([CPU_HOG])
    verdicts(detector, draw(timeline))
    assert detector.demand().watched == (frozenset({BURNER}) if is_watched else frozenset())


# -------------------------------------------------------------------------------------------- explain


@pytest.mark.parametrize(
    ("timeline", "state", "share", "distance", "suppressed"),
    [
        ("10 20 30", "quiet", 0.0, 60, None),
        ("10 95 95 20 95", "armed", 0.75, -5, None),
        ("0 95*6", "firing", None, -5, "already an incident; the episode ends below 60 %"),
        (
            "0 95*6 20",
            "cooling_down",
            None,
            70,
            "cooling down for 10 min more, unless it stays at or above 142 %",
        ),
        (
            "0 95*6 20 95",
            "cooling_down",
            1.0,
            -5,
            "cooling down for 10 min more, unless it stays at or above 142 %",
        ),
    ],
)
def test_explain_says_state_share_distance_and_what_suppresses(
    timeline: str, state: str, share: float | None, distance: float, suppressed: str | None
) -> None:
    detector = Detector([CPU_HOG])
    verdicts(detector, draw(timeline))
    for (status,) in (detector.explain(), detector.explain(pid=BURNER.pid), detector.explain(rule="cpu-hog")):
        assert (status.state, status.share_above, status.suppressed_by) == (state, share, suppressed)
        assert status.distance == pytest.approx(distance)
        assert (status.target, status.process_name) == (BURNER, "burn.py")
        assert status.threshold == Threshold(90, "percent")
        assert status.seen_at is not None


def test_the_last_five_values_have_the_newest_last() -> None:
    detector = Detector([CPU_HOG])
    verdicts(detector, draw("1 2 3 4 5 6"))
    assert detector.explain()[0].last_values == (2, 3, 4, 5, 6)


def test_a_quiet_rule_names_whoever_comes_nearest() -> None:
    detector = Detector([CPU_HOG])
    crowd = [process(ProcessKey(pid, 1), name=f"p{pid}", cpu_percent=float(pid)) for pid in (10, 80, 30)]
    detector.judge(passed(crowd))
    (status,) = detector.explain()
    assert (status.process_name, status.distance) == ("p80", 10)


def test_the_nearest_is_known_among_more_processes_than_moved_lately() -> None:
    """The largest of 3,000 was reported once, at first, and rests since; the others keep moving."""
    detector = Detector([MEMORY])
    giant = process(ProcessKey(1, 1), name="giant", rss_bytes=3 * GIB)
    others = [process(ProcessKey(pid, 1), name="small") for pid in range(2, 3002)]
    detector.judge(passed([giant, *others]))
    detector.judge(passed(others, 2.0))
    assert detector.explain()[0].process_name == "giant"
    assert detector.explain(pid=1)[0].last_values == (18.75, 18.75)


def test_who_has_no_baseline_yet_is_not_the_nearest() -> None:
    detector = Detector(
        [replace(CPU_HOG, above=Threshold(20, "percent"), clear_level=None, times_baseline=3.0)]
    )
    verdicts(detector, draw("6*40"))
    newcomer = process(ProcessKey(7, 7), name="newcomer", cpu_percent=1.0)
    detector.judge(passed([process(cpu_percent=6.0), newcomer], 80.0))
    assert detector.explain()[0].process_name == "burn.py"


def test_who_rests_is_not_near_any_more() -> None:
    detector = Detector([CPU_HOG])
    verdicts(detector, draw("80 ."))
    assert detector.explain()[0].last_values == (80, 0)


def test_one_pid_is_explained_by_every_rule_even_if_it_never_crossed() -> None:
    detector = Detector([CPU_HOG, MEMORY, LEAK, DISK, FDS, LOW, NETWORK])
    verdicts(detector, draw("10 20 30"))
    statuses = {status.rule: status for status in detector.explain(pid=BURNER.pid)}
    assert set(statuses) == {"cpu-hog", "hog", "leak", "disk", "fds", "low", "net"}
    assert statuses["leak"].last_values == (0,)
    assert statuses["low"].last_values == (50,)
    assert statuses["low"].distance == 45


def test_a_process_that_the_match_leaves_out_is_told_so() -> None:
    detector = Detector([replace(CPU_HOG, match=Match(names=("nginx",)))])
    verdicts(detector, draw("0 99*9"))
    (status,) = detector.explain(pid=BURNER.pid)
    assert (status.state, status.suppressed_by) == ("quiet", "the rule's match leaves this process out")


def test_a_spent_budget_is_told_before_it_matters() -> None:
    detector = Detector([replace(CPU_HOG, captures_per_hour=0)])
    verdicts(detector, draw("10"))
    assert detector.explain()[0].suppressed_by == "captures_per_hour of this rule is 0"


def test_before_the_first_pass_every_rule_is_there_and_quiet() -> None:
    statuses = Detector([CPU_HOG, LOW]).explain()
    assert [(status.rule, status.state, status.last_values) for status in statuses] == [
        ("cpu-hog", "quiet", ()),
        ("low", "quiet", ()),
    ]


# --------------------------------------------------------------------------------------------- assess


@pytest.mark.parametrize(
    ("rule", "state", "values", "distance"),
    [
        (CPU_HOG, "armed", (95,), -5),
        (replace(CPU_HOG, match=Match(names=("x",))), "quiet", (95,), -5),
        (replace(CPU_HOG, is_enabled=False), "disabled", (), None),
        (MEMORY, "quiet", (12.5,), 12.5),
        (LEAK, "quiet", (), None),
        (LOW, "quiet", (50,), 45),
        (NETWORK, "quiet", (1000,), 1e8 - 1000),
        (Rule("hang", TriggerMetric.HANG, Threshold(60, "seconds")), "quiet", (), None),
    ],
)
def test_one_look_is_assessed_without_a_past(
    rule: Rule, state: str, values: tuple[float, ...], distance: float | None
) -> None:
    status = assess(rule, process(cpu_percent=95.0, rss_bytes=2 * GIB), machine())
    assert (status.state, status.last_values, status.distance) == (state, values, distance)


def test_machine_wide_rules_are_assessed_without_a_process() -> None:
    low = machine(memory_available_bytes=TOTAL // 100)
    assert assess(LOW, None, low).state == "armed"
    assert assess(CPU_HOG, None, low).last_values == ()


def test_a_user_of_a_match_is_known_to_a_replay_and_to_one_look_alike() -> None:
    rule = replace(CPU_HOG, match=Match(users=("alice",)))
    passes = list(draw("0 95*6"))
    assert len(list(replay([rule], passes, {"alice": 1000}))) == 1
    assert list(replay([rule], passes, {"alice": 7})) == []
    busy = process(cpu_percent=95.0)
    assert assess(rule, busy, machine(), {"alice": 1000}).state == "armed"
    assert assess(rule, busy, machine()).suppressed_by == "the rule's match leaves this process out"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3510, "59 min"),
        (7200, "2 h"),
        (90_000, "25 h"),
    ],
)
def test_what_holds_a_rule_back_is_told_in_units_for_people(seconds: float, said: str) -> None:
    """And never shorter than it is: who waits for so long finds it over."""
    assert wait(seconds) == said
