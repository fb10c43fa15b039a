"""`similar` on a real store, and what `show` and messages say of an incident that came before."""

from __future__ import annotations

import csv
import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitord.model import Hotspot
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


def test_a_week_with_too_many_incidents_is_unknown_and_its_newest_days_are_not(
    here, store, three, monkeypatch
) -> None:
    """Rather than too few: of those whose seven days were looked at whole the number stands."""
    monkeypatch.setattr("monitord.storage.similar.MOST_OF_A_WEEK", 2)
    rows = {row["correlation_id"]: row["times_this_week"] for row in json.loads(here("recent", "--json").out)}
    assert [rows[name] for name in three] == [None] * 4
    assert "this week" not in here("show", three[0]).out
    monkeypatch.setattr("monitord.storage.similar.MOST_OF_A_WEEK", 4)  # the oldest of four is 11 days old
    rows = {row["correlation_id"]: row["times_this_week"] for row in json.loads(here("recent", "--json").out)}
    assert [rows[name] for name in three] == [2, 1, None, 1]


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


def times_of(store, new_incident, count: int, limit: int) -> list[int | None]:
    """How often the newest rows came in their week, where the same thing came once an hour."""
    now = datetime.now(UTC)
    for hours in range(count):
        store.save_incident(new_incident(at=now - timedelta(hours=hours), hotspots=(HOT,), pid=100 + hours))
    with StoreReader(store.data_dir) as reader:
        rows = similar.with_times(reader, reader.recent(RecentFilter(limit=limit)))
        return [row.times_this_week for row in rows]


def test_a_long_list_looks_at_each_incident_once(store, new_incident, looked_at, monkeypatch) -> None:
    """The weeks of two pages overlap: read anew for each page, a list of thousands took seconds more."""
    monkeypatch.setattr(similar, "_PAGE", 3)
    assert times_of(store, new_incident, 9, 9) == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert len(looked_at) == 9


def test_of_a_week_that_is_too_full_nothing_is_read(store, new_incident, looked_at, monkeypatch) -> None:
    """When not even the newest row can have a number, only the oldest incident that was found says so."""
    monkeypatch.setattr(similar, "MOST_OF_A_WEEK", 5)
    assert times_of(store, new_incident, 6, 2) == [None, None]
    assert len(looked_at) == 1
