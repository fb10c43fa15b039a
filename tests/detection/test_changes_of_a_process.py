"""What happens to a process while a rule is busy with it: it executes another program, or it disappears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from monitord.detection import Detector, replay
from monitord.model import ProcessKey, ProcessRates, Rates, Rule, Threshold, TriggerMetric
from tests.detection.timelines import BURNER, CPU_HOG, alerts, draw, machine, passed, process, verdicts

OLD, NEW = (0x400000, 0x7FFE0000), (0x500000, 0x7FFD0000)
MEMORY = Rule("memory-hog", TriggerMetric.MEMORY, above=Threshold(1 << 30, "bytes"), window_s=30)
GROWTH = Rule("leak", TriggerMetric.MEMORY_GROWTH, above=Threshold(100 << 20, "bytes"), window_s=60)


def burning(*images: tuple[int, int] | None) -> list[Rates]:
    return [passed([process(cpu_percent=97.0, image=image)], 2.0 * i) for i, image in enumerate(images)]


def test_an_exec_ends_the_window_and_another_one_begins() -> None:
    """What the old program did does not fill the new one's window, and its first look is let go of."""
    said = verdicts(Detector([CPU_HOG]), burning(*[OLD] * 4, *[NEW] * 8))
    assert [len(verdict.alerts) for verdict in said] == [0] * 9 + [1] + [0] * 2
    assert [arming.image for verdict in said for arming in verdict.disarmed] == [OLD]
    assert [arming.image for verdict in said for arming in verdict.armed] == [OLD, NEW]
    (alert,) = [alert for verdict in said for alert in verdict.alerts]
    assert alert.image == NEW


def test_the_new_program_of_a_firing_process_is_an_incident_of_its_own() -> None:
    """Neither the episode nor the cooldown of the old program hides it."""
    assert [alert.suppressed_by for alert in alerts(CPU_HOG, burning(*[OLD] * 8, *[NEW] * 8))] == [None, None]


def test_an_image_that_can_not_be_read_is_no_exec() -> None:
    """Unknown is not different."""
    assert len(alerts(CPU_HOG, burning(OLD, None, None, OLD, None, OLD, OLD, OLD))) == 1


def test_who_executes_all_the_time_can_not_hide_by_it() -> None:
    """A process that becomes another program at every look is followed as one in the end."""
    assert len(alerts(CPU_HOG, burning(*[(i, i) for i in range(1, 20)]))) >= 1


@pytest.mark.parametrize(("kills", "told"), [(1, True), (0, False), (None, False)])
def test_disappearing_above_a_memory_threshold_is_an_alert(kills: int | None, told: bool) -> None:
    """The reason says so, and a kill by the kernel is counted beside it."""
    gone = passed([], 8.0, exited=frozenset({BURNER}), system=machine(oom_kills=kills))
    detector = Detector([MEMORY])
    said = verdicts(detector, [*draw("0.1 2 2 2", "rss_bytes", scale=1 << 30), gone])
    (alert,) = [alert for verdict in said for alert in verdict.alerts]
    assert "disappeared while it held at least 1 GiB" in alert.reason
    assert ("the kernel killed 1 process for lack of memory" in alert.reason) is told
    assert (alert.target, alert.profiler, alert.suppressed_by) == (BURNER, "none", None)
    assert not [arming for verdict in said for arming in verdict.disarmed], "its first look is kept"


@pytest.mark.parametrize(
    "timeline", ["0.1 2 2 0.1 x", "0.1 0.5 x", "0.1 2*20 x"], ids=["fell", "never crossed", "told already"]
)
def test_an_end_without_a_crossing_that_lasts_says_nothing_more(timeline: str) -> None:
    """Nothing is said of a process that let go before, never held so much, or is an incident already."""
    said = alerts(MEMORY, draw(timeline, "rss_bytes", scale=1 << 30))
    assert not [alert for alert in said if "disappeared" in alert.reason]


@pytest.mark.parametrize(("kills", "count"), [(0, 0), (2, 1)])
def test_a_job_that_grew_and_ended_is_news_only_beside_a_kill(kills: int, count: int) -> None:
    """Most jobs grow and end; one that ends in the moment of a kill is told of."""
    growing = draw("50 100 200 400", "rss_bytes", scale=1 << 20)
    gone = passed([], 8.0, exited=frozenset({BURNER}), system=machine(oom_kills=kills))
    assert len(alerts(GROWTH, [*growing, gone])) == count


def test_a_cpu_burner_that_ends_before_its_window_is_no_alert() -> None:
    """Disappearing is news of memory alone."""
    assert alerts(CPU_HOG, draw("0 95*4 x")) == []


