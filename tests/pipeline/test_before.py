"""What the black box has of a target is the first thing that its incident gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.model import Alert, Capture, CapturePlan, CaptureStatus, Incident, ProcessKey, TriggerMetric
from monitord.pipeline import FirstLooks, IncidentWorker
from monitord.pipeline.before import Before, KeptBySystem
from monitord.pipeline.first_looks import FirstLook
from monitord.pipeline.openings import Opening
from monitord.stacks.document import Document
from tests.fakes import KEY, FakeCaptures, a_capture, an_alert
from tests.patience import PATIENCE_S
from tests.pipeline.test_pipeline import arming, wait_until

OTHER = ProcessKey(77, 7)
Asked = tuple[ProcessKey, int, int, int | None]


class Box:
    """A black box that has five samples of everybody, or fails."""

    def __init__(self, error: Exception | None = None, *, is_empty: bool = False) -> None:
        self.asked: list[Asked] = []
        self._error, self._is_empty = error, is_empty

    def take(
        self, target: ProcessKey, since_ns: int, until_ns: int, crossed_ns: int | None = None
    ) -> Document | None:
        self.asked.append((target, since_ns, until_ns, crossed_ns))
        if self._error is not None:
            raise self._error
        if self._is_empty:
            return None
        return Document(b"{}", 5, 4, 1, 2, until_ns - 3_000_000_000, until_ns, 19, "machine")


class Names:
    def put_in(self, taken: Capture, _folder: Path) -> Capture:
        return replace(taken, payload=b"named")

    def stop(self) -> None:
        return


def incidents_of(
    box: Box, folder: Path, alert: Alert, look: FirstLook | None = None, plan: CapturePlan | None = None
) -> Sequence[Incident]:
    """Every save of one alert."""
    captures = FakeCaptures([a_capture("context"), a_capture()])
    saved: list[Incident] = []

    def save(incident: Incident) -> Future[object]:
        saved.append(incident)
        return done(None)

    worker = IncidentWorker(
        captures,
        save,
        nullcontext,
        folder,
        plan or CapturePlan(),
        before=Before(box, Names(), captures.read),
    )
    worker.open(
        Opening(
            correlation_id="inc0", alert=alert, process=None, history=(),
            first_look=None if look is None else done(look), describe=lambda _key: None,
            give_back=lambda: None,
        )
    )  # fmt: skip
    wait_until(lambda: worker.is_idle)
    worker.close(5)
    return saved


def done(value: object) -> Future[object]:
    future: Future[object] = Future()
    future.set_result(value)
    return future


def now_alert(**changes: object) -> Alert:
    now = datetime.now(UTC)
    return an_alert(crossed_at=now - timedelta(seconds=12), raised_at=now - timedelta(seconds=2), **changes)


def test_it_is_saved_first_and_leads_the_captures(tmp_path: Path) -> None:
    """Before a profile, which takes seconds: a kill in between must not cost it."""
    box = Box()
    first, *_, last = incidents_of(box, tmp_path, now_alert())
    for saved in (first, last):
        before = saved.captures[0]
        assert (before.role, before.profiler, before.format) == ("before", "ring", "ring")
        assert (before.status, before.payload, before.sample_count) == (CaptureStatus.OK, b"named", 5)
        assert before.notes["python"] == "4 of 5 samples"
        assert before.duration_s == pytest.approx(3)
    assert [capture.role for capture in last.captures].count("before") == 1


def test_the_box_is_asked_of_the_time_before_the_alert_and_told_when_it_began(tmp_path: Path) -> None:
    """However long the alert waited for its turn."""
    box = Box()
    incidents_of(box, tmp_path, now_alert())
    ((target, since_ns, until_ns, crossed_ns),) = box.asked
    ago_s = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - until_ns) / 1e9
    assert target == KEY
    assert 2 <= ago_s < 60
    assert until_ns - since_ns == 100_000_000_000
    assert crossed_ns is not None
    assert until_ns - crossed_ns == pytest.approx(10e9, abs=1e6)


def test_a_clock_that_was_set_does_not_make_it_ask_of_another_day(tmp_path: Path) -> None:
    box = Box()
    then = datetime.now(UTC) - timedelta(days=1)
    incidents_of(box, tmp_path, an_alert(crossed_at=then, raised_at=then))
    ((_, _, until_ns, _),) = box.asked
    assert time.clock_gettime_ns(time.CLOCK_BOOTTIME) - until_ns < 600e9


def test_a_box_that_fails_costs_the_incident_nothing(tmp_path: Path) -> None:
    """The reason is in its row, and all the rest is there."""
    saved = incidents_of(Box(OSError("the ring is broken")), tmp_path, now_alert())
    before, *others = saved[-1].captures
    assert before.status is CaptureStatus.TOOL_ERROR
    assert "the ring is broken" in (before.reason or "")
    assert [capture.role for capture in others] == ["context", "profile"]


@pytest.mark.parametrize("why", ["nothing ran", "plan refuses", "rule wants none"])
def test_there_is_none_where_nothing_ran_or_nobody_may_look(why: str, tmp_path: Path) -> None:
    box = Box(is_empty=why == "nothing ran")
    alert = now_alert(profiler="none" if why == "rule wants none" else "auto")
    plan = CapturePlan(consent="never" if why == "plan refuses" else None)
    saved = incidents_of(box, tmp_path, alert, plan=plan)
    assert all(capture.role != "before" for incident in saved for capture in incident.captures)
    assert len(box.asked) == (1 if why == "nothing ran" else 0)


def test_whom_the_first_look_blames_is_asked_of(tmp_path: Path) -> None:
    """A rule about the machine's traffic has no target until its sockets were looked at."""
    box = Box()
    alert = now_alert(metric=TriggerMetric.NETWORK, target=None)
    look = FirstLook(OTHER, "sender", a_capture("dump", target=OTHER))
    saved = incidents_of(box, tmp_path, alert, look)
    assert [asked[0] for asked in box.asked] == [OTHER]
    assert saved[0].captures[0].role == "before"


