"""When something is observed, what is kept of it, and that an incident gets its cause, or at least is saved.

More than 400 lines: one path, from the first crossing to the sentence and the heading.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from monitord.capture.causes import Look
from monitord.model import (
    Alert,
    Arming,
    CapturePlan,
    Cause,
    HistoryPoint,
    Incident,
    ProcessDetails,
    ProcessKey,
    TriggerMetric,
)
from monitord.pipeline import Causes, IncidentWorker, Opening
from monitord.pipeline.causes import Both, result_of
from monitord.pipeline.turns import WAITING_AT_MOST
from tests.fakes import KEY, START, FakeCaptures, a_capture, an_alert
from tests.patience import PATIENCE_S
from tests.pipeline.test_pipeline import wait_until

LOCK = Cause("lock", "holder holds it", "likely")


class Room:
    """Stands for the capture room: notes what it is asked for, and waits where a test wants it to."""

    def __init__(self) -> None:
        self.looks: list[Look] = []
        self.explained: list[tuple[Incident, Both]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.cause: Cause | None = LOCK

    def observe(self, look: Look, folder: Path) -> bytes | None:
        self.looks.append(look)
        assert self.may_go_on.wait(PATIENCE_S)
        return b'{"number": %d}' % len(self.looks)

    def explain(self, incident: Incident, observed: Both, folder: Path) -> Cause | None:
        assert folder.is_dir()
        self.explained.append((incident, observed))
        if self.cause is None:
            raise RuntimeError("a bug of an explainer")
        return self.cause


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def causes(room: Room, tmp_path: Path) -> Iterator[Causes]:
    made = Causes(room.observe, room.explain, tmp_path / "causes")
    yield made
    room.may_go_on.set()
    made.close()


def arming(pid: int = KEY.pid, metric: TriggerMetric = TriggerMetric.CPU) -> Arming:
    target = None if metric.is_machine_wide else ProcessKey(pid, 1)
    return Arming("cpu-hog", metric, target, "burn", 97.0, START)


def test_what_crossed_is_observed_then_and_claimed_by_its_alert(room: Room, causes: Causes) -> None:
    causes.arm(arming())
    wait_until(lambda: room.looks != [])
    assert result_of(causes.claim("cpu-hog", ProcessKey(KEY.pid, 1))) == b'{"number": 1}'
    assert causes.claim("cpu-hog", ProcessKey(KEY.pid, 1)) is None, "it belongs to one alert"
    assert [(look.metric, look.target, look.needs_target) for look in room.looks] == [
        ("cpu", ProcessKey(KEY.pid, 1), True)
    ]


def test_a_broken_window_throws_away_what_was_observed_and_what_waits(room: Room, causes: Causes) -> None:
    room.may_go_on.clear()
    causes.arm(arming(1))
    causes.arm(arming(2))
    wait_until(lambda: len(room.looks) == 1)
    causes.forget(arming(1))
    causes.forget(arming(2))
    room.may_go_on.set()
    assert result_of(causes.observe(TriggerMetric.CPU, ProcessKey(3, 1))) == b'{"number": 2}'
    assert [look.target for look in room.looks] == [ProcessKey(1, 1), ProcessKey(3, 1)]
    assert causes.claim("cpu-hog", ProcessKey(1, 1)) is None


def test_at_most_four_crossings_wait_and_alerts_come_before_them(room: Room, causes: Causes) -> None:
    room.may_go_on.clear()
    for pid in range(1, 30):
        causes.arm(arming(pid))
    wait_until(lambda: len(room.looks) == 1)
    alert = causes.observe(TriggerMetric.CPU, ProcessKey(99, 1))
    room.may_go_on.set()
    assert result_of(alert) is not None
    assert room.looks[1].target == ProcessKey(99, 1)
    assert len(causes._armed) == 4  # what waits for its turn is bounded


def test_what_must_be_compared_waits_for_no_others(room: Room, causes: Causes) -> None:
    """What grew can't be told without the look at the crossing: neither full turns nor others' rests cost it."""
    room.may_go_on.clear()
    for pid in range(1, 9):
        causes.arm(arming(pid))
    wait_until(lambda: room.looks != [])
    grows = Arming("leak", TriggerMetric.MEMORY_GROWTH, ProcessKey(99, 1), "leaks", 1.0, START)
    causes.arm(grows)
    room.may_go_on.set()
    wait_until(lambda: len(room.looks) > 1)
    assert room.looks[1].metric == "memory_growth"
    assert result_of(causes.claim("leak", ProcessKey(99, 1))) is not None


def test_a_crossing_whose_turn_never_came_keeps_no_alert_waiting(room: Room, causes: Causes) -> None:
    room.may_go_on.clear()
    causes.arm(arming(1))
    wait_until(lambda: len(room.looks) == 1)
    causes.arm(arming(2))
    assert causes.claim("cpu-hog", ProcessKey(2, 1)) is None


def test_an_alert_whose_turn_comes_too_late_is_not_observed(
    room: Room, causes: Causes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind others of seconds each: what is seen then is not what the alert was about."""
    room.may_go_on.clear()
    first = causes.observe(TriggerMetric.CPU, ProcessKey(1, 1))
    wait_until(lambda: len(room.looks) == 1)
    late = [causes.observe(TriggerMetric.CPU, ProcessKey(pid, 1)) for pid in (2, 3)]
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 20.0)
    room.may_go_on.set()
    assert result_of(first) == b'{"number": 1}'
    assert [result_of(each) for each in late] == [None, None]
    monkeypatch.undo()
    assert result_of(causes.observe(TriggerMetric.CPU, ProcessKey(4, 1))) == b'{"number": 2}'


