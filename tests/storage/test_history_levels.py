"""History is thinned with age: 2 s for minutes, 15 s for a day, a minute for the rest; and costs no commit."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

from monitord.model import Rates
from monitord.storage import SQLiteProfileStore, StoreReader
from monitord.storage.cells import time_cell
from monitord.storage.past import PastReader
from monitord.storage.thinning import COARSE_S, COARSEST_S, LEVELS, pack, thinned, unpack
from tests.pasts import BEGAN, Past

DAY_S = 86_400
MINUTES = timedelta(seconds=LEVELS[0].age_s + LEVELS[0].row_s + 60)
DAY = timedelta(seconds=LEVELS[1].age_s + LEVELS[1].row_s + 300)


def kept(data_dir: Path) -> list[Rates]:
    with PastReader(data_dir) as reader:
        found = reader.passes(datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
        return [rates for rates, _step_s in found]


def save(store: SQLiteProfileStore, past: Past, count: int) -> None:
    for batch in past.batches(count):
        store.add_history(batch)


def long_past() -> Past:
    """27 hours: spikes of one pass, an hour asleep, a restart."""
    past = Past()
    for hour in range(27):
        past.looks(1800, percent=5.0 + hour).looks(15, percent=90.0).looks(1785, percent=6.0)
        if hour == 1:
            past.sleeps(3600)
        if hour == 3:
            past.stops(30)
    return past


def test_what_is_old_is_thinned_to_the_busiest_pass_of_a_step(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    past = long_past()
    save(store, past, 40)
    found, now = kept(data_dir), past.passes[-1].taken_at
    recorded = {rates.taken_at: rates for rates in past.passes}
    assert all(
        recorded[rates.taken_at].system.machine_percent == rates.system.machine_percent for rates in found
    )
    old = [rates for rates in found if rates.taken_at < now - DAY]
    minutes = [rates.taken_at.timestamp() // 60 for rates in old if rates.gap is None]
    assert len(minutes) == len(set(minutes)) >= 60
    spikes = {rates.taken_at for rates in past.passes if rates.system.machine_percent == 90.0}
    assert spikes <= {rates.taken_at for rates in found}, "the busiest stands for its step"
    newest = [rates.taken_at for rates in past.passes if rates.taken_at > now - timedelta(seconds=DAY_S)]
    assert newest == [rates.taken_at for rates in found if rates.taken_at in set(newest)], "15 s for a day"
    gaps = [(rates.taken_at, rates.gap) for rates in past.passes if rates.gap is not None]
    assert gaps == [(rates.taken_at, rates.gap) for rates in found if rates.gap is not None]
    assert store.verify() == []


def test_two_seconds_are_kept_for_minutes_and_a_close_look_for_a_day(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    past = Past().looks(3600, step_s=2.0)
    for number, batch in enumerate(past.batches(30)):
        store.add_history(batch, **({"step_s": COARSE_S} if number == 5 else {}))
    found, now = [rates.taken_at for rates in kept(data_dir)], past.passes[-1].taken_at
    fresh = [
        rates.taken_at for rates in past.passes if rates.taken_at > now - timedelta(seconds=LEVELS[0].age_s)
    ]
    assert [at for at in found if at >= fresh[0]] == fresh
    look = [rates.taken_at for rates in past.passes[150:180]]
    assert set(look) <= set(found)
    old = [at for at in found[1:] if at < now - MINUTES and at not in set(look)]
    steps = [at.timestamp() // COARSE_S for at in old]
    assert len(steps) == len(set(steps)) >= 4 * 25


def test_a_time_that_was_recorded_twice_stays_apart_when_it_is_thinned(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    past = Past().looks(1200, step_s=2.0, percent=5.0).sets_clock(-600).looks(6000, step_s=2.0, percent=50.0)
    save(store, past, 30)
    with PastReader(data_dir) as reader:
        near = reader.history_near(BEGAN + timedelta(seconds=900))
    assert near.is_twice
    assert near.before is not None
    assert near.before.system.machine_percent == 50.0


def test_a_minute_of_history_is_one_transaction_whatever_is_thinned(store: SQLiteProfileStore) -> None:
    """A commit waits for the disk: thinning has none of its own, and few statements."""
    past = long_past()
    engine = store._ready()[0]
    commits, statements = [0], []
    sqlalchemy_event.listen(engine, "commit", lambda _connection: commits.__setitem__(0, commits[0] + 1))
    sqlalchemy_event.listen(engine, "before_cursor_execute", lambda *words: statements.append(words[2]))
    most = 0
    for number, batch in enumerate(past.batches(40), 1):
        statements.clear()
        store.add_history(batch)
        most = max(most, len(statements))
        assert commits[0] == number
    assert most <= 2 + 4 * len(LEVELS)


@pytest.mark.parametrize("damage", ["x'00'", "'text'"])
def test_a_damaged_row_stays_and_holds_nothing_up(
    damage: str, store: SQLiteProfileStore, data_dir: Path
) -> None:
    past = Past().looks(1200, step_s=2.0)
    save(store, past, 30)
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.execute(f"UPDATE history SET rates = {damage} WHERE id = 2")  # noqa: S608
    del past.passes[:]
    past.looks(7200, step_s=2.0)
    save(store, past, 30)
    told: list[str] = []
    assert list(StoreReader(data_dir, on_damage=told.append).history())
    assert "damaged row" in told[0]
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        (fine,) = connection.execute("SELECT count(*) FROM history WHERE step_s = 2").fetchone()
    assert fine <= (LEVELS[0].age_s + LEVELS[0].row_s) / 60 + 2


@pytest.mark.parametrize("cell", ["'1'", "x'00'", "7"])
@pytest.mark.parametrize("column", ["taken_from", "taken_until", "rates", "step_s"])
@pytest.mark.parametrize("number", [1, 3])
def test_a_row_damaged_in_any_column_is_lost_alone(
    column: str, cell: str, number: int, store: SQLiteProfileStore, data_dir: Path
) -> None:
    """Neither does it stop the recorder, nor do the rows beside it become a part of it."""
    past = Past().looks(4500, step_s=5.0)
    batches = list(past.batches(12))
    for batch in batches[:6]:
        store.add_history(batch)
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.execute(f"UPDATE history SET {column} = {cell} WHERE id = {number}")  # noqa: S608
    for batch in batches[6:]:
        store.add_history(batch)
    store.history_from(0.5)
    found = {rates.taken_at for rates in kept(data_dir)}
    beside = [rates.taken_at for n in range(6) if n != number - 1 for rates in batches[n]]
    steps = {at.timestamp() // COARSE_S for at in found}
    assert {at.timestamp() // COARSE_S for at in beside} <= steps
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        (fine,) = connection.execute("SELECT count(*) FROM history WHERE step_s = 2").fetchone()
    assert fine <= (LEVELS[0].age_s + LEVELS[0].row_s) / 60 + 2
    store.shorten_history(0.5)
    assert kept(data_dir)


def test_byte_rates_of_old_passes_keep_three_digits() -> None:
    past = Past().looks(600, step_s=15.0)
    system = past.passes[0].system
    given = [0.0, 7.0, 999.0, 1234.0, 98_765_432.0]
    past.passes[: len(given)] = [
        replace(
            past.passes[4 * n],
            system=replace(system, disk_bytes_per_s={"sda": value}, network_bytes_per_s={}),
            processes=(
                replace(past.passes[0].processes[1], disk_bytes_per_s=value, network_bytes_per_s=None),
            ),
        )
        for n, value in enumerate(given)
    ]
    found = unpack(thinned([pack(past.passes[: len(given)])], COARSEST_S))
    wanted = [0, 7, 999, 1230, 98_800_000]
    assert [rates.system.disk_bytes_per_s["sda"] for rates in found] == wanted
    assert [rates.processes[0].disk_bytes_per_s for rates in found] == wanted
    assert [rates.processes[0].network_bytes_per_s for rates in found] == [None] * 5


def test_what_an_older_version_stored_is_thinned_hour_by_hour(
    store: SQLiteProfileStore, data_dir: Path
) -> None:
    past = Past().looks(3 * DAY_S, step_s=15.0)
    rows = [
        (time_cell(batch[0].taken_at), time_cell(batch[-1].taken_at), pack(batch))
        for batch in past.batches(4)
    ]
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        connection.executemany("INSERT INTO history (taken_from, taken_until, rates) VALUES (?, ?, ?)", rows)
    later = Past(at=past.at, monotonic_s=past.monotonic_s).looks(3600)
    save(store, later, 4)
    with sqlite3.connect(data_dir / "monitord.db") as connection:
        sql = "SELECT count(*), sum(step_s = 60) FROM history"
        count, thinned = connection.execute(sql).fetchone()
    assert 48 <= thinned <= 50, "two days, an hour a row"
    assert count < len(rows) / 2