def test_page_cache_and_shared_memory_are_no_growth_and_anonymous_memory_is() -> None:
    """The reason says which it was."""
    sizes = [(i << 20) * 10 for i in range(1, 40)]
    cache = [
        passed([process(rss_bytes=(50 << 20) + size, private_bytes=40 << 20)], 2.0 * i)
        for i, size in enumerate(sizes)
    ]
    heap = [
        passed([process(rss_bytes=(50 << 20) + size, private_bytes=(40 << 20) + size)], 2.0 * i)
        for i, size in enumerate(sizes)
    ]
    assert alerts(GROWTH, cache) == []
    (alert,) = alerts(GROWTH, heap)
    assert "of anonymous memory" in alert.reason


STORM = Rule("storm", TriggerMetric.SHORT_LIVED_CPU, above=Threshold(60, "percent"), window_s=6)


def storm(pid: int, ended: float, unseen: float | None, count: int = 8) -> list[Rates]:
    parent = process(ProcessKey(pid, 1), name="make", children_cpu_percent=ended)
    system = machine(unattributed_cpu_percent=unseen)
    return [passed([parent], 2.0 * i, system=system) for i in range(count)]


def test_a_fork_storm_names_the_parent() -> None:
    """Its ended children are what nobody else accounts for."""
    (alert,) = alerts(STORM, storm(700, 90.0, 95.0))
    assert (alert.target, alert.process_name) == (ProcessKey(700, 1), "make")
    assert "the ended children of make (pid 700) 90 % of a core" in alert.reason
    assert (
        "used 90 % of one core on average for processes too short-lived to be seen, at least 60 %"
        in alert.reason
    )


def test_what_the_first_process_collects_is_not_its_own() -> None:
    """Orphans of others: the storm is told, and nobody is blamed."""
    (alert,) = alerts(STORM, storm(1, 90.0, 95.0))
    assert (alert.target, alert.process_name) == (None, "no single process")


@pytest.mark.parametrize(("ended", "unseen"), [(90.0, 5.0), (5.0, 95.0), (5.0, None)])
def test_ended_children_that_were_seen_and_interrupts_are_no_storm(
    ended: float, unseen: float | None
) -> None:
    """Both must be: children that ended, and CPU that nobody alive accounts for."""
    assert alerts(STORM, storm(700, ended, unseen, 20)) == []


@pytest.mark.parametrize("rule", ["storm", "starts"])
def test_the_parent_of_a_child_that_lived_long_is_not_to_blame(rule: str) -> None:
    """All that a compiler used in its minutes is charged to its parent at once, in the middle of the storm."""
    passes = []
    for i in range(10):
        make = process(ProcessKey(700, 1), name="make", children_cpu_percent=60.0)
        shell = process(ProcessKey(800, 1), name="bash", children_cpu_percent=20_000.0 if i == 4 else 0.0)
        system = machine(unattributed_cpu_percent=65.0, starts_per_s=300.0)
        passes.append(passed([make, shell], 2.0 * i, system=system))
    (alert,) = alerts({"storm": STORM, "starts": STARTS}[rule], passes)
    assert alert.process_name == "make"


STARTS = Rule("starts", TriggerMetric.SPAWN_STORM, above=Threshold(200, "count"), window_s=10)


def starting(pid: int, ended: float, per_s: float | None, count: int = 10) -> list[Rates]:
    parent = process(ProcessKey(pid, 1), name="loop", children_cpu_percent=ended)
    system = machine(starts_per_s=per_s, unattributed_cpu_percent=95.0)
    return [passed([parent], 2.0 * i, system=system) for i in range(count)]


def test_a_storm_of_starts_names_the_parent_that_pays_for_them() -> None:
    (alert,) = alerts(STARTS, starting(700, 12.0, 300.0))
    assert (alert.target, alert.process_name) == (ProcessKey(700, 1), "loop")
    assert alert.reason.startswith("the machine started 300 processes a second on average, at least 200 in ")
    assert "the ended children of loop (pid 700) 12 % of a core" in alert.reason


def test_starts_of_threads_are_no_storm_of_processes() -> None:
    """The kernel counts both; nobody is charged with an ended thread."""
    assert alerts(STARTS, starting(700, 0.0, 2_000.0)) == []
    assert alerts(STARTS, starting(700, 50.0, None)) == []


def test_orphans_of_others_name_nobody() -> None:
    (alert,) = alerts(STARTS, starting(1, 50.0, 300.0))
    assert (alert.target, alert.process_name) == (None, "no single process")


