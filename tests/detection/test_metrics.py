"""What each metric reads, and when a growth, a hang or a machine-wide value deserves an alert."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from monitord.detection import Detector, check_rule
from monitord.detection.meters import METERS
from monitord.errors import ConfigError
from monitord.model import Match, ProcessKey, Rates, Rule, Threshold, TriggerMetric
from tests.detection.timelines import (
    BURNER,
    CPU_HOG,
    GIB,
    TOTAL,
    alerts,
    draw,
    machine,
    passed,
    process,
    seconds,
    verdicts,
)

MIB = 1 << 20
LEAK = Rule("leak", TriggerMetric.MEMORY_GROWTH, Threshold(100 * MIB, "bytes"), window_s=60, min_share=0.6)
HANG = Rule("hang", TriggerMetric.HANG, Threshold(60, "seconds"), window_s=60)
NETWORK = Rule("net", TriggerMetric.NETWORK, Threshold(1e8, "bytes_per_s"), window_s=10)
LOW = Rule("low", TriggerMetric.FREE_MEMORY, below=Threshold(5, "percent"), window_s=6)


def test_every_metric_but_the_manual_one_has_a_meter() -> None:
    assert set(METERS) == set(TriggerMetric) - {TriggerMetric.MANUAL}


@pytest.mark.parametrize(
    ("threshold", "reason"),
    [
        (
            Threshold(25, "percent"),
            "burn.py held 31 % of RAM on average, at least 25 % in 6 of 6 samples over 10 s",
        ),
        (
            Threshold(4 * GIB, "bytes"),
            "burn.py held 5 GiB of memory on average, at least 4 GiB in 6 of 6 samples over 10 s",
        ),
    ],
)
def test_memory_is_a_share_of_ram_or_a_size(threshold: Threshold, reason: str) -> None:
    rule = Rule("hog", TriggerMetric.MEMORY, threshold)
    (alert,) = alerts(rule, draw("1 5*6", "rss_bytes", scale=GIB))
    assert alert.reason == reason
    assert alerts(rule, draw("1 3*40", "rss_bytes", scale=GIB)) == []


def test_memory_that_does_not_change_is_still_held() -> None:
    """A complete pass leaves out a process that did nothing: its memory is as it was."""
    rule = Rule("hog", TriggerMetric.MEMORY, Threshold(4 * GIB, "bytes"))
    assert [seconds(alert) for alert in alerts(rule, draw("1 5 .*20", "rss_bytes", scale=GIB))] == [12]


def test_disk_bytes_a_second_count_and_unknown_ones_do_not() -> None:
    rule = Rule("disk", TriggerMetric.DISK_IO, Threshold(1e8, "bytes_per_s"))
    (alert,) = alerts(rule, draw("0 150*6", "disk_bytes_per_s", scale=1e6))
    assert "moved 150 MB/s to and from disks on average, at least 100 MB/s" in alert.reason
    assert alerts(rule, draw("?*40", "disk_bytes_per_s")) == []


# ------------------------------------------------------------------------------------------- network


def network(*rates_mb: float, interface: str = "lo") -> list[Rates]:
    return [
        passed(
            [],
            2.0 * i,
            system=machine(network_bytes_per_s={"eth0": 5e5, interface: mb * 1e6}),
            is_complete=False,
        )
        for i, mb in enumerate(rates_mb)
    ]


def test_the_busiest_interface_triggers_without_blaming_anybody_and_loopback_counts() -> None:
    (alert,) = alerts(NETWORK, network(0, *[120] * 6))
    assert (alert.target, alert.process_name) == (None, "unattributed")
    assert alert.reason == "lo carried 120 MB/s on average, at least 100 MB/s in 6 of 6 samples over 10 s"
    assert alerts(NETWORK, network(0, *[80] * 40)) == []


def test_no_interface_is_no_evidence() -> None:
    quiet = passed([], 6, system=machine(network_bytes_per_s={}))
    passes = network(0, *[120] * 6)
    passes[3] = quiet
    assert "in 5 of 5 samples" in alerts(NETWORK, passes)[0].reason


# ------------------------------------------------------------------------------- memory of the machine


def memory(*percents: float) -> list[Rates]:
    return [
        passed([], 2.0 * i, system=machine(memory_available_bytes=int(TOTAL * p / 100)), is_complete=False)
        for i, p in enumerate(percents)
    ]


def test_little_free_memory_triggers_from_above_and_worse_is_less() -> None:
    (alert,) = alerts(LOW, memory(50, *[4] * 20))
    assert (alert.target, seconds(alert)) == (None, 8)
    assert (
        alert.reason
        == "the machine had 4 % of memory available on average, at most 5 % in 4 of 4 samples over 6 s"
    )
    assert alert.severity == pytest.approx(1.25)
    assert alerts(LOW, memory(*[6] * 40)) == []
    assert [alert.suppressed_by for alert in alerts(LOW, memory(*[4] * 8, *[2] * 8))] == [None, None]


def test_free_memory_clears_above_its_level() -> None:
    said = alerts(replace(LOW, cooldown_s=0), memory(*[4] * 6, *[6] * 3, *[4] * 6, *[9] * 3, *[4] * 6))
    assert [seconds(alert) for alert in said] == [6, 42]


# --------------------------------------------------------------------------------------------- growth


def climb(*stretches: tuple[int, float], start: float = 50) -> str:
    """(samples, MiB a sample) after one another."""
    levels = itertools.accumulate((step for count, step in stretches for _ in range(count)), initial=start)
    return " ".join(f"{level:.3f}" for level in levels)


@pytest.mark.parametrize(
    ("timeline", "alerted"),
    [
        (climb((60, 5)), True),  # 2.5 MiB a second, for two minutes
        (climb((60, 3)), False),  # 90 MiB in a window: not enough
        (climb((10, 0), (1, 500), (60, 0)), False),  # one step: a cache was loaded
        (climb((1, 500), (60, 0)), False),  # start-up
        (climb((25, 5)), False),  # enough gained, but the window has not passed
        (climb(*[(3, 12), (1, -16)] * 15), True),  # a saw-tooth whose floor climbs
        (climb(*[(3, 40), (1, -120)] * 15), False),  # a saw-tooth that comes back each time
        (climb((15, 10), (60, 0)), False),  # rose for 30 s, and stood
    ],
)
def test_growth_is_judged_on_the_ends_of_the_window_and_on_rising(timeline: str, alerted: bool) -> None:
    assert bool(alerts(LEAK, draw(timeline, "rss_bytes", scale=MIB))) is alerted


def test_a_leak_is_told_with_both_ends() -> None:
    alert = alerts(LEAK, draw(climb((60, 5)), "rss_bytes", scale=MIB))[0]
    assert alert.reason == (
        "burn.py gained 150 MiB of memory in 60 s (from 50 MiB to 200 MiB), rising 100 % of that time;"
        " whether it falls again is not known yet; the rule says at least 100 MiB"
        "; at this steady pace the 8 GiB that are available last for 55 minutes"
    )
    assert alert.value == 150 * MIB


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (climb((60, 5)), "; at this steady pace its group's limit of 1 GiB is reached in 5.5 minutes"),
        (climb((14, 0), (60, 12)), ""),  # it began within the window: no straight line
    ],
)
def test_only_a_straight_climb_is_thought_further(shape: str, said: str) -> None:
    """Up to what its group may hold, where that has a limit."""
    alert = alerts(LEAK, draw(shape, "rss_bytes", scale=MIB, memory_limit_bytes=1024 * MIB))[0]
    assert alert.reason.endswith(f"is not known yet; the rule says at least 100 MiB{said}")


def test_a_cache_that_has_filled_is_no_leak_though_it_rose_for_most_of_the_window() -> None:
    """It rose for 44 s of 60 and stands; what goes on after a rest is told when it does."""
    filled = climb((22, 8), (40, 0.01))
    assert alerts(LEAK, draw(filled, "rss_bytes", scale=MIB)) == []
    assert len(alerts(LEAK, draw(climb((22, 8), (4, 0.01), (30, 8)), "rss_bytes", scale=MIB))) == 1


def test_a_leak_arms_when_enough_is_gained_and_fires_when_the_window_passed() -> None:
    said = verdicts(Detector([LEAK]), draw(climb((60, 5)), "rss_bytes", scale=MIB))
    armed = [i for i, verdict in enumerate(said) if verdict.armed]
    raised = [i for i, verdict in enumerate(said) if verdict.alerts]
    assert armed == [20]
    assert raised == [30]


def test_standing_still_between_reports_is_not_rising() -> None:
    """Complete passes that leave the process out say that it did not grow."""
    assert alerts(LEAK, draw("50 .*40 200 .*40", "rss_bytes", scale=MIB)) == []


def test_a_gap_starts_growth_anew() -> None:
    halves = climb((20, 5)), climb((20, 5), start=150)
    assert alerts(LEAK, draw(f"{halves[0]} gap {halves[1]}", "rss_bytes", scale=MIB)) == []


@pytest.mark.parametrize(
    ("metric", "field", "word"),
    [
        (TriggerMetric.FD_GROWTH, "fd_count", "open files"),
        (TriggerMetric.THREAD_GROWTH, "thread_count", "threads"),
    ],
)
def test_open_files_and_threads_grow_likewise(metric: TriggerMetric, field: str, word: str) -> None:
    rule = Rule("growth", metric, Threshold(100, "count"), window_s=60, min_share=0.6)
    alert = alerts(rule, draw(climb((60, 5)), field))[0]
    assert alert.reason.startswith(f"burn.py gained 150 {word} in 60 s (from 50 to 200), rising ")
    assert alert.reason.endswith("; whether it falls again is not known yet; the rule says at least 100")
    assert alerts(rule, draw(climb((10, 5), (60, 0)), field)) == []


def test_file_counts_that_are_not_read_are_no_evidence() -> None:
    rule = Rule("fds", TriggerMetric.FD_GROWTH, Threshold(100, "count"), window_s=60)
    assert alerts(rule, draw("?*60", "fd_count")) == []


# ----------------------------------------------------------------------------------------------- hang


def states(letters: str, **same: object) -> list[Rates]:
    return [
        passed([process(state=letter, **same)] if letter != "." else [], 2.0 * i)
        for i, letter in enumerate(letters)
    ]


def test_uninterruptible_sleep_without_a_break_is_a_hang() -> None:
    (alert,) = alerts(HANG, states("S" + "D" * 60))
    assert seconds(alert) == 62
    assert alert.reason == (
        "burn.py has been in uninterruptible sleep (state D) for 60 s without a break; the rule says at least 60 s"
    )


def test_a_process_in_d_that_no_complete_pass_reports_still_hangs() -> None:
    assert len(alerts(HANG, states("SD" + "." * 60))) == 1


@pytest.mark.parametrize("letters", ["D" * 29 + "S" + "D" * 29, "S" * 60, "DS" * 40])
def test_a_break_starts_the_seconds_anew(letters: str) -> None:
    assert alerts(HANG, states(letters)) == []


@pytest.mark.parametrize("alive", [{"cpu_percent": 1.0}, {"disk_bytes_per_s": 4096.0}])
def test_busy_with_a_disk_is_not_hanging(alive: dict[str, float]) -> None:
    """Caught in D at every look, and getting on in between."""
    assert alerts(HANG, states("D" * 60, **alive)) == []


def test_whoever_is_in_state_d_is_watched() -> None:
    detector = Detector([HANG])
    verdicts(detector, states("SD"))
    assert detector.demand().watched == {BURNER}


def test_hanging_longer_is_not_worse() -> None:
    assert len(alerts(HANG, states("S" + "D" * 600))) == 1


# ------------------------------------------------------------------------------------------- baseline

SPIKE = replace(CPU_HOG, above=Threshold(20, "percent"), clear_level=None, times_baseline=3.0)


def test_a_process_is_compared_with_its_own_quiet_times() -> None:
    (alert,) = alerts(SPIKE, draw("10*40 50*6"))
    assert "at least 30 % (3 times its baseline of 10 %)" in alert.reason
    assert alert.threshold == Threshold(pytest.approx(30), "percent")
    assert alerts(SPIKE, draw("40*200 50*20")) == []  # busy is what it is like


def test_both_the_floor_and_the_baseline_must_be_broken() -> None:
    assert alerts(SPIKE, draw("2*40 15*20")) == []
    assert len(alerts(SPIKE, draw("2*40 25*6"))) == 1


def test_without_a_warm_baseline_nothing_is_concluded() -> None:
    assert alerts(SPIKE, draw("10*20 99*8")) == []


def test_who_never_did_anything_is_judged_by_the_threshold_alone() -> None:
    """Nothing is three times 0, and a process that idled until it went wild is no less wild for it."""
    (alert,) = alerts(SPIKE, draw("0*40 25*6"))
    assert alert.threshold == Threshold(20, "percent")
    assert alerts(replace(SPIKE, above=None, baseline_alone=True), draw("0*40 25*6")) == []


def test_a_baseline_alone_needs_no_floor() -> None:
    rule = replace(SPIKE, above=None, baseline_alone=True)
    assert len(alerts(rule, draw("2*40 7*6"))) == 1
    assert Detector([rule]).demand().cpu_percent == 0


def test_a_baseline_is_never_taught_by_what_it_judges() -> None:
    detector = Detector([SPIKE])
    verdicts(detector, draw("10*40 50*500"))
    (status,) = detector.explain()
    assert status.state == "firing"
    assert status.baseline == pytest.approx(10)


def test_no_rule_learns_while_another_of_its_metric_is_busy_with_the_target() -> None:
    """A burner that one rule caught must not become what the other takes for normal."""
    hog = replace(CPU_HOG, above=Threshold(25, "percent"), clear_level=None)
    detector = Detector(
        [hog, replace(SPIKE, name="spike"), replace(SPIKE, name="spike-2", times_baseline=5.0)]
    )
    verdicts(detector, draw("10*40 28*200"))
    assert [status.baseline for status in detector.explain(rule="spike-2")] == [pytest.approx(10)]


def test_two_rules_of_one_metric_teach_once() -> None:
    detector = Detector([SPIKE, replace(SPIKE, name="spike-2")])
    verdicts(detector, draw("10*20"))
    assert detector.explain()[0].baseline is None  # twenty samples, not forty


def test_baselines_belong_to_name_and_owner() -> None:
    """What one program does teaches nothing about another."""
    other = ProcessKey(9, 9)
    quiet = list(draw("10*40"))
    loud = [passed([process(other, name="loud", cpu_percent=50.0)], 80 + 2 * i) for i in range(20)]
    assert alerts(SPIKE, [*quiet, *loud]) == []


# ---------------------------------------------------------------------------------------------- match


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (Match(), True),
        (Match(names=("burn*",)), True),
        (Match(names=("BURN*",)), False),
        (Match(names=("other", "*.py")), True),
        (Match(names=("*",), not_names=("burn.?y",)), False),
        (Match(users=("1000",)), True),
        (Match(users=("ada",)), True),
        (Match(users=("bob", "nobody-knows-me")), False),
        (Match(units=("nginx.*",)), True),
        (Match(units=("cron.*",)), False),
        (Match(pids=(BURNER.pid,)), True),
        (Match(pids=(1,)), False),
        (Match(names=("burn*",), users=("bob",)), False),
    ],
)
def test_a_match_is_about_name_owner_unit_and_pid(match: Match, hits: bool) -> None:
    detector = Detector([replace(CPU_HOG, match=match)], uid_of={"ada": 1000, "bob": 1001})
    said = verdicts(detector, draw("0 95*6", unit="nginx.service"))
    assert bool(said[-1].alerts) is hits


@pytest.mark.parametrize(
    "name", ["a\nb", "\x1b[31mred", "=cmd|' /C calc'!A0", "\udcff\udcfe", "[", "*", "", "a" * 5000]
)
def test_a_name_is_only_data(name: str) -> None:
    """Whatever a process calls itself, rules and reasons take it as it is."""
    rule = replace(CPU_HOG, match=Match(not_names=("[a-b]*x", "b*")))
    (alert,) = alerts(rule, draw("0 95*6", name=name))
    assert alert.process_name == name
    assert alert.reason.startswith(f"{name} used 95 %")


# ----------------------------------------------------------------------------------------- bad rules


@pytest.mark.parametrize(
    "rule",
    [
        replace(CPU_HOG, metric=TriggerMetric.MANUAL),
        replace(CPU_HOG, above=None),
        replace(CPU_HOG, above=None, times_baseline=2.0),
        replace(CPU_HOG, above=Threshold(0, "percent")),
        replace(CPU_HOG, above=Threshold(float("nan"), "percent")),
        replace(CPU_HOG, above=Threshold(5, "bytes")),
        replace(CPU_HOG, above=None, below=Threshold(5, "percent")),
        replace(LOW, above=Threshold(5, "percent"), below=None),
        replace(LOW, times_baseline=2.0),
        replace(LOW, match=Match(names=("burn*",))),
        replace(NETWORK, match=Match(pids=(1,))),
        replace(CPU_HOG, min_share=0.0),
        replace(CPU_HOG, escalation_factor=0.5),
        Rule("m", TriggerMetric.MEMORY, Threshold(5, "percent"), clear_level=Threshold(4, "bytes")),
    ],
)
def test_a_rule_that_cannot_be_judged_is_refused_by_name(rule: Rule) -> None:
    with pytest.raises(ConfigError, match=rule.name):
        check_rule(rule)
    with pytest.raises(ConfigError):
        Detector([rule])


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="cpu-hog"):
        Detector([CPU_HOG, replace(CPU_HOG, window_s=20)])
