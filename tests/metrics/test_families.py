"""Figures are few and safe, whatever a status or a store holds; each has one name and a sentence."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from monitord.metrics.families import MOST_POINTS, OTHER, Point, labelled
from monitord.metrics.recorder_families import recorder_families
from monitord.metrics.stored_families import stored_families
from monitord.storage.views import CauseTally, NewestOfRule, OutcomeTally, StoredTallies

NOW = datetime(2026, 11, 27, tzinfo=UTC)
LABELS = {
    "rule", "cause", "profiler", "status", "task", "receiver", "check", "provider", "operation", "error",
    "part", "version",
}  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "version", "started_at", "taken_at", "interval_s", "passes", "counts", "jobs", "errands", "black_box",
    "storage", "uploader", "messages", "degraded", "own_cpu_percent",
)  # fmt: skip


def tallies(rules: list[str]) -> StoredTallies:
    return StoredTallies(
        tuple(CauseTally(rule, "lock", 2) for rule in rules),
        tuple(OutcomeTally("py-spy", status, 1) for status in rules),
        tuple(NewestOfRule(rule, f"id{at}", NOW + timedelta(seconds=at)) for at, rule in enumerate(rules)),
    )


@given(st.fixed_dictionaries({"is_running": st.booleans()}, optional=dict.fromkeys(KEYS, JUNK)))
def test_whatever_a_damaged_status_holds_figures_are_made_of_the_rest(report: dict[str, Any]) -> None:
    """A status is a file that anything may have happened to: nothing raises, every value is a number."""
    for family in recorder_families(report):
        assert family.help.endswith(".")
        assert len(family.points) <= MOST_POINTS
        assert set(family.labels) <= LABELS
        for point in family.points:
            assert isinstance(point.value, float)
            assert all(re.fullmatch(r"[A-Za-z0-9 ._+-]{1,64}", word) for word in point.words)


@given(st.lists(st.text(max_size=80), max_size=600, unique=True))
def test_series_are_bounded_and_no_strange_word_is_a_label(rules: list[str]) -> None:
    """However many rules a store remembers: at most 200 series a family, all of our words, no sum lost."""
    report = {"is_running": True, "counts": {"by_rule": dict.fromkeys(rules, 1)}}
    families = {family.name: family for family in stored_families(tallies(rules), report)}
    for family in families.values():
        assert len(family.points) <= MOST_POINTS
        assert len({point.words for point in family.points}) == len(family.points)
        for point in family.points:
            assert all(re.fullmatch(r"[A-Za-z0-9 ._+-]{1,64}", word) for word in point.words)
    assert sum(point.value for point in families["monitord_stored_incidents"].points) == 2 * len(rules)
    if rules:
        assert sum(point.value for point in families["monitord_incidents"].points) == len(rules)


def test_times_of_what_goes_beyond_are_never_added_up() -> None:
    """Of too many rules the rest has the newest time, not a sum of times."""
    rules = [f"rule-{number}" for number in range(MOST_POINTS + 50)]
    found = {family.name: family for family in stored_families(tallies(rules), {})}
    last = found["monitord_incident_last_time_seconds"].points
    assert last[-1].words == (OTHER,)
    assert max(point.value for point in last) <= (NOW + timedelta(days=1)).timestamp()


def test_equal_words_are_one_series() -> None:
    """Two words that are both none of ours may not be the same series twice: Prometheus refuses such a page."""
    family = labelled("x", "gauge", "X.", ["rule"], [Point(('evil"',), 1.0), Point(("e\n",), 2.0)])
    assert family.points == (Point((OTHER,), 3.0),)


def test_without_a_recorder_or_a_store_it_is_said_and_nothing_is_made_up() -> None:
    """`up` and `readable` are 0, and there is no count that nobody counted."""
    found = {family.name for family in (*stored_families(None, {}), *recorder_families({}))}
    assert found == {"monitord_store_readable", "monitord_up"}


def test_a_count_of_a_rule_carries_its_newest_incident() -> None:
    """The exemplar is the id that `monitord show` takes."""
    report = {"is_running": True, "counts": {"by_rule": {"cpu-hog": 4}}}
    found = {family.name: family for family in stored_families(tallies(["cpu-hog"]), report)}
    (point,) = found["monitord_incidents"].points
    assert point.exemplar is not None
    assert (point.value, point.exemplar.label, point.exemplar.word) == (4.0, "incident_id", "id0")
    assert json.dumps(point.words) == '["cpu-hog"]'


def test_strange_words_and_the_rest_of_too_many_are_one_series() -> None:
    """However large it is: a series that stands twice in a page costs the page."""
    points = [Point((f"rule-{number}",), 1.0) for number in range(MOST_POINTS + 50)]
    family = labelled("x", "gauge", "X.", ["rule"], [*points, Point(("strange\n",), 1e6)])
    others = [point for point in family.points if point.words == (OTHER,)]
    assert [point.value for point in others] == [1e6 + 51]
    assert len(family.points) == MOST_POINTS