def test_one_storm_is_one_incident() -> None:
    """How many children, and what they used, is told of the same loop."""
    said = list(replay([STORM, STARTS], starting(700, 90.0, 300.0)))
    assert [(alert.rule, alert.counts_with) for alert in said] == [("storm", None), ("starts", "storm")]


SPIKE = Rule("spike", TriggerMetric.SHORT_SPIKE, above=Threshold(3, "seconds"), window_s=10)


def spiking(*percents: float, gone: bool = True) -> list[Rates]:
    passes = [passed([process(cpu_percent=used)], 2.0 * i) for i, used in enumerate(percents)]
    return [*passes, passed([], 2.0 * len(percents), exited=frozenset({BURNER}))] if gone else passes


def test_a_process_that_burned_and_is_gone_is_told_with_what_it_used() -> None:
    (alert,) = alerts(SPIKE, spiking(0.0, 100.0, 100.0))
    assert (alert.target, alert.process_name, alert.value) == (BURNER, "burn.py", 4.0)
    assert "used 4 s of CPU or more within 10 s and ended; the rule says at least 3 s" in alert.reason


@pytest.mark.parametrize(
    "passes",
    [
        spiking(*[100.0] * 20, gone=False),  # a rule about CPU's
        spiking(0.0, 100.0),
        spiking(*[100.0] * 20, *[0.0] * 5),  # what it used lies longer back
    ],
)
def test_one_that_lives_or_did_little_at_its_end_is_no_short_spike(passes: list[Rates]) -> None:
    assert alerts(SPIKE, passes) == []


OOM = Rule("oom", TriggerMetric.OOM_KILL, above=Threshold(1, "count"), window_s=1, cooldown_s=300)


@pytest.mark.parametrize("late", [0, 1], ids=["gone in the pass of the kill", "gone a pass later"])
def test_a_kill_for_lack_of_memory_is_an_alert_that_names_who_disappeared(late: int) -> None:
    """The largest that ended beside it."""
    big = process(rss_bytes=120 << 20)
    passes = [passed([big], 0.0), *[passed([], 2.0 + i, system=machine(oom_kills=0)) for i in range(3)]]
    passes.append(passed([], 6.0, system=machine(oom_kills=1), exited=frozenset() if late else {BURNER}))
    passes.append(passed([], 8.0, system=machine(oom_kills=0), exited=frozenset({BURNER} if late else ())))
    passes += [passed([], 10.0 + 2 * i, system=machine(oom_kills=0)) for i in range(4)]
    (alert,) = alerts(OOM, passes)
    assert alert.target == BURNER
    assert "burn.py (pid 4242) with 120 MiB" in alert.reason


def test_who_filled_a_small_group_is_likelier_than_a_larger_one_that_ended_by_chance() -> None:
    """All of them may be in groups with a limit: what counts is who was near it."""
    hog = process(rss_bytes=100 << 20, memory_limit_bytes=120 << 20)
    bystander = process(ProcessKey(900, 1), name="mypy", rss_bytes=150 << 20, memory_limit_bytes=4 << 30)
    passes = [passed([hog, bystander], 0.0), passed([], 2.0, system=machine(oom_kills=0))]
    gone = frozenset({hog.key, bystander.key})
    passes.append(passed([], 4.0, system=machine(oom_kills=1), exited=gone))
    (alert,) = alerts(OOM, [*passes, passed([], 6.0, system=machine(oom_kills=0))])
    assert alert.target == BURNER
    assert "burn.py (pid 4242) with 100 MiB of the 120 MiB that its group may hold" in alert.reason


def in_group(pid: int, mib: int, group: str | None) -> ProcessRates:
    size, limit = mib << 20, 100 << 20
    key = ProcessKey(pid, 1)
    return process(key, name=f"p{pid}", rss_bytes=size, memory_group=group, memory_limit_bytes=limit)


def killing(
    present: Sequence[ProcessRates], *after: tuple[Mapping[str, int], tuple[int, ...]]
) -> list[Rates]:
    """Passes with all of them, then those given: what was counted in which group, and who disappeared."""
    passes = [passed(present, 2.0 * i, system=machine(oom_kills=0)) for i in range(2)]
    for i, (counted, gone) in enumerate(after):
        groups = {group: count for group, count in counted.items() if group}
        system = machine(oom_kills=sum(counted.values()), oom_kills_in=groups)
        exited = frozenset(ProcessKey(pid, 1) for pid in gone)
        passes.append(passed([], 4.0 + 2 * i, system=system, exited=exited))
    return passes


