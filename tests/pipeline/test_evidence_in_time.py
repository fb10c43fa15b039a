"""Evidence is of the spike and of the program that had it: looks while the window lasts, late ones named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.best_evidence import leading_hotspots, rank
from monitord.capture.dumps import joined
from monitord.model import (
    Alert,
    Arming,
    Capture,
    CaptureStatus,
    HistoryPoint,
    Hotspot,
    Incident,
    Levels,
    ProcessKey,
    Threshold,
    TriggerMetric,
)
from monitord.pipeline import FirstLooks
from monitord.pipeline.lateness import _JUDGES
from monitord.pipeline.outcomes import labelled, of_same_program
from monitord.profiles import hotspots, parse
from tests.fakes import KEY, START, a_capture, an_alert
from tests.pipeline.test_pipeline import arming, wait_until

MIB = 1024 * 1024


def a_dump(function: str, at_s: float = 0.0, **changes: object) -> Capture:
    thread = {"os_thread_id": 1, "active": True, "cpu_share": 1.0, "frames": [{"name": function, "line": 3}]}
    given: dict[str, object] = {
        "payload": json.dumps([thread]).encode(), "format": "py-spy-dump", "sample_count": 1,
        "started_at": START + timedelta(seconds=at_s), "duration_s": 0.1,
    }  # fmt: skip
    return a_capture("dump", **{**given, **changes})


class Phases:
    """A process that is in another function at every look."""

    def __init__(self, functions: list[str]) -> None:
        self.left = functions
        self.count = 0

    def look(self, _target: ProcessKey, _folder: Path) -> Capture:
        self.count += 1
        function = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        return a_dump(function, self.count)


def test_while_the_window_lasts_it_is_looked_at_again_and_all_phases_are_seen(tmp_path: Path) -> None:
    phases = Phases(["first_phase", "first_phase", "second_phase"])
    folder = tmp_path / "first-looks"
    looks = FirstLooks(phases.look, list, folder, pace_s=0.01)
    looks.take(arming())
    wait_until(lambda: phases.count >= 5)
    future = looks.claim("cpu-hog", KEY)
    looks.close()
    assert not folder.exists(), "a clean end leaves nothing that counts as a killed capture's"
    assert future is not None
    dump = future.result(0).dump
    assert dump is not None
    assert dump.sample_count is not None
    assert dump.sample_count >= 4
    assert dump.notes["looks"].startswith(f"{dump.sample_count} looks within ")
    shares = {spot.function: spot.self_share for spot in hotspots(parse("py-spy-dump", dump.payload or b""))}
    assert shares["first_phase"] == pytest.approx(2 / dump.sample_count)
    assert shares["second_phase"] == pytest.approx(1 - 2 / dump.sample_count)


@pytest.mark.parametrize("how", ["claimed", "forgotten", "hang", "failed", "grown"])
def test_nothing_is_looked_at_for_longer_than_it_is_wanted(how: str, tmp_path: Path) -> None:
    """After the alert, after a broken window, of a hang, after a failed look, and beyond the limit of memory."""
    phases = Phases(["f"])
    if how == "failed":
        phases.look = lambda *_: replace(a_dump("f"), status=CaptureStatus.TARGET_GONE)  # type: ignore[method-assign]  # the tool's end
    if how == "grown":
        big = b'[{"os_thread_id":1,"frames":[{"name":"' + b"f" * 600_000 + b'"}]}]'
        phases.look = lambda *_: counted(phases, a_dump("f", payload=big))  # type: ignore[method-assign]  # as above
    looks = FirstLooks(phases.look, list, tmp_path, pace_s=0.01)
    metric = TriggerMetric.HANG if how == "hang" else TriggerMetric.CPU
    looks.take(Arming("cpu-hog", metric, KEY, "burn", 97.0, START))
    if how in ("claimed", "forgotten"):
        wait_until(lambda: phases.count >= 2)
        looks.claim("cpu-hog", KEY) if how == "claimed" else looks.forget(arming())
    wait_until(lambda: all(not watch.wants_more for watch in looks._pending.values()))
    looks.close()
    seen = phases.count
    assert seen <= 50
    if how in ("hang", "grown"):
        assert seen <= 2


def counted(phases: Phases, capture: Capture) -> Capture:
    phases.count += 1
    return capture


def test_looks_at_another_program_are_not_joined() -> None:
    """It was executed between two looks: what is kept is of the one that crossed the threshold."""
    before, after = a_dump("f", image="/bin/sh 1:2"), a_dump("g", 1.0, image="/bin/python 3:4")
    assert joined(before, after) == before
    assert joined(before, replace(after, image="/bin/sh 1:2")).sample_count == 2


def test_evidence_of_another_program_than_the_one_that_crossed_is_discarded() -> None:
    earlier = a_dump("f", image="/bin/bash 1:2")
    same, other, unknown = (
        a_capture(image=image) for image in ("/bin/bash 1:2", "/usr/bin/python3 7:8", None)
    )
    again = a_capture(image="/bin/bash 5:6")
    found = of_same_program([same, other, unknown, again], [earlier])
    assert [one.status for one in found] == [
        CaptureStatus.OK, CaptureStatus.TARGET_REPLACED, CaptureStatus.OK, CaptureStatus.TARGET_REPLACED,
    ]  # fmt: skip
    assert "/bin/bash → /usr/bin/python3" in (found[1].reason or "")
    armed = of_same_program([same, other], [], armed=(1, 2))
    assert [one.status for one in armed] == [CaptureStatus.OK, CaptureStatus.TARGET_REPLACED]
    assert (found[1].payload, found[1].hotspots) == (None, ())


def levels(**after: int) -> tuple[Levels, Levels]:
    """Ten seconds, in which only `after` was gained, from 1000 MiB, 0 bytes, 500 files and threads on."""
    names = ("rss_bytes", "disk_bytes", "network_bytes", "fd_count", "thread_count")
    before = dict(zip(names, (1000 * MIB, 0, 0, 500, 500), strict=True))
    return Levels(0.0, **before), Levels(10.0, **{name: before[name] + after.get(name, 0) for name in names})


def points(*rss_mib: int) -> tuple[HistoryPoint, ...]:
    return tuple(
        HistoryPoint(START + timedelta(seconds=second), 50.0, 0, rss_bytes=mib * MIB)
        for second, mib in enumerate(rss_mib)
    )


GROWN = points(100, 400, 700, 1000)
ALERTS: dict[TriggerMetric, Alert] = {
    TriggerMetric.CPU: an_alert(),
    TriggerMetric.MEMORY: an_alert(TriggerMetric.MEMORY, value=1e9, threshold=Threshold(1e9, "bytes")),
    TriggerMetric.MEMORY_GROWTH: an_alert(
        TriggerMetric.MEMORY_GROWTH, value=900.0 * MIB, threshold=Threshold(500.0 * MIB, "bytes")
    ),
    TriggerMetric.FREE_MEMORY: an_alert(TriggerMetric.FREE_MEMORY, value=4.0, threshold=Threshold(5.0, "percent")),
    TriggerMetric.DISK_IO: an_alert(
        TriggerMetric.DISK_IO, value=80e6, threshold=Threshold(50e6, "bytes_per_s")
    ),
    TriggerMetric.NETWORK: an_alert(
        TriggerMetric.NETWORK, value=80e6, threshold=Threshold(50e6, "bytes_per_s")
    ),
    TriggerMetric.HANG: an_alert(TriggerMetric.HANG, value=30.0, threshold=Threshold(20.0, "seconds")),
    TriggerMetric.FD_GROWTH: an_alert(TriggerMetric.FD_GROWTH, value=600.0, threshold=Threshold(500.0, "count")),
    TriggerMetric.THREAD_GROWTH: an_alert(
        TriggerMetric.THREAD_GROWTH, value=600.0, threshold=Threshold(500.0, "count")
    ),
}  # fmt: skip
DURING = {
    TriggerMetric.CPU: {"target_cpu_percent": 95.0},
    TriggerMetric.MEMORY: {"levels": levels(rss_bytes=2000 * MIB)},
    TriggerMetric.MEMORY_GROWTH: {"levels": levels(rss_bytes=800 * MIB)},
    TriggerMetric.FREE_MEMORY: {"levels": levels(rss_bytes=2000 * MIB)},
    TriggerMetric.DISK_IO: {"levels": levels(disk_bytes=600_000_000)},
    TriggerMetric.NETWORK: {"levels": levels(network_bytes=600_000_000)},
    TriggerMetric.HANG: {"target_cpu_percent": 0.0},
    TriggerMetric.FD_GROWTH: {"levels": levels(fd_count=550)},
    TriggerMetric.THREAD_GROWTH: {"levels": levels(thread_count=550)},
}
AFTER = {
    TriggerMetric.CPU: {"target_cpu_percent": 3.0},
    TriggerMetric.HANG: {"target_cpu_percent": 80.0},
}


def test_every_metric_of_one_process_is_judged() -> None:
    """A metric without a judge would show what came after as the spike, as all but one did."""
    unjudged = set(TriggerMetric) - set(_JUDGES)
    of_many = {TriggerMetric.CPU_PRESSURE, TriggerMetric.OOM_KILL, TriggerMetric.SHORT_LIVED_CPU}
    of_starts_and_ends = {TriggerMetric.SPAWN_STORM, TriggerMetric.SHORT_SPIKE}
    of_stalls = {TriggerMetric.MEMORY_PRESSURE, TriggerMetric.IO_PRESSURE}  # nobody is profiled
    assert unjudged == {TriggerMetric.MANUAL, *of_many, *of_starts_and_ends, *of_stalls}
    assert set(ALERTS) == set(DURING) == set(_JUDGES)


@pytest.mark.parametrize("metric", ALERTS)
def test_evidence_is_late_when_what_fired_the_rule_is_over(metric: TriggerMetric) -> None:
    incident = Incident("id", ALERTS[metric], None, GROWN)
    during = a_capture(**DURING[metric])
    after = a_capture(**AFTER.get(metric, {"levels": levels()}))
    unknown = a_capture()
    context = a_capture("context", target_cpu_percent=after.target_cpu_percent)
    assert [one.late for one in labelled([context, during, after, unknown], incident)] == [
        False, False, True, False,
    ]  # fmt: skip


def test_a_level_that_was_reached_long_ago_is_still_the_same_trouble() -> None:
    incident = Incident("id", ALERTS[TriggerMetric.MEMORY], None, points(1000, 1000, 1001))
    assert not labelled([a_capture(levels=levels())], incident)[0].late


def test_a_dump_from_inside_the_spike_beats_what_came_after_and_a_handful_of_samples() -> None:
    ranked = sorted(
        {
            "before": rank("before", "ok", sample_count=5),
            "whole": rank("profile", "ok", sample_count=400),
            "part": rank("profile", "partial", sample_count=100),
            "dump": rank("dump", "ok", sample_count=1),
            "thin before": rank("before", "ok", sample_count=4),
            "thin": rank("profile", "ok", sample_count=1),
            "late dump": rank("dump", "ok", late=True),
            "late": rank("profile", "ok", late=True, sample_count=400),
            "context": rank("context", "ok"),
            "failed": rank("profile", "timeout"),
        }.items(),
        key=lambda item: item[1],
    )
    assert [name for name, _ in ranked] == [
        *("before", "whole", "part", "dump", "thin before", "thin", "late", "late dump", "context", "failed")
    ]


def test_a_hang_is_told_by_where_it_waits_which_the_black_box_never_sees() -> None:
    ran_before = rank("before", "ok", sample_count=400, metric=TriggerMetric.HANG)
    assert ran_before > rank("dump", "ok") > rank("profile", "ok", metric=TriggerMetric.HANG)


def test_what_the_black_box_held_is_never_late_and_leads_what_came_after() -> None:
    """The profile after it shows another phase, or only what came when the spike was over."""
    f, g = (Hotspot(name, "/a.py", 1, 0.95, 1.0, func_id=name) for name in "fg")
    incident = Incident("id", ALERTS[TriggerMetric.CPU], None, ())
    before = a_capture("before", profiler="ring", format="ring", sample_count=90, hotspots=(f,))
    profile = a_capture(**DURING[TriggerMetric.CPU], hotspots=(g,), sample_count=100)
    labels = labelled([replace(before, target_cpu_percent=1.0), profile], incident)
    assert [one.late for one in labels] == [False, False]
    assert [(spot.function, spot.seen) for spot in leading_hotspots((profile, before))] == [
        ("f", None), ("g", "during the alert"),
    ]  # fmt: skip
    late = replace(profile, late=True)
    assert [spot.function for spot in leading_hotspots((before, late))] == ["f"]
    thin = replace(before, sample_count=4)
    assert [(spot.function, spot.seen) for spot in leading_hotspots((thin, profile))] == [
        ("g", None), ("f", "before the alert"),
    ]  # fmt: skip


def test_a_name_from_the_profile_comes_before_code_that_the_black_box_could_not_name() -> None:
    unnamed = Hotspot("[libpython3.16.so]", None, None, 0.97, 1.0, kind="native")
    named = Hotspot("price_basket", "/a.py", 1, 0.95, 1.0, func_id="1")
    before = a_capture("before", profiler="ring", sample_count=90, hotspots=(unnamed,))
    found = leading_hotspots((before, a_capture(hotspots=(named,), sample_count=100)))
    assert [spot.function for spot in found] == ["price_basket", "[libpython3.16.so]"]


def test_a_name_from_a_look_comes_before_code_that_the_black_box_could_not_name() -> None:
    """Where no profile was taken: cause and hottest function then tell of the same one."""
    unnamed = Hotspot("[Python, not read]", None, None, 0.97, 1.0, kind="native")
    named = Hotspot("price_basket", "/a.py", 1, 1.0, 1.0, func_id="1")
    before = a_capture("before", profiler="ring", sample_count=90, hotspots=(unnamed,))
    look = a_dump("f", hotspots=(named,))
    assert [(spot.function, spot.seen) for spot in leading_hotspots((before, look))] == [
        ("price_basket", "before the alert"), ("[Python, not read]", None),
    ]  # fmt: skip
    known = replace(before, hotspots=(replace(named, function="load_orders"),))
    assert [spot.function for spot in leading_hotspots((known, look))] == ["load_orders"]


def test_of_a_function_that_was_read_now_and_then_the_profile_tells_the_share() -> None:
    """Work that goes round a pool: of each thread little is read, and 20 % is no share of anything."""
    read = Hotspot("crunch", "/a.py", 1, 0.2, 0.2, func_id="1")
    not_read = Hotspot("[Python, not read]", None, None, 0.8, 0.8, kind="native")
    before = a_capture("before", profiler="ring", sample_count=90, hotspots=(read, not_read))
    profile = a_capture(hotspots=(replace(read, self_share=1.0),), sample_count=64)
    found = leading_hotspots((before, profile))
    assert [(spot.function, spot.self_share, spot.seen) for spot in found] == [
        ("crunch", 1.0, "during the alert"), ("crunch", 0.2, None), ("[Python, not read]", 0.8, None),
    ]  # fmt: skip


def test_what_threads_wait_in_does_not_lead_where_little_was_read() -> None:
    """Told was Condition.wait, as the hottest, of a program all of whose time went to its workers' function."""
    read = Hotspot("worker", "/a.py", 1, 0.15, 0.23, func_id="1")
    wait = Hotspot("Condition.wait", "/usr/lib/python3.11/threading.py", 327, 0.08, 0.08, func_id="2")
    not_read = Hotspot("[Python, not read]", None, None, 0.73, 0.77, kind="native")
    before = a_capture("before", profiler="ring", sample_count=90, hotspots=(read, not_read, wait))
    seen = (replace(read, self_share=0.42, total_share=0.42), replace(wait, self_share=0.58))
    found = leading_hotspots((before, a_capture(hotspots=seen, sample_count=323)))
    assert found[0].function == "worker"
    assert [spot.function for spot in found if spot.seen] == []


def test_a_phase_that_only_the_looks_saw_is_told_beside_the_profile() -> None:
    """6 s in f, then in g: the profile leads, and what it can't know any more follows it, marked."""
    f, g = (Hotspot(name, "/a.py", 1, 0.95, 1.0) for name in "fg")
    captures = (a_dump("f", hotspots=(f,)), a_capture(hotspots=(g,), sample_count=100))
    assert [(spot.function, spot.seen) for spot in leading_hotspots(captures)] == [
        ("g", None), ("f", "before the alert"),
    ]  # fmt: skip
    late = (captures[0], replace(captures[1], late=True))
    assert [spot.function for spot in leading_hotspots(late)] == ["f"]
