"""`events get`, `stats` and `prune` on a real store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from monitord.jobs import RetentionLimits, RetentionManager
from monitord.model import Event, EventType

HOUR = timedelta(hours=1)


@pytest.fixture
def loose(store) -> list[int]:
    """Events of no incident, one an hour; their ids, oldest first."""
    now = datetime.now(UTC)
    events = [Event(EventType.JOB, now - number * HOUR, payload={"job": "x"}) for number in range(10, 0, -1)]
    return [store.events.store_event(event).id for event in events]


def test_one_event_is_shown_as_the_list_has_it(here, store, incident) -> None:
    for listed in json.loads(here("events", "-n", "500", "-o", "json").out):
        assert json.loads(here("events", "get", listed["id"], "-o", "json").out) == listed
    alert = store.events.query_events(event_type="alert")[0]
    assert incident.alert.reason[:20] in here("events", "get", str(alert.id)).out
    assert here("events", "get", "7").code == 3
    names = [line.partition(" ")[0] for line in here("events", "get", str(alert.id)).out.splitlines()]
    widest = max(map(len, filter(None, names)))
    for line in here("events", "get", str(alert.id)).out.splitlines():
        assert line[widest] == " " != line[widest + 1], "all stand below each other"
    for wrong in ("x", "-1", "9" * 30, "\u0663"):
        answer = here("events", "get", "--", wrong)
        assert (answer.code, answer.out) == (2, ""), wrong


def test_stats_count_what_is_there_and_name_every_index(here, store, incident, loose) -> None:
    said = json.loads(here("events", "stats", "-o", "json").out)
    known = store.events.get_stats()
    assert said["total"] == known.total == sum(said["per_type"].values())
    assert said["index_bytes"] == dict(known.index_bytes)
    assert "jobs" not in said["per_type"]
    assert said["per_type"]["job"] == len(loose)
    assert "job" in here("events", "stats").out
    assert here("events", "stats", "--data-dir", "nowhere").code == 3


def test_pruning_spares_what_an_incident_needs(here, store, incident, loose) -> None:
    """By age and by number, only after --yes; of an incident nothing goes but samples."""
    whole = store.events.query_events(correlation_id=incident.correlation_id, limit=None)
    for words in ((), ("--older-than", "5h30min"), ("--max", "0"), ("--max", "-1", "--yes")):
        answer = here("events", "prune", *words)
        assert (answer.code, answer.out) == (2, "")
    assert here("events", "prune", "--older-than", "5h30min", "--yes").out == "5 events deleted\n"
    left = [event.id for event in store.events.query_events(event_type="job", limit=None, order="asc")]
    assert left == loose[5:]
    assert here("events", "prune", "--max", "0", "--yes").code == 0
    needed = [event for event in whole if event.event_type is not EventType.SAMPLE]
    assert store.events.query_events(limit=None) == needed
    assert here("show", incident.correlation_id).code == 0


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, 10),
        ({"max_events": 4}, 4),
        ({"event_age_s": 7.5 * 3600}, 7),
        ({"max_events": 9, "event_age_s": 7.5 * 3600}, 7),
    ],
)
def test_the_hourly_job_keeps_the_bounds_of_the_configuration(store, loose, limits, left) -> None:
    """`[events]` bounds what retention leaves; without it nothing goes before its time."""
    RetentionManager(store, RetentionLimits(**limits)).purge_expired(datetime.now(UTC))
    assert store.events.get_stats().total == left


def test_a_clock_in_doubt_takes_no_event_by_age(store, incident, loose) -> None:
    """Thirty years from now nobody can believe; a number needs no clock."""
    later = datetime.now(UTC) + timedelta(days=365 * 30)
    before = store.events.get_stats().total
    report = RetentionManager(store, RetentionLimits(event_age_s=3600)).purge_expired(later)
    assert report.postponed
    assert store.events.get_stats().total == before