NOTHING: tuple[Mapping[str, int], tuple[int, ...]] = ({}, ())


def test_a_kill_names_its_group_and_who_disappeared_from_it() -> None:
    """A larger one of another group that ended in the same moment is not blamed."""
    present = [in_group(7, 60, "/docker/abc"), in_group(8, 90, "/docker/other"), in_group(9, 95, None)]
    (alert,) = alerts(OOM, killing(present, ({"/docker/abc": 1}, (7, 8, 9))))
    assert alert.target == ProcessKey(7, 1)
    assert "1 process for lack of memory in the group /docker/abc; " in alert.reason


def test_who_ended_in_the_same_moment_is_not_blamed_while_the_victim_is_waited_for() -> None:
    """A large process of no group that is known ends when the kill is counted; the victim goes a pass later."""
    present = [in_group(7, 90, None), in_group(8, 60, "/a")]
    (alert,) = alerts(OOM, killing(present, ({"/a": 1}, (7,)), ({}, (8,)), NOTHING))
    assert alert.target == ProcessKey(8, 1)


def test_a_kill_elsewhere_that_is_waited_for_does_not_part_a_victim_from_its_rule() -> None:
    """What its rule about memory says of it is told with its kill, however many passes that takes."""
    hog = replace(in_group(7, 1500, "/a"), key=BURNER, name="burn.py")
    passes = killing([hog, in_group(8, 60, "/b")], ({"/a": 1, "/b": 1}, ()), *[NOTHING] * 3, ({}, (8,)))
    passes[3] = replace(passes[3], exited=frozenset({BURNER}))
    said = [alert for verdict in verdicts(Detector([OOM, MEMORY]), passes) for alert in verdict.alerts]
    (of_hog,) = [alert for alert in said if alert.target == BURNER]
    assert "in the group /a; " in of_hog.reason
    assert "disappeared while it held at least 1 GiB" in of_hog.reason
    assert "p8 (pid 8)" in of_hog.reason


def test_kills_in_several_groups_are_told_of_each() -> None:
    """One that nobody can be named for is unknown."""
    present = [in_group(7, 60, "/a"), in_group(8, 90, "/b")]
    passes = killing(present, ({"/a": 1, "/c": 1, "": 1}, (7, 8)), *[NOTHING] * 8)
    (alert,) = alerts(OOM, passes)
    assert alert.value == 3
    for said in (
        "in the group /a; of those that disappeared then the likeliest is p7 (pid 7)",
        "in the group /c; which process is unknown",
        "in the group /b; of those that disappeared then the likeliest is p8 (pid 8)",
    ):
        assert f"the kernel killed 1 process for lack of memory {said}" in alert.reason


def test_who_takes_long_to_go_is_waited_for() -> None:
    """Of a known group: whoever else disappears meanwhile is not taken for it."""
    present = [in_group(7, 60, "/a"), in_group(8, 90, "/b")]
    (alert,) = alerts(OOM, killing(present, ({"/a": 1}, ()), ({}, (8,)), NOTHING, ({}, (7,))))
    assert alert.target == ProcessKey(7, 1)


def test_every_kill_counts_also_in_passes_one_after_the_other() -> None:
    """A kill is no state that lasts: each within the cooldown repeats the first one's incident."""
    said = alerts(OOM, killing([], *[({"/a": 1}, ())] * 40))
    assert said[0].suppressed_by is None
    assert all(alert.is_repeat for alert in said[1:])
    assert sum(alert.value for alert in said) >= 30


HOG = Rule("hog", TriggerMetric.MEMORY, above=Threshold(40, "percent"), window_s=30)


@pytest.mark.parametrize("counted_in", [0, 1, 2], ids=["before it is gone", "with its end", "a pass later"])
def test_a_kill_is_one_incident_though_two_rules_see_it(counted_in: int) -> None:
    """The kill's, which says what the other would have said; its capture of the hour is given back."""
    passes = [({"/a": 1} if i == counted_in else {}, (7,) if i == 1 else ()) for i in range(4)]
    detector = Detector([OOM, HOG])
    said = verdicts(detector, killing([in_group(7, 60, "/a")], *passes))
    (alert,) = [alert for verdict in said for alert in verdict.alerts]
    assert (alert.rule, alert.target) == ("oom", ProcessKey(7, 1))
    assert (
        "may hold; p7 disappeared while it held at least 40 % of the 100 MiB that its group may hold"
        in alert.reason
    )
    assert not [arming for verdict in said for arming in verdict.disarmed if arming.rule == "hog"]


