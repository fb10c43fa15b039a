"""Which index serves which question, at a million events: chosen by SQLite's planner, pinned here."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.model import Event, EventType
from monitord.storage.events import EventStore
from monitord.storage.hot import hot_statement
from monitord.storage.views import HotFilter

EVENTS = 1_000_000
T0 = datetime(2026, 11, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=100)

# Each of these names a handful of events; any of them will do.
FEW = {
    "ast_node_id": "idx_event_node",
    "correlation_id": "idx_event_correlation",
    "function": "idx_event_function",
}
ASKED: dict[str, Any] = {
    "pid": 77,
    "event_type": "alert",
    "since": T0 + 250_000 * STEP,
    "until": T0 + 750_000 * STEP,
    "correlation_id": "v2bscm000500",
    "ast_node_id": f"{1234:016x}",
    "module": "app.mod42",
    "function": "func_1042",
    "arity": 2,
}


def made(i: int, rng: random.Random) -> Event:
    """19 of 20 are samples of some process, the others what an incident consists of."""
    at, pid, incident = T0 + i * STEP, rng.randrange(1, 400), f"v2bscm{i // 300:06d}"
    kind = rng.random()
    if kind < 0.95:
        return Event(EventType.SAMPLE, at, pid=pid, start_ticks=i, process_name="python3")
    if kind < 0.98:
        function = rng.randrange(2000)
        return Event(
            EventType.HOTSPOT,
            at,
            pid=pid,
            module=f"app.mod{function % 100}",
            function=f"func_{function}",
            arity=function % 4,
            correlation_id=incident,
            ast_node_id=f"{rng.randrange(5000):016x}",
        )
    kinds = (EventType.ALERT, EventType.CAPTURE, EventType.STORAGE, EventType.JOB)
    return Event(rng.choice(kinds), at, pid=pid, correlation_id=incident)


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    rng = random.Random(1)
    store = EventStore(f"sqlite:///{tmp_path_factory.mktemp('events')}/events.db")
    for start in range(0, EVENTS, 10_000):
        store.store_events([made(i, rng) for i in range(start, start + 10_000)])
    store.refresh_statistics()
    yield store
    store.close()


@pytest.mark.timeout(900)
def test_every_combination_is_served_by_the_index_that_fits(million: EventStore) -> None:
    """All 512 combinations of filters, in both orders: the most telling column's index.

    Nothing is sorted, but for a module's events and those of an arity alone: their index holds functions.
    """
    for count in range(len(ASKED) + 1):
        for names in itertools.combinations(ASKED, count):
            for order in ("asc", "desc"):
                chosen = {name: ASKED[name] for name in names}
                plan = million.explain(**chosen, limit=20, order=order)
                expected = _acceptable(names)
                assert plan.index in expected, (names, order, plan)
                if plan.index != "idx_event_module" and "arity" not in names:
                    assert not any("TEMP B-TREE" in line for line in plan.detail), (names, order, plan)


def _acceptable(names: tuple[str, ...]) -> set[str]:
    few = {FEW[name] for name in names if name in FEW}
    if {"pid", "event_type"} <= set(names) and "module" not in names:
        few.add("idx_event_pid_type")
    if few:
        return few | ({"idx_event_module"} if {"module", "function"} <= set(names) else set())
    if "module" in names:
        return {"idx_event_module"} | ({"idx_event_process"} if "pid" in names else set())
    many = {"pid": "idx_event_process", "event_type": "idx_event_type"}
    if set(many) & set(names):
        return {index for name, index in many.items() if name in names}
    return {"idx_event_function", "time"} if "arity" in names else {"time"}


@pytest.mark.timeout(900)
def test_samples_are_found_without_an_index_of_their_own(million: EventStore) -> None:
    """Nearly every event is one, so walking through time finds them at once."""
    assert million.explain(event_type="sample", limit=20).index == "time"
    assert len(million.query_events(event_type="sample", limit=20)) == 20


@pytest.mark.timeout(900)
def test_a_question_reads_what_it_answers(million: EventStore, tmp_path: Path) -> None:
    """An answer's cost is that of its rows: SQLite's own count of steps stays small for every single filter,
    and for what happened to one process."""
    asked: list[dict[str, Any]] = [{name: value} for name, value in ASKED.items() if name != "arity"]
    asked.append({"pid": ASKED["pid"], "event_type": ASKED["event_type"]})
    for filters in asked:
        steps = _steps(million, filters)
        assert steps < 20_000, (filters, steps)


@pytest.mark.timeout(900)
def test_what_was_hot_is_found_by_the_name_it_is_asked_for(million: EventStore) -> None:
    """`hot` of one function, module or statement goes by that name's index: a type's would read every hotspot."""
    expected = {
        HotFilter(): "idx_event_type",
        HotFilter(since=T0): "idx_event_type",
        HotFilter(function="func_1042"): "idx_event_function",
        HotFilter(function="func_1042", module="app.mod42", since=T0): "idx_event_(function|module)",
        HotFilter(module="app.mod42"): "idx_event_module",
        HotFilter(node=f"{1234:016x}"): "idx_event_node",
        HotFilter(node=f"{1234:016x}", module="app.mod42"): "idx_event_(node|module)",
    }
    for wanted, index in expected.items():
        sql, values = hot_statement(wanted)
        with million._transaction() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            plan = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert any(re.search(f"SEARCH event USING INDEX {index}", line) for line in plan), (wanted, plan)


def _steps(store: EventStore, filters: dict[str, Any]) -> int:
    """How many virtual machine instructions a query takes, in hundreds (sqlite3's progress handler)."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 100
        return 0

    with store._transaction() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.set_progress_handler(count, 100)
        try:
            from monitord.storage.events import DataAccess, EventFilter

            DataAccess(connection).query(EventFilter(**filters, limit=20))
        finally:
            driver.set_progress_handler(None, 100)
    return counted
