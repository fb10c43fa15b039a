"""`similar` on a real store, and what `show` and messages say of an incident that came before."""

from __future__ import annotations

import csv
import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitord.model import Cause, Hotspot, Statement
from monitord.notify.messages import incident_message
from monitord.storage import similar
from monitord.storage.queries import RecentFilter, StoreReader
from monitord.storage.similar import incident_with_times

HOT = Hotspot("fib\x1b[31m\udcff", "/srv/app/hot.py", 3, 0.8, 0.9)
OTHER = replace(HOT, function="parse")


@pytest.fixture
def three(store, new_incident) -> list[str]:
    """The same thing today, three and eleven days ago, and another one between; ids, newest first."""
    now = datetime.now(UTC)
    made = [
        new_incident(at=now - timedelta(days=days), hotspots=(spot,), pid=100 + days)
        for days, spot in ((0, HOT), (3, HOT), (11, HOT), (2, OTHER))
    ]
    for incident in made:
        store.save_incident(incident)
    return [incident.correlation_id for incident in made]


def test_what_is_alike_is_listed_and_says_why(here, store, three) -> None:
    """By function, in processes of whatever name; the one that has other functions is not among them."""
    rows = json.loads(here("similar", three[0], "-o", "json").out)
    assert [row["correlation_id"] for row in rows] == three[1:3]
    assert all("function" in row["agrees"] for row in rows)
    assert len(json.loads(here("similar", three[0], "-n", "1", "--json").out)) == 1
    table = here("similar", three[0])
    assert "function" in table.out
    assert "\x1b" not in table.out + table.err
    assert here("similar", "nothing").code == 3


def test_the_second_time_of_a_week_is_said_by_show_and_by_a_message(here, store, three) -> None:
    """Of the seven days up to the incident itself: what came later, or long before, does not count."""
    assert "second time this week" in here("show", three[0]).out
    assert "time this week" not in here("show", three[1]).out
    with StoreReader(store.data_dir) as reader:
        first, second = (incident_with_times(reader, name) for name in three[:2])
    message = incident_message(first, is_ready=True)
    assert "second time this week" in message.text
    assert message.facts["times_this_week"] == 2
    assert "this week" not in incident_message(second, is_ready=True).text


def test_every_way_in_says_the_same_of_a_week(here, store, three) -> None:
    """`recent` as JSON and CSV and as a table, and `show`; filtered, what is not listed counts all the same."""
    rows = {row["correlation_id"]: row["times_this_week"] for row in json.loads(here("recent", "--json").out)}
    assert [rows[name] for name in three] == [2, 1, 1, 1]
    assert json.loads(here("recent", "-n", "1", "--json").out)[0]["times_this_week"] == 2
    assert json.loads(here("show", three[0], "--json").out)["times_this_week"] == 2
    listed = list(csv.DictReader(here("recent", "-o", "csv").out.splitlines()))
    assert {row["correlation_id"]: row["times_this_week"] for row in listed}[three[0]] == "2"
    assert "2×" in here("recent").out
    assert "WEEK" not in here("recent", "-n", "1", "--until", "1 day ago").out  # each came once


def times_in(here, *words: str) -> dict[str, tuple[int | None, int]]:
    """What `recent` says of each incident: exactly, and at least."""
    rows = json.loads(here("recent", "-n", "99", "--json", *words).out)
    return {row["correlation_id"]: (row["times_this_week"], row["times_this_week_at_least"]) for row in rows}


def test_in_a_full_week_those_are_counted_that_may_be_alike(here, store, three, monkeypatch) -> None:
    """By function, statement, cause, whatever the process is called: the same numbers as where all are looked at."""
    week = times_in(here)
    assert [week[name] for name in three] == [(2, 2), (1, 1), (1, 1), (1, 1)]
    monkeypatch.setattr(similar, "MOST_OF_A_WEEK", 2)
    assert times_in(here) == week
    for name in three:
        assert times_in(here, "-n", "1", "--until", _raised(here, name)) == {name: week[name]}


def _raised(here, name: str) -> str:
    """A moment after this incident and before every later one."""
    rows = json.loads(here("recent", "--json").out)
    at = next(row["raised_at"] for row in rows if row["correlation_id"] == name)
    return (datetime.fromisoformat(at) + timedelta(minutes=1)).isoformat()


@pytest.mark.parametrize("name", ["python3", "größe", "we_b%1\"'", "\udcff\udcfe"])
def test_in_a_full_week_numbers_are_those_of_a_week_that_is_looked_at_whole(
    here, store, new_incident, monkeypatch, name
) -> None:
    """Whatever makes alike: functions, statements under other names, causes; what comes all the time hides nothing."""
    now = datetime.now(UTC)
    statement = Statement(3, 0.8, "a" * 16)
    rare = replace(HOT, function="rare", func_id="f" * 16, stmt_id=statement.stmt_id, statements=(statement,))
    moved = replace(rare, function="rare_after_it_was_renamed", func_id="e" * 16)
    loop, wait = (Cause(kind, "it loops", "likely") for kind in ("tight loop", "waiting"))
    kinds = [((HOT,), None), ((rare,), None), ((), loop), ((moved,), wait), ((), None), ((OTHER,), None)]
    for number in range(60):
        spots, cause = kinds[number % 6 if number % 5 == 0 else 0]
        made = new_incident(at=now - timedelta(hours=5 * number), hotspots=spots, name=name, pid=100 + number)
        store.save_incident(replace(made, cause=cause))
    expected = times_in(here)
    assert len({exact for exact, _least in expected.values()}) > 4
    monkeypatch.setattr(similar, "MOST_OF_A_WEEK", 5)
    assert times_in(here) == expected
    monkeypatch.setattr(similar, "_PAGE", 7)
    assert times_in(here) == expected
    monkeypatch.setattr(similar, "MOST_ALIKE", 12)
    monkeypatch.setattr(similar, "_LATEST", 4)
    bounded = times_in(here)
    assert any(exact is None for exact, _least in bounded.values())
    for each, (exact, least) in bounded.items():
        assert exact in (None, expected[each][0])
        assert 1 <= least <= expected[each][0]