def test_a_second_kill_within_the_cooldown_is_told_by_the_rule_about_its_memory() -> None:
    """Its row would be the first one's, and its evidence lost: one row a kill, each with its victim."""
    present = [in_group(7, 60, "/a"), in_group(8, 60, "/a")]
    passes = killing(present, ({"/a": 1}, (7,)), ({"/a": 1}, (8,)), NOTHING, NOTHING)
    said = alerts([OOM, HOG], passes)
    assert [(alert.rule, alert.target.pid if alert.target else 0, alert.counts_with) for alert in said] == [
        ("oom", 7, None), ("hog", 8, None), ("oom", 8, "hog"),
    ]  # fmt: skip
    assert "the kernel killed 1 process for lack of memory in the group /a" in said[1].reason


@pytest.mark.parametrize("rules", [[HOG], [HOG, OOM]], ids=["without a rule about kills", "with one"])
def test_an_end_without_a_kill_is_told_all_the_same(rules: list[Rule]) -> None:
    """With a rule about kills one pass later: its counter may follow."""
    (alert,) = alerts(rules, killing([in_group(7, 60, "/a")], ({}, (7,)), NOTHING, NOTHING))
    assert (alert.rule, "the kernel" in alert.reason) == ("hog", False)


def test_a_disk_alert_of_a_parent_says_that_its_childrens_bytes_are_in_it() -> None:
    """The kernel charges a parent with what its children moved when they end."""
    rule = Rule("disk", TriggerMetric.DISK_IO, above=Threshold(1e8, "bytes_per_s"), window_s=6)
    (alert,) = alerts(rule, draw("2*8", "disk_bytes_per_s", scale=1e8, children_cpu_percent=20.0))
    assert alert.reason.startswith("burn.py with its ended children moved")


def test_low_memory_says_where_the_memory_is() -> None:
    """The largest parts, and no process by itself: the reason is the machine's."""
    rule = Rule("low", TriggerMetric.FREE_MEMORY, below=Threshold(5, "percent"), window_s=6)
    held = {"shared memory and tmpfs": 14 << 30, "processes' own memory": 1 << 30, "page tables": 0}
    short = machine(memory_available_bytes=100 << 20, memory_held_bytes=held)
    (alert,) = alerts(rule, [passed([], 2.0 * i, system=short) for i in range(8)])
    assert "; 14 GiB in shared memory and tmpfs, 1 GiB in processes' own memory" in alert.reason
    assert alert.reason.endswith("own memory"), "what holds nothing is not named"
    assert (alert.target, alert.process_name) == (None, "no single process")


def test_a_zombie_has_ended_and_one_with_other_threads_goes_on() -> None:
    """A parent that does not collect its children hides no end; a main thread that ended is no end."""
    held = draw("0.1 2 2", "rss_bytes", scale=1 << 30)
    (alert,) = alerts(MEMORY, [*held, passed([process(state="Z", rss_bytes=0)], 6.0)])
    assert "disappeared" in alert.reason
    burning = [passed([process(state="Z", thread_count=4, cpu_percent=97.0)], 2.0 * i) for i in range(8)]
    assert len(alerts(CPU_HOG, burning)) == 1


def workers(count: int, private: int, shared: int, first: int = 300) -> list[ProcessRates]:
    return [
        process(
            ProcessKey(first + i, 1), name="postgres", rss_bytes=((private + shared) << 20) + i, private_bytes=private << 20
        )
        for i in range(count)
    ]  # fmt: skip


def test_a_segment_that_many_share_is_one_incident_that_says_so() -> None:
    """Six workers on one buffer; and two of them that hold as much of their own are incidents, too."""
    rule = Rule("hog", TriggerMetric.MEMORY, above=Threshold(300 << 20, "bytes"), window_s=6)
    shared = workers(6, 5, 320)
    (alert,) = alerts(rule, [passed(shared, 2.0 * i) for i in range(8)])
    assert "(320 MiB of it shared or of files)" in alert.reason
    both = [*shared, *workers(2, 400, 320, first=400)]
    assert len(alerts(rule, [passed(both, 2.0 * i) for i in range(8)])) == 3


def test_two_segments_are_two_matters() -> None:
    """They differ in size, so they are not one."""
    rule = Rule("hog", TriggerMetric.MEMORY, above=Threshold(300 << 20, "bytes"), window_s=6)
    two = [*workers(3, 5, 320), *workers(3, 5, 900, first=400)]
    assert len(alerts(rule, [passed(two, 2.0 * i) for i in range(8)])) == 2
