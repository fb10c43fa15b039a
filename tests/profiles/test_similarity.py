"""Which incidents are alike, and by what."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.export.recurrence import time_this_week
from monitord.model import Hotspot, TriggerMetric
from monitord.profiles.similarity import WEIGHTS, Traits, agreement, traits_of

names = st.sampled_from(["a", "b", "c"])
traits = st.builds(
    Traits,
    functions=st.frozensets(names),
    statements=st.frozensets(names),
    cause=st.sampled_from([None, "lock", "tight loop"]),
    process=st.sampled_from(["x", "y"]),
    metric=st.sampled_from([TriggerMetric.CPU, TriggerMetric.MEMORY]),
)


@given(traits, traits)
def test_likeness_has_no_direction(one: Traits, other: Traits) -> None:
    found = agreement(one, other)
    assert found == agreement(other, one)
    assert list(found) == [name for name in WEIGHTS if name in found]
    if found:
        assert {"statement", "function"} & set(found) or {"cause", "process"} <= set(found)


def test_each_pair_of_what_may_agree_is_judged() -> None:
    """A function or a statement will do; a cause only in processes of one name; the others never alone."""
    base = Traits(frozenset({"f"}), frozenset({"s"}), "lock", "x", TriggerMetric.CPU)
    other = Traits(frozenset({"g"}), frozenset({"t"}), "io", "y", TriggerMetric.MEMORY)
    fields = {
        "function": "functions",
        "statement": "statements",
        "cause": "cause",
        "process": "process",
        "metric": "metric",
    }
    for count in range(len(fields) + 1):
        for chosen in itertools.combinations(fields, count):
            mixed = Traits(**{
                name: getattr(base if said in chosen else other, name) for said, name in fields.items()
            })  # fmt: skip
            alike = {"function", "statement"} & set(chosen) or {"cause", "process"} <= set(chosen)
            assert set(agreement(base, mixed)) == (set(chosen) if alike else set()), chosen


def test_what_tells_nothing_makes_nothing_alike() -> None:
    """Code without a name, a function of a few percent and an unknown cause are no traits."""
    spots = [
        Hotspot("[libfoo.so]", None, None, 0.6, 0.6),
        Hotspot("cold", "a.py", 1, 0.05, 0.9, stmt_id="s"),
    ]
    found = traits_of(spots, "unknown", "x", TriggerMetric.CPU)
    assert (found.functions, found.statements, found.cause) == (frozenset(), frozenset(), None)
    assert agreement(found, found) == ()


def test_a_function_is_the_same_wherever_its_lines_are() -> None:
    """By its id where its source gave it one, else by name and module."""
    here = traits_of([Hotspot("f", "/a.py", 3, 0.5, 0.5, func_id="1")], None, "x", TriggerMetric.CPU)
    there = traits_of([Hotspot("f", "/b.py", 9, 0.5, 0.5, func_id="1")], None, "y", TriggerMetric.CPU)
    other = traits_of([Hotspot("f", "/a.py", 3, 0.5, 0.5, func_id="2")], None, "x", TriggerMetric.CPU)
    assert agreement(here, there) == ("function", "metric")
    assert agreement(here, other) == ()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, ""),
        (1, ""),
        (2, "second"),
        (3, "third"),
        (10, "tenth"),
        (11, "11th"),
        (21, "21st"),
        (112, "112th"),
        (1003, "1,003rd"),
    ],
)
def test_how_often_is_said_in_words(number: int, words: str) -> None:
    assert time_this_week(number) == (f"{words} time this week" if words else "")
