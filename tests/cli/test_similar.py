"""`similar` on a real store, and what `show` and messages say of an incident that came before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitord.model import Hotspot
from monitord.notify.messages import incident_message
from monitord.storage.past import PastReader
from monitord.storage.similar import similar_to, times_within_week

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
    with PastReader(store.data_dir) as reader:
        view = reader.incident(three[0])
        times = times_within_week(view, similar_to(reader, view))
    message = incident_message(view, is_ready=True, times=times)
    assert "second time this week" in message.text
    assert message.facts["times_this_week"] == 2
    assert "this week" not in incident_message(view, is_ready=True).text
