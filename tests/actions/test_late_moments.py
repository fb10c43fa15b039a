"""A moment of the last 100 s: the recorder's box adds functions, and who ran after the stored look."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.actions.late_moments import with_functions, with_late_functions
from monitord.actions.moments import Leader, Moment
from monitord.actions.recorders_box import LastSeconds, RecordersBox, now_ns
from monitord.actions.workspace import Workspace
from monitord.errors import MonitordError
from monitord.model import SnapshotRequest
from monitord.profiles.ring_slice import as_plain
from monitord.recorder.locks import DAEMON_LOCK, hold
from monitord.recorder.requests import RequestServer
from tests.patience import PATIENCE_S

LED, BEGAN = 71, 72


def document(_since_ns: int, _until_ns: int) -> bytes:
    """Ten seconds in which two processes ran in a function each, ten times a second."""
    ended_ns = now_ns()
    samples = [[n * 100_000_000, n % 2, n % 2, 1] for n in range(100)]
    told = {
        "format": "monitord-ring", "version": 1, "began_ns": ended_ns - 10**10, "ended_ns": ended_ns,
        "rate_hz": 10, "scope": "machine", "processes": [{"pid": LED, "name": "led"}, {"pid": BEGAN, "name": "began"}],
        "threads": [[0, LED], [1, BEGAN]], "frames": [[f"{word}_loop", None, None, None, "native"] for word in ("led", "began")],
        "stacks": [[0], [1]], "samples": samples,
    }  # fmt: skip
    return json.dumps(told).encode()


def no_snapshot(_request: SnapshotRequest) -> None:
    raise MonitordError("nobody takes one here")


@pytest.fixture
def box(data_dir: Path) -> Iterator[RecordersBox]:
    data_dir.mkdir(mode=0o700, exist_ok=True)
    server = RequestServer(data_dir, no_snapshot, document)
    with hold(data_dir / DAEMON_LOCK, "taken"):
        server.open()
        yield RecordersBox(Workspace(data_dir))
        server.close()


def seen(box: RecordersBox, ago_s: float, *leaders: Leader) -> dict[int, tuple[float | None, str | None]]:
    shown = with_functions(Moment(datetime.now(UTC) - timedelta(seconds=ago_s), leaders=leaders), box)
    return {one.pid: (one.cpu_percent, one.function) for one in shown.leaders}


def test_who_led_keeps_what_was_read_and_who_began_later_is_added(box: RecordersBox) -> None:
    found = seen(box, 0.5, Leader(LED, "led", 7.0), Leader(5, "idle", 0.0))
    assert found == {BEGAN: (50.0, "began_loop"), LED: (7.0, "led_loop"), 5: (0.0, None)}


def test_a_rate_that_was_not_known_is_the_boxs_and_a_function_that_was_known_stays(box: RecordersBox) -> None:
    found = seen(box, 0.5, Leader(LED, "led", None), Leader(BEGAN, "began", 1.0, function="by an incident"))
    assert found == {LED: (50.0, "led_loop"), BEGAN: (1.0, "by an incident")}


@pytest.mark.parametrize("ago_s", [9.9, 60.0, 101.0, -5.0])
def test_before_the_document_and_outside_the_last_seconds_nothing_is_added(
    box: RecordersBox, ago_s: float
) -> None:
    assert seen(box, ago_s, Leader(LED, "led", 7.0)) == {LED: (7.0, None)}


def test_a_step_has_who_ran_in_it_or_before_the_pass_that_stands_for_it(box: RecordersBox) -> None:
    """Five seconds of which no pass is stored; and the same with one, whose two seconds count."""
    now = datetime.now(UTC)
    began = now - timedelta(seconds=5)
    bare = with_functions(Moment(began), box, 5.0)
    assert {one.pid: (one.cpu_percent, one.function) for one in bare.leaders} == {
        LED: (50.0, "led_loop"),
        BEGAN: (50.0, "began_loop"),
    }
    assert "of its seconds" in bare.notes[-1]
    read = with_functions(
        Moment(began, now - timedelta(seconds=1), leaders=[Leader(LED, "led", 7.0)]), box, 5.0
    )
    assert [(one.pid, one.function) for one in read.leaders] == [(BEGAN, "began_loop"), (LED, "led_loop")]
    assert with_functions(Moment(now - timedelta(seconds=30)), box, 5.0).leaders == (), "before the document"


def test_a_span_of_the_last_seconds_has_all_that_ran(box: RecordersBox) -> None:
    """Asked once, however often the same span is looked at."""
    until = datetime.now(UTC)
    since = until - timedelta(seconds=4)
    found, why_not = box.ran(since, until)
    assert found is not None
    assert (found.since, why_not) == (since, "")
    hottest = {(one["function"], one["self_share"]) for one in as_plain(found.part)["hottest"]}
    assert hottest == {("led_loop", 0.5), ("began_loop", 0.5)}
    again = box.ran(since, until)[0]
    assert again is not None
    assert again.part.sample_count == found.part.sample_count, "it is the first answer: a second is later"


@pytest.mark.parametrize("length_s", [60, 101, 3600, 10**6])
def test_of_a_span_that_began_before_the_box_its_end_is_told_and_from_when_on(
    length_s: int, box: RecordersBox
) -> None:
    """The document holds ten seconds; no more of the span is claimed to be known."""
    until = datetime.now(UTC)
    found, _why_not = box.ran(until - timedelta(seconds=length_s), until)
    assert found is not None
    assert abs(until - timedelta(seconds=10) - found.since) < timedelta(seconds=PATIENCE_S)
    assert found.since > until - timedelta(seconds=length_s)
    assert 0 < found.part.sample_count <= 100


@pytest.mark.parametrize(("since_s", "until_s"), [(-300, -200), (-300, -99.9), (5, 10), (-5, -5), (-5, -6)])
def test_of_a_span_that_the_box_can_not_hold_nobody_is_asked(
    since_s: float, until_s: float, box: RecordersBox
) -> None:
    now = datetime.now(UTC)
    ends = [now + timedelta(seconds=one) for one in (since_s, until_s)]
    assert box.ran(*ends) == (None, "")


def test_now_has_functions_of_a_little_earlier_as_soon_as_they_are_there(box: RecordersBox) -> None:
    last_seconds = LastSeconds(box)
    shown = Moment(datetime.now(UTC), leaders=(Leader(LED, "led", 7.0), Leader(5, "idle", 0.0)))
    deadline_s = time.monotonic() + PATIENCE_S
    while (found := with_late_functions(shown, last_seconds)) is shown:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert [(one.pid, one.cpu_percent, one.function) for one in found.leaders] == [
        (LED, 7.0, "led_loop"),
        (5, 0.0, None),
    ]
    assert "s ago" in found.notes[-1]


def test_who_asks_once_may_wait_for_the_first_answer(box: RecordersBox) -> None:
    """A script that looks at one moment has the functions in it."""
    seen = LastSeconds(box).seen(PATIENCE_S)
    assert seen is not None
    assert {one.function for one in seen[1].values()} == {"led_loop", "began_loop"}


def test_without_a_recorder_now_is_as_it_was_read(data_dir: Path) -> None:
    last_seconds = LastSeconds(RecordersBox(Workspace(data_dir)))
    shown = Moment(datetime.now(UTC), leaders=(Leader(LED, "led", 7.0),))
    for _ in range(20):
        assert with_late_functions(shown, last_seconds) is shown
        time.sleep(0.01)


def test_why_the_recorder_did_not_tell_is_said(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700, exist_ok=True)
    with hold(data_dir / DAEMON_LOCK, "taken"):
        shown = with_functions(Moment(datetime.now(UTC)), RecordersBox(Workspace(data_dir)))
    assert shown.leaders == ()
    (note,) = shown.notes
    assert "service restart" in note
