"""`prefer`: kept for each user, used by lists for people, never in the way."""

from __future__ import annotations

import json

import pytest


def test_a_preference_is_kept_and_used(here, store, new_incident) -> None:
    """Times in UTC in every table from now on; JSON is as it was."""
    store.save_incident(new_incident())
    assert "Z" not in here("recent").out.splitlines()[1].split()[1]
    before = here("recent", "--json").out
    assert here("prefer", "utc", "yes").code == 0
    assert json.loads(here("prefer", "--json").out) == {"utc": True, "pager": True}
    assert here("recent").out.splitlines()[1].split()[1].endswith("Z")
    assert here("recent", "--json").out == before
    assert here("prefer", "utc", "false").out.splitlines()[0].split() == ["utc", "false"]
    assert not here("recent").out.splitlines()[1].split()[1].endswith("Z")


@pytest.mark.parametrize("words", [("colour", "red"), ("utc",), ("utc", "maybe")])
def test_what_can_not_be_preferred_is_refused(here, store, words) -> None:
    """One line, exit 2, nothing changed."""
    answer = here("prefer", *words)
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert json.loads(here("prefer", "--json").out) == {"utc": False, "pager": True}


def test_damage_is_no_obstacle(here, store, new_incident) -> None:
    """A preference nobody can have set counts as none."""
    from monitord.actions.preferences import whose

    store.save_incident(new_incident())
    store.state.set("preferences", b"{not json", whose())
    assert here("recent").code == 0
    assert json.loads(here("prefer", "--json").out) == {"utc": False, "pager": True}


def test_without_a_store_there_are_the_defaults(here) -> None:
    """Asking makes no store."""
    assert json.loads(here("prefer", "--json").out) == {"utc": False, "pager": True}
