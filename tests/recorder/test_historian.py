"""What of the passes goes into history: some two seconds apart, all of a close look, and what follows a gap."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitord.jobs import RetentionLimits
from monitord.model import Arming, DetectionResult, ProcessKey, Rates, TriggerMetric
from monitord.recorder.persistence import Historian
from monitord.recorder.retention_store import Saving
from monitord.storage import Writer, open_store
from monitord.storage.past import PastReader
from tests.pasts import BEGAN, Past
from tests.patience import PATIENCE_S

ALWAYS = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
ARMED = DetectionResult(armed=(Arming("r", TriggerMetric.CPU, None, "p", 1.0, BEGAN),))


class Recorded:
    """A historian, its writer and its store."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._store = open_store(data_dir)
        self._writer = Writer()
        saving = Saving(self._store, RetentionLimits(min_free_disk_bytes=0))
        self._historian = Historian(saving, self._writer, 15.0)

    def note(self, past: Past, verdict: DetectionResult | None = None, *, looks_every: int = 1) -> None:
        for number, rates in enumerate(past.passes):
            looked = replace(rates, is_complete=number % looks_every == 0)
            self._historian.note(looked, verdict if verdict and number == 0 else DetectionResult())

    def kept(self) -> list[Rates]:
        self._historian.flush()
        assert self._writer.flush(PATIENCE_S)
        with PastReader(self.data_dir) as reader:
            return [rates for rates, _step_s in reader.passes(*ALWAYS)]

    def rows(self) -> list[tuple[int, int]]:
        """Of each row its step, and how long it is in seconds."""
        sql = "SELECT step_s, round(86400 * (julianday(taken_until) - julianday(taken_from))) FROM history"
        with sqlite3.connect(self.data_dir / "monitord.db") as connection:
            return [(step, int(long)) for step, long in connection.execute(sql)]

    def close(self) -> None:
        self._writer.close(PATIENCE_S)
        self._store.close()


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    opened = Recorded(tmp_path / "data")
    yield opened
    opened.close()


def test_every_tick_of_two_seconds_is_kept_and_handed_over_once_a_minute(recorded: Recorded) -> None:
    past = Past().looks(300, step_s=2.0)
    recorded.note(past, looks_every=7)
    found = recorded.kept()
    assert [rates.taken_at for rates in found] == [rates.taken_at for rates in past.passes]
    assert len(recorded.rows()) == 5
    assert {step for step, _long in recorded.rows()} == {2}
    looked = [number for number, rates in enumerate(found) if rates.processes]
    assert looked == list(range(0, 150, 7)), "who did not look at processes saw nobody"


def test_faster_ticks_are_thinned_to_two_seconds_but_for_a_close_look(recorded: Recorded) -> None:
    quick = Past().looks(120, step_s=0.5)
    recorded.note(quick, ARMED)
    found = recorded.kept()
    close = [rates for rates in found if rates.monotonic_s < quick.passes[0].monotonic_s + 60]
    assert len(close) == 120, "the minute after a first crossing is kept whole"
    assert 28 <= len(found) - len(close) <= 31
    assert {step for step, _long in recorded.rows()} == {2, 15}


def test_slow_ticks_are_all_kept(recorded: Recorded) -> None:
    past = Past().looks(600, step_s=20.0)
    recorded.note(past)
    assert len(recorded.kept()) == len(past.passes)


def test_a_machine_that_crosses_all_day_is_looked_at_closely_for_an_hour_of_it(recorded: Recorded) -> None:
    """A day of every pass would push out the weeks before."""
    past = Past().looks(5400, step_s=1.0)
    for rates in past.passes:
        recorded._historian.note(replace(rates, processes=()), ARMED)
    times = [rates.monotonic_s for rates in recorded.kept()]
    close = sum(later - earlier < 1.5 for earlier, later in itertools.pairwise(times))
    assert 3500 <= close <= 3600 + 5400 / 24


@pytest.mark.parametrize("jump_s", [365 * 86_400, 3600, -365 * 86_400, -300])
def test_a_row_is_never_longer_than_a_minute_whatever_the_clock_does(recorded: Recorded, jump_s: int) -> None:
    past = Past().looks(20, step_s=2.0).sets_clock(jump_s).looks(20, step_s=2.0).sets_clock(-jump_s)
    past.looks(20, step_s=2.0).sleeps(7200).looks(20, step_s=2.0)
    recorded.note(past)
    assert len(recorded.kept()) >= 4
    assert max(long for _step, long in recorded.rows()) <= 60
    with PastReader(recorded.data_dir) as reader:
        near = reader.history_near(BEGAN + timedelta(seconds=30))
    assert not near.is_twice or jump_s == -300
    assert near.before is not None


def test_what_follows_a_gap_is_kept_and_says_so(recorded: Recorded) -> None:
    past = (
        Past().looks(20, step_s=2.0).sleeps(3600).looks(20, step_s=2.0).sets_clock(-600).looks(20, step_s=2.0)
    )
    recorded.note(past)
    found = recorded.kept()
    assert sorted(rates.gap for rates in found if rates.gap) == ["clock jump", "first sample", "suspend"]
    assert len(recorded.rows()) == 3, "a row is a minute at most, and in the order of time"


def test_a_large_process_that_does_nothing_is_still_among_the_leaders_until_it_ends(
    recorded: Recorded,
) -> None:
    """A pass holds those that did something; an idle database of a gigabyte leads in memory all the same."""
    past = Past().looks(20, step_s=2.0)
    idle = next(one for one in past.passes[0].processes if one.name == "idle")
    for number, rates in enumerate(past.passes):
        busy = tuple(one for one in rates.processes if number == 0 or one.name != "idle")
        past.passes[number] = replace(
            rates, processes=busy, exited=frozenset({idle.key} if number == 8 else ())
        )
    recorded.note(past)
    found = recorded.kept()
    known = [{one.key: one for one in rates.processes}.get(idle.key) for rates in found]
    assert [one.rss_bytes for one in known[:8] if one] == [idle.rss_bytes] * 8
    assert [one.cpu_percent for one in known[1:8] if one] == [0.0] * 7
    assert known[8:] == [None, None]


def test_the_largest_are_known_among_many(recorded: Recorded) -> None:
    past = Past().looks(20, step_s=2.0)
    first = past.passes[0].processes[0]
    many = tuple(
        replace(first, key=ProcessKey(pid, 1), rss_bytes=pid << 20, cpu_percent=None)
        for pid in range(1000, 1200)
    )
    past.passes[0] = replace(past.passes[0], processes=many)
    recorded.note(past)
    large = [one.key.pid for one in recorded.kept()[-1].processes if one.key.pid in range(1000, 1200)]
    assert sorted(large) == list(range(1194, 1200))