def test_the_machine_is_observed_where_a_rule_is_about_it(room: Room, causes: Causes) -> None:
    causes.arm(arming(metric=TriggerMetric.CPU_PRESSURE))
    wait_until(lambda: room.looks != [])
    assert result_of(causes.claim("cpu-hog", None)) == b'{"number": 1}'
    assert [(look.metric, look.target, look.needs_target) for look in room.looks] == [
        ("cpu_pressure", None, False)
    ]


def test_nothing_is_observed_of_nobody(room: Room, causes: Causes) -> None:
    """A rule about processes that blames none has nothing to look at."""
    assert causes.observe(TriggerMetric.CPU, None) is None
    assert room.looks == []


# ------------------------------------------------------------------------------- what an incident gets of it


class Worker:
    """A real worker over a fake capture room."""

    def __init__(self, folder: Path, causes: Causes) -> None:
        self.saved: list[Incident] = []
        self.captures = FakeCaptures([a_capture("context"), a_capture(target_cpu_percent=98.0)])
        self.worker = IncidentWorker(
            self.captures, self.save, ExitStack, folder, CapturePlan(duration_s=3), causes=causes
        )

    def save(self, incident: Incident) -> Future[object]:
        self.saved.append(incident)
        done: Future[object] = Future()
        done.set_result(None)
        return done

    def open(self, *openings: Opening) -> Sequence[Incident]:
        for opening in openings:
            self.worker.open(opening)
        wait_until(lambda: self.worker.is_idle)
        self.worker.close(5)
        return self.saved


