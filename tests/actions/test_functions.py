"""Hot functions across incidents: each with when it was hot and how hot, in the order of time."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from monitord.actions.functions import MOST_OCCURRENCES, hot_functions
from monitord.actions.workspace import Workspace
from monitord.errors import NotFoundError
from monitord.model import Hotspot
from monitord.storage import open_store
from monitord.storage.views import HotFilter
from tests.cli.conftest import make_incident
from tests.fakes import START


def stored(data_dir: Path, *shares: float, **spot: object) -> list[str]:
    """One incident an hour, in which one function had that share; their ids."""
    made = [
        make_incident(
            at=START + timedelta(hours=number),
            pid=100 + number,
            hotspots=(Hotspot("render", "/srv/app/views.py", 12, share, share, **spot),),
        )
        for number, share in enumerate(shares)
    ]
    with_store = open_store(data_dir)
    for one in made:
        with_store.save_incident(one)
    with_store.close()
    return [one.correlation_id for one in made]


def test_a_function_has_each_incident_in_which_it_was_hot_oldest_first(data_dir: Path) -> None:
    """What was hot thrice has three entries with its shares, and each names its incident."""
    ids = stored(data_dir, 0.2, 0.8, 0.5)
    (found,) = hot_functions(Workspace(data_dir), HotFilter())
    assert found.function.incidents == 3
    assert [(one.self_share, one.incident) for one in found.occurrences] == list(
        zip((0.2, 0.8, 0.5), ids, strict=True)
    )
    assert json.loads(json.dumps(found.as_json()))["history"][1]["self_share"] == 0.8


def test_a_period_bounds_the_history_as_it_does_the_list(data_dir: Path) -> None:
    """Of the hours that were not asked for nothing is told."""
    stored(data_dir, 0.2, 0.8, 0.5)
    wanted = HotFilter(since=START + timedelta(minutes=30), until=START + timedelta(minutes=90))
    (found,) = hot_functions(Workspace(data_dir), wanted)
    assert [one.self_share for one in found.occurrences] == [0.8]


def test_a_change_of_its_code_is_a_new_version(data_dir: Path) -> None:
    """A function whose source changed between two incidents is told apart by a number."""
    stored(data_dir, 0.3, func_hash="aaaa", func_id="f" * 16)
    stored(data_dir, 0.4, func_hash="bbbb", func_id="f" * 16)
    (found,) = hot_functions(Workspace(data_dir), HotFilter())
    assert sorted(one.version for one in found.occurrences) == [1, 2]


def test_histories_are_bounded_and_the_newest_stay(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand incidents of one function make no longer an answer than a page can draw."""
    assert MOST_OCCURRENCES == 60
    monkeypatch.setattr("monitord.actions.functions.MOST_OCCURRENCES", 2)
    stored(data_dir, 0.1, 0.2, 0.3, 0.4)
    (found,) = hot_functions(Workspace(data_dir), HotFilter())
    assert [one.self_share for one in found.occurrences] == [0.3, 0.4]
    assert found.function.incidents == 4


def test_without_incidents_there_is_nothing_and_without_a_store_an_error(data_dir: Path) -> None:
    """An empty store gives an empty list; none gives an error that says what to type."""
    with pytest.raises(NotFoundError):
        hot_functions(Workspace(data_dir), HotFilter())
    open_store(data_dir).close()
    assert hot_functions(Workspace(data_dir), HotFilter()) == []