def test_what_the_box_records_is_not_looked_at_again_and_again(tmp_path: Path) -> None:
    """The first look stays, as it is the fallback; further ones come back when the box has nothing more."""
    captures, asked, records = FakeCaptures(), [0], [True]

    def is_recorded(_target: ProcessKey) -> bool:
        asked[0] += 1
        return records[0]

    looks = FirstLooks(captures.first_look, list, tmp_path, pace_s=0.01, is_recorded=is_recorded)
    looks.take(arming())
    wait_until(lambda: asked[0] >= 5)
    assert len(captures.looked) == 1
    records[0] = False
    wait_until(lambda: len(captures.looked) >= 2)
    looks.close()


def test_what_the_system_kept_is_asked_for_in_the_incidents_folder_by_its_plan(tmp_path: Path) -> None:
    """As on a Mac; nobody is asked about whom the plan spares, or where an alert is about none."""
    asked: list[tuple[ProcessKey, CapturePlan, Path]] = []

    def ask(target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture:
        asked.append((target, plan, folder))
        return a_capture("before", target=target)

    kept, plan = KeptBySystem(ask, lambda: None), CapturePlan(consent="always", named="mine")
    assert kept.capture(now_alert(), CapturePlan(consent="never"), tmp_path / "spared") is None
    assert kept.capture(now_alert(target=None), plan, tmp_path / "of none") is None
    assert not list(tmp_path.iterdir())
    taken = kept.capture(now_alert(), plan, tmp_path / "incident")
    assert taken is not None
    assert taken.status is CaptureStatus.OK
    assert asked == [(KEY, plan, tmp_path / "incident")]
    assert (tmp_path / "incident").stat().st_mode & 0o777 == 0o700


def test_two_that_ask_at_once_each_have_their_own_plan(tmp_path: Path) -> None:
    """What one asked with is not what another is answered by."""
    both, asked = threading.Barrier(2), dict[str | None, Path]()

    def ask(target: ProcessKey, plan: CapturePlan, folder: Path) -> Capture:
        both.wait(PATIENCE_S)
        asked[plan.named] = folder
        return a_capture("before", target=target)

    kept = KeptBySystem(ask, lambda: None)
    with ThreadPoolExecutor(2) as pool:
        for name in ("one", "other"):
            pool.submit(kept.capture, now_alert(), CapturePlan(named=name), tmp_path / name)
    assert asked == {"one": tmp_path / "one", "other": tmp_path / "other"}