def opening(give_back: Callable[[], None] = lambda: None, **changes: object) -> Opening:
    made = Opening(
        correlation_id="inc0", alert=an_alert(), process=None, history=(), first_look=None,
        describe=lambda _key: None, give_back=give_back,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_incident_without_a_profile_is_stored_at_once_and_its_cause_comes_later(
    tmp_path: Path, room: Room, causes: Causes
) -> None:
    first, second = Worker(tmp_path, causes).open(opening(refusal="6 captures an hour are taken"))
    assert (first.cause, second.cause) == (None, LOCK)
    assert first.captures == second.captures
    ((incident, (before, after)),) = room.explained
    assert (before, after) == (None, b'{"number": 1}')
    assert [capture.role for capture in incident.captures] == ["context", "profile"]


@pytest.mark.parametrize("target", [ProcessKey(KEY.pid, 1), None])
def test_no_row_and_no_evidence_waits_for_what_an_explainer_takes(
    tmp_path: Path, room: Room, causes: Causes, target: ProcessKey | None
) -> None:
    """While a look for a cause lasts, every incident is stored with its evidence; then all are explained."""
    room.may_go_on.clear()
    worker = Worker(tmp_path, causes)
    alert = an_alert(target=target) if target else an_alert(TriggerMetric.CPU_PRESSURE, target=None)
    for number in range(4):
        worker.worker.open(opening(refusal="no more", correlation_id=f"inc{number}", alert=alert))
    expected = ["context", "profile"] if target else []

    def stored(cause: Cause | None) -> set[str]:
        return {
            one.correlation_id
            for one in worker.saved
            if one.cause == cause and [capture.role for capture in one.captures] == expected
        }

    wait_until(lambda: len(stored(None)) == 4)
    assert room.explained == []
    room.may_go_on.set()
    wait_until(lambda: len(stored(LOCK)) == 4)
    assert len(room.explained) == 4
    worker.worker.close(5)


def test_what_waits_in_memory_for_its_cause_is_bounded(tmp_path: Path, room: Room, causes: Causes) -> None:
    room.may_go_on.clear()
    worker = Worker(tmp_path, causes)
    number = 3 * WAITING_AT_MOST
    for each in range(number):
        worker.worker.open(opening(refusal="no more", correlation_id=f"inc{each}"))
    wait_until(lambda: len({one.correlation_id for one in worker.saved if one.captures}) == number)
    room.may_go_on.set()
    wait_until(lambda: worker.worker.is_idle)
    assert 0 < len(room.explained) <= WAITING_AT_MOST + 1
    worker.worker.close(5)


def test_a_profile_comes_first_and_the_cause_with_it(tmp_path: Path, room: Room, causes: Causes) -> None:
    """Nothing keeps a profile waiting: its row comes at once, and the cause when there is most to tell it by."""
    before: Future[bytes | None] = Future()
    before.set_result(b'{"then": 1}')
    first, second = Worker(tmp_path, causes).open(opening(before=before))
    assert (first.cause, second.cause) == (None, LOCK)
    ((incident, observed),) = room.explained
    assert observed == (b'{"then": 1}', b'{"number": 1}')
    assert [capture.role for capture in incident.captures] == ["context", "profile"]


def test_a_failing_explainer_costs_its_sentence_only(tmp_path: Path, room: Room, causes: Causes) -> None:
    room.cause = None
    first, second = Worker(tmp_path, causes).open(opening())
    assert second.cause is None
    assert [capture.role for capture in second.captures] == ["context", "profile"]
    assert first.correlation_id == second.correlation_id


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (TriggerMetric.SPAWN_STORM, {"number": 1, "box": {"count": 3}}),
        (TriggerMetric.CPU_PRESSURE, {"number": 1}),
    ],
)
def test_who_started_what_goes_to_the_explainer_of_a_storm_alone(
    tmp_path: Path, room: Room, metric: TriggerMetric, told: dict[str, object]
) -> None:
    """Of the time of the alert's window."""
    asked: list[tuple[int, int]] = []

    def starters(since_ns: int, until_ns: int) -> dict[str, object]:
        asked.append((since_ns, until_ns))
        return {"count": 3}

    causes = Causes(room.observe, room.explain, tmp_path / "causes", starters=starters)
    alert = an_alert(metric, target=None)
    causes.explained(Incident("inc", alert, None), (None, causes.observe(metric, None)), tmp_path / "inc")
    causes.close()
    ((_incident, (before, after)),) = room.explained
    assert before is None
    assert json.loads(after or b"") == told
    window_s = (alert.raised_at - alert.crossed_at).total_seconds()
    assert [round((until - since) / 1e9, 3) for since, until in asked] == [window_s] * ("box" in told)


STORM = an_alert(
    TriggerMetric.SPAWN_STORM, target=ProcessKey(50, 5), process_name="cron", reason="300 a second"
)


def starts(
    *starters: tuple[int, str, int], start_ticks: int | None = 4, is_whole: bool = True, threads: int = 0
) -> dict[str, object]:
    """What the black box says."""
    rows = [[pid, name, count, count, []] for pid, name, count in starters]
    return {
        "seconds": 20.0, "count": sum(one[2] for one in starters), "is_whole": is_whole, "starters": rows,
        "first_start_ticks": start_ticks, "threads": threads,
    }  # fmt: skip


