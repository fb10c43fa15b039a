"""`show` says how long the history before an incident is: of one clock only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from monitord.model import HistoryPoint, Incident
from monitord.storage import SQLiteProfileStore
from tests.cli.conftest import Cli


@pytest.mark.parametrize("days", [-730, 730, -1, 1])
def test_history_from_before_the_clock_was_set_is_not_a_span(
    days: int, store: SQLiteProfileStore, new_incident: Callable[..., Incident], here: Cli
) -> None:
    """Points of another clock are left out: no "The 730 d before it"."""
    incident = new_incident()
    at = incident.alert.raised_at
    ago = [
        *(timedelta(days=-days, seconds=s) for s in (90, 80)),
        *(timedelta(seconds=s) for s in (40, 20, 2)),
    ]
    points = tuple(HistoryPoint(at - each, 50.0, 1 << 30, cpu_percent=97.0) for each in ago)
    store.save_incident(replace(incident, history=points))
    store.close()
    shown = here("show", incident.correlation_id)
    assert shown.code == 0, shown
    assert "The 38 s before it" in shown.out
