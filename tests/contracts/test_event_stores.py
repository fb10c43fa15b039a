"""One suite for every database that keeps events: in memory, SQLite, the daemon's own, PostgreSQL.

More than 400 lines: what is asked of one is asked of all.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import NotFoundError, UsageError
from monitord.model import Event, EventType
from monitord.storage import open_store
from monitord.storage.events import EventFilter, EventStore, cursor_after
from monitord.storage.events.rows import CODES, PAYLOAD_LIMIT_BYTES

T0 = datetime(2026, 11, 20, 3, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(params=["memory", "sqlite", "daemon", "postgresql"])
def events(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """A store with nothing in it."""
    match request.param:
        case "memory":
            store = EventStore("memory://")
        case "sqlite":
            store = EventStore(f"sqlite:///{tmp_path}/events.db")
        case "daemon":
            opened = open_store(tmp_path / "data")
            yield opened.events
            opened.close()
            return
        case _:
            store = EventStore(request.getfixturevalue("postgres").url())
    yield store
    store.close()


def made(n: int, **changes: Any) -> Event:
    """The n-th of a colourful lot: values repeat with different periods, some are None."""
    function = None if n % 3 == 0 else f"function_{n % 7}"
    values = {
        "event_type": list(EventType)[n % 8],  # a period that shares no factor with most others
        "taken_at": T0 + n // 2 * SECOND,  # two at each moment
        "pid": None if n % 5 == 0 else n % 4 + 1,
        "start_ticks": n,
        "process_name": f"process {n % 3}",
        "module": None if function is None else f"module_{n % 2}",
        "function": function,
        "arity": None if function is None else n % 3,
        "correlation_id": None if n % 4 == 0 else f"incident{n % 6}",
        "ast_node_id": None if n % 2 == 0 else f"node{n % 9}",
        "payload": {"n": n, "text": "ä\0\udcff"} if n % 2 else {},
    }
    return Event(**{**values, **changes})


def bare(found: list[Event]) -> list[Event]:
    """Without ids, to compare with what was stored."""
    return [Event(**{name: getattr(e, name) for name in e.__slots__ if name != "id"}) for e in found]


def test_what_was_stored_comes_back(events: EventStore) -> None:
    """Every field, whatever bytes are in it, by id and by query."""
    hostile = made(
        1,
        process_name="a\nb\x1b[31m'; DROP TABLE event; --",
        function="\udcff\0f",
        module="\x01json",
        arity=0,
    )
    stored = events.store_event(hostile)
    assert stored.id is not None
    assert events.get_event_by_id(stored.id) == stored
    assert events.get_event_by_id(str(stored.id)) == stored
    assert bare([stored]) == [hostile]
    assert events.query_events(function="\udcff\0f", module="\x01json") == [stored]
    assert events.query_events(process_name="a\nb\x1b[31m'; DROP TABLE event; --") == [stored]


def test_a_batch_is_stored_whole_or_not_at_all(events: EventStore) -> None:
    """The count of what was stored; one impossible event keeps all of its batch out."""
    assert events.store_events([made(n) for n in range(50)]) == 50
    assert events.store_events([]) == 0
    with pytest.raises(UsageError, match="payload"):
        events.store_events([made(50), made(51, payload={"bytes": b"x"}), made(52)])
    assert events.get_stats().total == 50


def test_the_order_is_that_of_time_then_of_storing(events: EventStore) -> None:
    """Events of one moment stay in the order in which they came, in both directions, however they came."""
    lot = [made(n) for n in range(20)]
    shuffled = lot[10:] + lot[:10]
    events.store_events(shuffled)
    assert bare(events.query_events(order="asc", limit=None)) == lot
    assert bare(events.query_events(limit=None)) == lot[::-1]
    same = [made(99, taken_at=T0 + 100 * SECOND, pid=n) for n in range(3000)]
    events.store_events(same)  # more than one microsecond holds: the next takes the rest
    found = events.query_events(since=T0 + 100 * SECOND, order="asc", limit=None)
    assert [event.pid for event in found] == list(range(3000))
    assert {event.taken_at - T0 - 100 * SECOND for event in found} == {
        timedelta(0),
        timedelta(microseconds=1),
    }
    late = events.store_event(made(99, taken_at=T0 + 100 * SECOND, pid=4000))
    assert late.id is not None
    assert events.query_events(pid=4000)[0].taken_at - T0 - 100 * SECOND <= timedelta(microseconds=2)


def test_every_combination_of_filters_gives_what_a_plain_loop_gives(events: EventStore) -> None:
    """All 2^9 combinations of conditions, beside a filter in Python over the same events."""
    lot = [made(n) for n in range(240)]
    events.store_events(lot)
    conditions: dict[str, Any] = {
        "pid": 3,
        "event_type": EventType.HOTSPOT,
        "since": T0 + 10 * SECOND,
        "until": T0 + 90 * SECOND,
        "correlation_id": "incident3",
        "ast_node_id": "node7",
        "module": "module_1",
        "function": "function_1",
        "arity": 1,
    }
    fitting = {
        name: {number for number, event in enumerate(lot) if _fits(event, name, value)}
        for name, value in conditions.items()
    }
    found_something = 0
    for count in range(len(conditions) + 1):
        for names in itertools.combinations(conditions, count):
            chosen = {name: conditions[name] for name in names}
            numbers = set(range(len(lot))).intersection(*(fitting[name] for name in names))
            expected = [lot[number] for number in sorted(numbers)]
            assert bare(events.query_events(**chosen, order="asc", limit=None)) == expected, names
            assert bare(events.query_events(**chosen, limit=3)) == expected[::-1][:3], names
            found_something += bool(expected)
    assert found_something > 100


def _fits(event: Event, name: str, value: Any) -> bool:
    if name in ("since", "until"):
        return (event.taken_at >= value) is (name == "since")
    return bool(getattr(event, name) == value)


def test_a_cursor_goes_on_where_an_answer_ended(events: EventStore) -> None:
    """Page by page, in both orders, every event once, though others are stored and pruned meanwhile."""
    lot = [made(n) for n in range(100)]
    events.store_events(lot)
    for order in ("asc", "desc"):
        seen: list[Event] = []
        after = None
        while page := events.query_events(limit=7, order=order, after=after):
            seen += page
            assert page[-1].id is not None
            after = cursor_after(page[-1].id, order)
            events.store_event(made(1000, taken_at=T0 - SECOND))  # behind the first page of either order?
            events.cleanup_old_events(before=T0)
        assert bare(seen) == (lot if order == "asc" else lot[::-1])


@pytest.mark.parametrize(
    "filters",
    [
        {"since": T0 + SECOND, "until": T0},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001  the subject: a time without zone
        {"since": "yesterday"},
        {"limit": -1},
        {"limit": True},
        {"limit": 2.5},
        {"pid": -1},
        {"pid": "1"},
        {"pid": 2**63},
        {"arity": -1},
        {"event_type": "nonsense"},
        {"event_type": 3},
        {"order": "sideways"},
        {"order": "asc; DROP TABLE event"},
        {"module": ""},
        {"function": 7},
        {"correlation_id": b"x"},
        {"after": ""},
        {"after": "d"},
        {"after": "dxyz"},
        {"after": "a12"},
        {"after": "d" + "f" * 30},
        {"after": "d-1"},
        {"until": datetime(1969, 1, 1, tzinfo=UTC)},
        {"until": datetime(2200, 1, 1, tzinfo=UTC)},
        {"colour": "red"},
    ],
)
def test_an_impossible_question_is_refused(events: EventStore, filters: dict[str, Any]) -> None:
    """It is a UsageError (exit code 2), by query and by explain alike."""
    for ask in (events.query_events, events.explain):
        with pytest.raises(UsageError):
            ask(**filters)


@pytest.mark.parametrize("event_id", ["", "x", "-1", "1.5", "１", "9" * 19, "9" * 40, "1 OR 1=1"])
def test_a_malformed_id_is_refused(events: EventStore, event_id: str) -> None:
    """What is no id is a UsageError; what could be one and is not there is not found."""
    with pytest.raises(UsageError):
        events.get_event_by_id(event_id)
    with pytest.raises(NotFoundError):
        events.get_event_by_id(12)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"payload": {"big": "x" * PAYLOAD_LIMIT_BYTES}}, "expected at most"),
        ({"payload": {"when": T0}}, "when"),
        ({"payload": {"n": float("nan")}}, "'n'"),
        ({"payload": {"n": float("inf")}}, "'n'"),
        ({"payload": {"set": {1}}}, "set"),
        ({"payload": [1]}, "payload"),
        ({"pid": -1}, "pid"),
        ({"pid": 2**63}, "pid"),
        ({"taken_at": datetime(2026, 1, 1)}, "taken_at"),  # noqa: DTZ001  the subject
        ({"taken_at": datetime(1969, 1, 1, tzinfo=UTC)}, "taken_at"),
        ({"event_type": "nonsense"}, "nonsense"),
        ({"process_name": ""}, "process_name"),
        ({"process_name": "x" * 5000}, "process_name"),
        ({"function": None, "module": None, "arity": 1}, "arity"),
    ],
)
def test_an_impossible_event_is_refused_by_name(
    events: EventStore, changes: dict[str, Any], named: str
) -> None:
    """Too large, no JSON, impossible numbers and times: nothing is stored, and the message says which it is."""
    with pytest.raises(UsageError, match=named):
        events.store_event(made(1, **changes))
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    with pytest.raises(UsageError, match="self"):
        events.store_event(made(1, payload=cycle))
    assert events.get_stats().total == 0


def test_a_payload_at_the_limit_is_kept(events: EventStore) -> None:
    """The limit counts the payload as it is stored."""
    stored = events.store_event(made(1, payload={"big": "x" * (PAYLOAD_LIMIT_BYTES - 10)}))
    assert events.query_events() == [stored]


def test_stats_tell_what_is_there(events: EventStore) -> None:
    """Totals, types, oldest and newest; sizes where the database can tell."""
    empty = events.get_stats()
    assert (empty.total, dict(empty.per_type), empty.oldest, empty.newest) == (0, {}, None, None)
    lot = [made(n) for n in range(100)]
    events.store_events(lot)
    stats = events.get_stats()
    counted = dict(Counter(event.event_type for event in lot))
    assert (stats.total, dict(stats.per_type)) == (100, counted)
    assert (stats.oldest, stats.newest) == (lot[0].taken_at, lot[-1].taken_at)
    if stats.table_bytes is not None:
        assert set(stats.index_bytes) == {
            *("idx_event_process", "idx_event_pid_type", "idx_event_type", "idx_event_name"),
            *("idx_event_function", "idx_event_module", "idx_event_correlation", "idx_event_node"),
        }
        assert all(size > 0 for size in stats.index_bytes.values())
        assert stats.total_bytes == stats.table_bytes + sum(stats.index_bytes.values())


def test_cleaning_up_takes_the_oldest(events: EventStore) -> None:
    """By moment, by age, by number; the count of what went; the rest stays findable by every index."""
    lot = [made(n) for n in range(400)]
    events.store_events(lot)
    assert events.cleanup_old_events(before=T0 + 50 * SECOND) == 100
    assert events.cleanup_old_events(max_events=250) == 50
    assert events.cleanup_old_events(max_events=250) == 0
    kept = lot[150:]
    assert bare(events.query_events(order="asc", limit=None)) == kept
    assert bare(events.query_events(pid=2, order="asc", limit=None)) == [e for e in kept if e.pid == 2]
    age = datetime.now(UTC) - (T0 + 99.5 * SECOND)
    assert events.cleanup_old_events(max_age=age) == 50
    assert events.get_stats().total == 200
    for wrong in ({}, {"before": T0, "max_events": 1}, {"max_events": -1}, {"before": datetime(2026, 1, 1)}):  # noqa: DTZ001
        with pytest.raises(UsageError):
            events.cleanup_old_events(**wrong)  # type: ignore[arg-type]
    assert events.get_stats().total == 200


def test_clearing_one_type_leaves_the_others(events: EventStore) -> None:
    """And clearing without a type leaves nothing."""
    lot = [made(n) for n in range(80)]
    events.store_events(lot)
    assert events.clear(type="note") == 10
    assert events.clear(type=EventType.SAMPLE) == 10
    left = [event for event in lot if event.event_type not in (EventType.NOTE, EventType.SAMPLE)]
    assert bare(events.query_events(order="asc", limit=None)) == left
    with pytest.raises(UsageError):
        events.clear(type="nonsense")
    assert events.clear() == 60
    assert events.get_stats().total == 0


def test_several_writers_lose_nothing(events: EventStore) -> None:
    """Threads that store events of the same moments at once: all are there, each with an id of its own."""
    random.seed(7)

    def write(worker: int) -> None:
        for batch in range(10):
            same = [made(batch, start_ticks=worker * 1000 + batch * 10 + n) for n in range(10)]
            events.store_events(same)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = events.query_events(limit=None)
    assert len({event.id for event in found}) == 400
    assert len({event.start_ticks for event in found}) == 400


@contextmanager
def a_writer(events: EventStore, folder: Path) -> Iterator[str]:
    """Somebody else who has the lock of writers and stores half a batch; gives a URL of the same events."""
    files = (folder / "events.db", folder / "data" / "monitord.db")
    path = next((each for each in files if each.exists()), None)
    if path is None:
        assert events._engine is not None
        with events._engine.connect() as server, server.begin() as transaction:
            server.exec_driver_sql("LOCK TABLE event IN EXCLUSIVE MODE")
            server.exec_driver_sql("INSERT INTO event (id, event_type) VALUES (1, 0)")
            yield events._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            transaction.rollback()
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE")
        file.execute("INSERT INTO event (id, event_type) VALUES (1, 0)")
        yield f"sqlite:///{path}"
        file.execute("ROLLBACK")


@pytest.mark.parametrize("events", ["sqlite", "daemon", "postgresql"], indirect=True)
def test_no_question_waits_for_a_writer(events: EventStore, tmp_path: Path) -> None:
    """While another connection holds the lock each is answered, as before it stored; one who comes now is, too.

    Nobody else reaches a store in memory.
    """
    events.store_events([made(n) for n in range(200)])
    first = events.query_events(limit=1)[0].id
    assert first is not None
    questions: dict[str, Callable[[EventStore], object]] = {
        "query": lambda store: store.query_events(function="function_1", limit=None),
        "arity": lambda store: store.query_events(arity=1, event_type="hotspot"),
        "get": lambda store: store.get_event_by_id(first),
        "stats": lambda store: store.get_stats().per_type,
        "explain": lambda store: store.explain(pid=2),
        "indexes": lambda store: set(store.indexes()),
        "names": lambda store: store.process_names(),
        "incidents of names": lambda store: store.incidents_of_names(["process 1"]),
        "incidents that begin so": lambda store: sorted(store.incidents_beginning("inc", 9)),
        "too many?": lambda store: store.cleanup_old_events(max_events=200),
    }
    before = {name: ask(events) for name, ask in questions.items()}
    with a_writer(events, tmp_path) as url:
        assert {name: ask(events) for name, ask in questions.items()} == before
        newcomer = EventStore(url)
        try:
            assert {name: ask(newcomer) for name, ask in questions.items()} == before
        finally:
            newcomer.close()


def test_explaining_names_an_index(events: EventStore) -> None:
    """What serves a question, and in whose words."""
    events.store_events([made(n) for n in range(2000)])
    events.refresh_statistics()
    plan = events.explain(correlation_id="incident3")
    assert plan.detail
    assert plan.index in {"idx_event_correlation", "time"}  # a server may scan a table as small as this
    assert events.explain().detail


def test_a_filter_is_one_thing() -> None:
    """An EventFilter or its fields, not both."""
    store = EventStore("memory://")
    with pytest.raises(UsageError):
        store.query_events(EventFilter(), pid=1)


@pytest.mark.parametrize("target", ["", "memory", "mysql://x", "sqlite://", "sqlite:///", "postgresql:"])
def test_a_url_that_keeps_no_events_is_refused(target: str) -> None:
    """One line says which kinds there are."""
    with pytest.raises(UsageError):
        EventStore(target)


def test_types_have_numbers_for_ever() -> None:
    """Every type has its own number, and these never change: they stand in databases."""
    assert {kind.value: code for kind, code in CODES.items()} == {
        "sample": 0,
        "alert": 1,
        "capture": 2,
        "hotspot": 3,
        "note": 4,
        "storage": 5,
        "job": 6,
        "daemon": 7,
        "repeat": 8,
    }
    assert set(CODES) == set(EventType)
