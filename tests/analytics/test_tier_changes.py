"""A file that is its day's answer is one as long as the store has nothing else, and each row is told once."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from monitord.analytics.parquet import is_sound
from monitord.analytics.tables import EVENTS, INCIDENTS
from monitord.analytics.tiering import Tiering
from monitord.analytics.tiers import day_path, forget, is_current, marks_of, read_forgotten
from monitord.analytics.versions import Deployment, deployed_mark, mark_deployed
from monitord.storage import SQLiteProfileStore
from monitord.storage.past import PastReader
from tests.analytics.test_tiering import PLENTY, all_told, filled, ids, told

__all__ = ["filled"]


def test_what_changes_in_the_store_is_seen_whatever_stays_alike(
    filled: Path, store: SQLiteProfileStore
) -> None:
    """Texts of one length, a pin that goes from one incident to another, rows in the place of others."""
    first, second = (row["correlation_id"] for row in told(filled, INCIDENTS)[:2])
    store.pin(first, True)
    store.set_reason(first, "reason A")
    Tiering(filled, PLENTY).run()
    store.pin(first, False)
    store.pin(second, True)
    store.set_reason(first, "reason B")
    with sqlite3.connect(filled / "monitord.db") as connection:
        spots = "SELECT function FROM event WHERE event_type = 3 LIMIT 1"
        (name,) = connection.execute(spots).fetchone()
        connection.execute("UPDATE event SET function = ? WHERE function = ?", (name[::-1] + "", name))
        connection.execute("UPDATE incident SET hotspots = replace(hotspots, ?, ?)", (name, name[::-1]))
        inner = "SELECT id FROM event WHERE event_type = 7 ORDER BY id LIMIT 1"
        connection.execute(f"UPDATE event SET id = id + 2048 WHERE id = ({inner})")
    fresh = filled.parent / "fresh"
    shutil.copytree(filled, fresh, ignore=shutil.ignore_patterns("warm"))
    expected = all_told(fresh)
    for _ in range(2):
        told_now = all_told(filled)
        assert told_now["incidents"] == expected["incidents"]
        assert told_now["hotspots"] == expected["hotspots"]
        ids_told = Counter(row["event_id"] for row in told(filled, EVENTS))
        assert not expected["events"] - told_now["events"]
        assert max(ids_told.values()) == 1
        Tiering(filled, PLENTY).run()


def test_an_incident_that_is_deleted_while_the_tiers_are_written_is_told_nowhere(
    filled: Path, store: SQLiteProfileStore
) -> None:
    """A run between the two steps of a deletion must not settle what is not deleted yet."""
    Tiering(filled, PLENTY).run()
    gone = ids(store)[0]
    forget(filled, [gone])
    between = Tiering(filled, PLENTY)
    between.run()
    assert between.written == 0
    store.delete_incidents([gone])
    for _ in range(2):
        assert gone not in {row["correlation_id"] for row in told(filled, INCIDENTS)}
        Tiering(filled, PLENTY).run()
    assert not read_forgotten(filled)


def test_a_file_that_rots_inside_is_written_again_within_a_day(filled: Path) -> None:
    """Its footer says nothing of it: each file is read to its end once a day."""
    before = all_told(filled)
    Tiering(filled, PLENTY).run()
    rotten = day_path(filled, EVENTS, "2026-03-02")
    content = bytearray(rotten.read_bytes())
    content[200] ^= 0xFF
    rotten.write_bytes(content)
    assert not is_sound(rotten, EVENTS)
    now = datetime.now(UTC)
    damaged = []
    for hour in range(24):
        run = Tiering(filled, PLENTY, clock=lambda hour=hour: now + timedelta(hours=hour))
        run.run()
        damaged += run.damaged
    assert damaged == ["event/2026-03-02.parquet"]
    assert all_told(filled) == before


def test_what_was_deployed_is_told_of_days_whose_files_are_there_already(
    filled: Path, store: SQLiteProfileStore
) -> None:
    """`deployed --at` of a day back changes that day and later ones, in answers and in files; none before it."""
    Tiering(filled, PLENTY).run()
    rows = told(filled, INCIDENTS)
    days = sorted({row["raised_at"].date() for row in rows})
    old = day_path(filled, INCIDENTS, str(days[0])).read_bytes()
    at = datetime.combine(days[1], time_of_day(), UTC)
    mark_deployed(store.state, "*", "9.9.9", at)
    with PastReader(filled) as reader:
        marks = marks_of(reader, INCIDENTS)
    stale = [
        day
        for day in map(str, days)
        if not is_current(INCIDENTS, day_path(filled, INCIDENTS, day), marks[day])
    ]
    assert stale == [str(day) for day in days[1:]]
    run = Tiering(filled, PLENTY)
    run.run()
    versions = {row["version"] for row in told(filled, INCIDENTS) if row["raised_at"] >= at}
    assert versions == {"9.9.9"}
    assert day_path(filled, INCIDENTS, str(days[0])).read_bytes() == old


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.sampled_from("12")), max_size=8),
    st.integers(1, 9),
)
def test_a_mark_that_counts_for_no_incident_of_a_day_changes_nothing(
    told_by: list[tuple[int, str, str]], number: int
) -> None:
    """Two sets of marks that give every process the same versions that day are one to it."""
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    marks = [Deployment(begin + timedelta(days=n, hours=i), p, v) for i, (n, p, v) in enumerate(told_by)]
    day = f"{begin + timedelta(days=number):%Y-%m-%d}"
    later = Deployment(begin + timedelta(days=20), "a", "3")
    superseded = [m for m in marks if m.at.date() < begin.date() + timedelta(days=number)]
    newest = {m.process: m for m in sorted(superseded, key=lambda m: m.at)}
    left = [m for m in marks if m not in superseded or m in newest.values()]
    assert deployed_mark(marks, day) == deployed_mark([*left, later], day)
    fresh = Deployment(begin + timedelta(days=number, hours=23), "c", "1")
    assert deployed_mark([*marks, fresh], day) != deployed_mark(marks, day)
