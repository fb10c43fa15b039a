"""Page faults are recorded from the crossing on, of few processes at once, and of none for ever."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitord.capture.causes import Look
from monitord.model import Arming, ProcessKey, TriggerMetric
from monitord.pipeline import Causes
from monitord.pipeline.causes import result_of
from tests.fakes import START
from tests.pipeline.test_causes import Room, arming
from tests.pipeline.test_pipeline import wait_until


@pytest.fixture
def room() -> Room:
    return Room()


class FaultRings:
    """Stands for rings of the kernel: notes which are open."""

    def __init__(self) -> None:
        self.open: list[ProcessKey | None] = []

    def watch(self, look: Look) -> _Rings:
        self.open.append(look.target)
        return _Rings(self, look.target)


class _Rings:
    descriptors = (70,)

    def __init__(self, rings: FaultRings, target: ProcessKey | None) -> None:
        self._rings, self.target = rings, target

    def close(self) -> None:
        self._rings.open.remove(self.target)


@pytest.fixture
def rings() -> FaultRings:
    return FaultRings()


@pytest.fixture
def watching(room: Room, rings: FaultRings, tmp_path: Path) -> Iterator[Causes]:
    made = Causes(room.observe, room.explain, tmp_path / "watching", watch=rings.watch)
    yield made
    room.may_go_on.set()
    made.close()
    assert rings.open == []


def leak(pid: int = 1, rule: str = "leak") -> Arming:
    return Arming(rule, TriggerMetric.MEMORY_GROWTH, ProcessKey(pid, 1), "leaks", 1.0, START)


def test_page_faults_are_recorded_from_the_crossing_to_the_look_at_the_alert(
    room: Room, rings: FaultRings, watching: Causes
) -> None:
    watching.arm(leak())
    wait_until(lambda: len(room.looks) == 1)
    assert rings.open == [ProcessKey(1, 1)]
    assert result_of(watching.claim("leak", ProcessKey(1, 1))) is not None
    assert rings.open == [ProcessKey(1, 1)], "the alert is still to be observed"
    assert result_of(watching.observe(TriggerMetric.MEMORY_GROWTH, ProcessKey(1, 1))) is not None
    assert [look.watch and look.watch.descriptors for look in room.looks] == [None, (70,)]
    wait_until(lambda: rings.open == [])


def test_a_broken_window_ends_the_recording_of_page_faults(
    room: Room, rings: FaultRings, watching: Causes
) -> None:
    watching.arm(leak())
    wait_until(lambda: rings.open == [ProcessKey(1, 1)])
    watching.forget(leak())
    wait_until(lambda: rings.open == [])


def test_two_rules_about_one_process_share_one_recording(
    room: Room, rings: FaultRings, watching: Causes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitord.pipeline.causes._REST", 0)
    for rule in ("leak", "other"):
        watching.arm(leak(rule=rule))
    wait_until(lambda: len(room.looks) == 2)
    watching.claim("leak", ProcessKey(1, 1))
    assert result_of(watching.observe(TriggerMetric.MEMORY_GROWTH, ProcessKey(1, 1))) is not None
    assert rings.open == [ProcessKey(1, 1)], "the other rule is still armed"
    watching.forget(leak(rule="other"))
    wait_until(lambda: rings.open == [])


def test_few_processes_are_recorded_at_once_and_none_for_ever(
    room: Room, rings: FaultRings, watching: Causes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitord.pipeline.causes._REST", 0)
    monkeypatch.setattr("monitord.pipeline.watches._LASTS_S", 1.5)
    for pid in range(1, 9):
        watching.arm(leak(pid))
    wait_until(lambda: len(room.looks) == 8)
    assert len(rings.open) <= 4
    assert result_of(watching.observe(TriggerMetric.MEMORY_GROWTH, ProcessKey(8, 1))) is not None
    assert str(room.looks[-1].watch) == str(errno.EBUSY), "that it had no room is told"
    wait_until(lambda: rings.open == [])  # no alert and no end of the window was told


def test_no_other_metric_records_page_faults(room: Room, rings: FaultRings, watching: Causes) -> None:
    watching.arm(arming())
    wait_until(lambda: room.looks != [])
    assert rings.open == []