def stored(
    tmp_path: Path, told: Callable[[], Mapping[str, object] | None], alert: Alert = STORM
) -> list[Incident]:
    """What a worker makes of a storm's alert, whose target detection chose by the CPU of ended children."""
    room = Room()
    causes = Causes(room.observe, room.explain, tmp_path / "causes", starters=lambda _since, _until: told())
    history = (
        HistoryPoint(START, 50.0, 1 << 30, cpu_percent=7.0, rss_bytes=9, unattributed_cpu_percent=2.0),
    )
    process = ProcessDetails(ProcessKey(50, 5), "cron", 1, START)
    described = {ProcessKey(40, 4): ProcessDetails(ProcessKey(40, 4), "sh", 1, START)}
    made = opening(alert=alert, process=process, describe=described.get, history=history)
    try:
        return list(Worker(tmp_path, causes).open(made))
    finally:
        causes.close()


def test_a_storm_is_about_who_started_it_where_that_is_certain(tmp_path: Path) -> None:
    """Its heading, its process and its evidence; what was read of the other one is not shown as its own."""
    for one in stored(tmp_path, lambda: starts((40, "sh", 4100), (50, "cron", 90))):
        assert (one.alert.target, one.alert.process_name) == (ProcessKey(40, 4), "sh")
        assert one.process is not None
        assert one.process.name == "sh"
        assert {capture.target for capture in one.captures} <= {ProcessKey(40, 4), KEY}
        assert [
            (each.cpu_percent, each.rss_bytes, each.unattributed_cpu_percent) for each in one.history
        ] == [(None, None, 2.0)]


def test_a_starter_that_is_gone_is_named_and_nobody_elses_evidence_is_taken(tmp_path: Path) -> None:
    for one in stored(tmp_path, lambda: starts((40, "sh", 4100), start_ticks=None)):
        assert (one.alert.target, one.alert.process_name, one.process) == (None, "sh", None)
        assert one.captures == ()


@pytest.mark.parametrize(
    "told", [starts((40, "sh", 2000), (60, "dash", 1900)), starts((40, "sh", 4100), is_whole=False)]
)
def test_where_it_is_not_certain_a_storm_is_about_nobody_and_both_are_named(
    tmp_path: Path, told: dict[str, object]
) -> None:
    for one in stored(tmp_path, lambda: told):
        assert (one.alert.target, one.alert.process_name) == (None, "no single process")
        assert one.alert.reason.startswith("300 a second; most processes were started by sh (pid 40), ")


@pytest.mark.parametrize("starter", [40, 50], ids=["another one", "the one that detection chose"])
def test_where_most_of_what_was_started_are_threads_a_storm_is_about_nobody(
    tmp_path: Path, starter: int
) -> None:
    for one in stored(tmp_path, lambda: starts((starter, "make", 20), threads=50_000)):
        assert (one.alert.target, one.alert.process_name) == (None, "no single process")
        assert one.alert.reason.endswith(f"make (pid {starter}), 20 of 20, beside 50,000 threads")


def _gone() -> None:
    raise TimeoutError("the box waits for a process")


@pytest.mark.parametrize(
    "told",
    [
        lambda: None,
        dict,
        lambda: {"starters": [[1]], "count": 1, "is_whole": True, "first_start_ticks": None},
        _gone,
        lambda: starts((50, "cron", 4100), (40, "sh", 90)),
        lambda: starts((os.getpid(), "monitord", 4100)),
    ],
)
def test_without_records_of_starts_a_storm_is_about_whose_children_used_most(
    tmp_path: Path, told: Callable[[], Mapping[str, object] | None]
) -> None:
    """So, too, where both are the same, and never about the recorder itself."""
    for one in stored(tmp_path, told):
        assert (one.alert.target, one.alert.process_name) == (ProcessKey(50, 5), "cron")
        assert [each.cpu_percent for each in one.history] == [7.0]


def test_records_of_starts_are_asked_once_an_alert_and_of_a_storm_alone(tmp_path: Path) -> None:
    asked = []

    def told() -> Mapping[str, object]:
        asked.append(1)
        return starts((40, "sh", 4100))

    stored(tmp_path, told)
    assert len(asked) == 1, "for its heading and for its cause"
    stored(tmp_path, told, replace(STORM, metric=TriggerMetric.CPU))
    assert len(asked) == 1