def test_what_comes_all_the_time_hides_nothing_else(here, store, new_incident, monkeypatch) -> None:
    """Twenty of one thing in a day, and of another one now and six days ago: that this is its second time."""
    now = datetime.now(UTC)
    for hours in range(20):
        store.save_incident(new_incident(at=now - timedelta(hours=hours), hotspots=(HOT,), pid=100 + hours))
    two = [new_incident(at=now - timedelta(days=days, minutes=9), hotspots=(OTHER,)) for days in (0, 6)]
    for made in two:
        store.save_incident(made)
    monkeypatch.setattr(similar, "MOST_OF_A_WEEK", 5)
    monkeypatch.setattr(similar, "MOST_ALIKE", 4)
    times = times_in(here)
    assert [times.pop(each.correlation_id) for each in two] == [(2, 2), (1, 1)]
    assert sorted(times.values(), key=str) == sorted(((None, count) for count in range(1, 21)), key=str)


def test_what_came_too_often_to_be_counted_came_at_least_so_often(
    here, store, new_incident, monkeypatch
) -> None:
    """A bound that is true, in every way in, and never a number that is not."""
    monkeypatch.setattr(similar, "MOST_OF_A_WEEK", 5)
    monkeypatch.setattr(similar, "MOST_ALIKE", 3)
    monkeypatch.setattr(similar, "_LATEST", 3)
    assert times_of(store, new_incident, 6, 2) == [(None, 3), (None, 2)]
    newest = json.loads(here("recent", "-n", "1", "--json").out)[0]
    assert (newest["times_this_week"], newest["times_this_week_at_least"]) == (None, 3)
    assert "at least 3 times this week" in here("show", newest["correlation_id"]).out
    assert "≥3×" in here("recent").out
    again = here("similar", newest["correlation_id"])
    assert f"{newest['correlation_id'][:8]} came at least 3 times this week" in again.out + again.err
    with StoreReader(store.data_dir) as reader:
        message = incident_message(incident_with_times(reader, newest["correlation_id"]), is_ready=True)
    assert "at least 3 times this week" in message.text
    assert message.facts["times_this_week"] is None
    assert message.facts["times_this_week_at_least"] == 3


def test_a_time_that_nobody_can_have_written_costs_no_other_row_its_number(here, store, three) -> None:
    """No week is before the first day of the calendar."""
    with sqlite3.connect(store.data_dir / "monitord.db") as raw:
        raw.execute(
            "UPDATE incident SET raised_at = '0001-01-02 00:00:00.000000' WHERE correlation_id = ?",
            [three[2]],
        )
    rows = {row["correlation_id"]: row["times_this_week"] for row in json.loads(here("recent", "--json").out)}
    assert rows[three[0]] == 2
    assert here("show", three[2]).code == 0


@pytest.fixture
def looked_at(monkeypatch) -> list[object]:
    """The incidents that were looked at for the number of a week."""
    found: list[object] = []
    recognised = similar._recognised
    monkeypatch.setattr(similar, "_recognised", lambda row: found.append(row) or recognised(row))
    return found


def times_of(store, new_incident, count: int, limit: int) -> list[tuple[int | None, int | None]]:
    """How often the newest rows came in their week, and at least, where the same thing came once an hour."""
    now = datetime.now(UTC)
    for hours in range(count):
        store.save_incident(new_incident(at=now - timedelta(hours=hours), hotspots=(HOT,), pid=100 + hours))
    with StoreReader(store.data_dir) as reader:
        rows = similar.with_times(reader, reader.recent(RecentFilter(limit=limit)))
        return [(row.times_this_week, row.times_this_week_at_least) for row in rows]


def test_a_long_list_looks_at_each_incident_once(store, new_incident, looked_at, monkeypatch) -> None:
    """The weeks of two pages overlap: read anew for each page, a list of thousands took seconds more."""
    monkeypatch.setattr(similar, "_PAGE", 3)
    assert times_of(store, new_incident, 9, 9) == [(times, times) for times in range(9, 0, -1)]
    assert len(looked_at) == 9


def test_of_a_full_week_no_more_is_read_than_a_bound(store, new_incident, looked_at, monkeypatch) -> None:
    """The newest, and those with a rare name; where a name has more events than the bound, none by that name."""
    monkeypatch.setattr(similar, "MOST_OF_A_WEEK", 5)
    monkeypatch.setattr(similar, "_LATEST", 3)
    for stored, most, looked in ((12, 3, 3), (0, 4000, 12)):
        looked_at.clear()
        monkeypatch.setattr(similar, "MOST_ALIKE", most)
        assert len(times_of(store, new_incident, stored, 2)) == 2
        assert len(looked_at) == looked
