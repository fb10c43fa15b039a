"""Each index against a full scan, after any sequence of inserts, updates and prunes; and many processes at once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.model import Event, EventType
from monitord.storage.events import EventStore
from monitord.storage.events.pruning import LARGEST_BATCH, Pruner
from tests.patience import PATIENCE_S

T0 = datetime(2026, 11, 1, tzinfo=UTC)
INDEXED = {
    "idx_event_process": ("pid", "pid IS NOT NULL"),
    "idx_event_pid_type": ("pid, event_type", "event_type > 0"),
    "idx_event_type": ("event_type", "event_type > 0"),
    "idx_event_name": ("process_name", "event_type > 0 AND process_name IS NOT NULL"),
    "idx_event_function": ("function", "function IS NOT NULL"),
    "idx_event_module": ("module, function, arity", "module IS NOT NULL"),
    "idx_event_correlation": ("correlation_id", "correlation_id IS NOT NULL"),
    "idx_event_node": ("ast_node_id", "ast_node_id IS NOT NULL"),
}

texts = st.sampled_from([None, "a", "b", "\udcff", "ä\0"])
events = st.builds(
    Event,
    event_type=st.sampled_from(list(EventType)),
    taken_at=st.integers(0, 5).map(lambda s: T0 + timedelta(seconds=s)),
    pid=st.sampled_from([None, 1, 2]),
    module=texts,
    function=st.sampled_from(["f", "g"]),
    arity=st.sampled_from([None, 0, 1]),
    correlation_id=texts,
    ast_node_id=texts,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.lists(events, max_size=6)),
        st.tuples(st.just("before"), st.integers(0, 6)),
        st.tuples(st.just("newest"), st.integers(0, 10)),
        st.tuples(st.just("clear"), st.sampled_from([None, *EventType])),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(steps)
def test_every_index_holds_what_a_scan_finds(done: list[tuple[str, object]]) -> None:
    """After every step the rows by index are the rows by scan, in the order of time, and the total is right."""
    store = EventStore("memory://")
    expected = 0
    for verb, what in done:
        match verb, what:
            case "store", list(batch):
                expected += store.store_events(batch)
            case "before", int(second):
                expected -= store.cleanup_old_events(before=T0 + timedelta(seconds=second))
            case "newest", int(number):
                expected -= store.cleanup_old_events(max_events=number)
            case "clear", kind:
                expected -= store.clear(type=kind)  # type: ignore[arg-type]  # a type or None by the strategy
        with store._transaction() as connection:
            for index, (columns, where) in INDEXED.items():
                sql = f"SELECT id, {columns} FROM event {{}} WHERE {where} ORDER BY {columns}, id"  # noqa: S608  fixed words
                by_index = connection.exec_driver_sql(sql.format(f"INDEXED BY {index}")).fetchall()
                by_scan = connection.exec_driver_sql(sql.format("NOT INDEXED")).fetchall()
                assert by_index == by_scan, index
            assert connection.exec_driver_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert store.get_stats().total == expected
        assert len(store.query_events(limit=None)) == expected
    store.close()


def test_an_update_moves_through_the_indexes(tmp_path: Path) -> None:
    """A row that is changed by SQL is found under its new values and no longer under the old ones."""
    store = EventStore(f"sqlite:///{tmp_path}/e.db")
    event = store.store_event(Event(EventType.HOTSPOT, T0, pid=1, function="old", module="m"))
    connection = sqlite3.connect(tmp_path / "e.db")
    connection.execute("UPDATE event SET function = 'new', pid = NULL WHERE id = ?", [event.id])
    connection.commit()
    connection.close()
    assert store.query_events(function="old") == store.query_events(pid=1) == []
    assert [found.id for found in store.query_events(function="new", module="m")] == [event.id]
    store.close()


def test_pruning_goes_in_batches_that_follow_the_clock(tmp_path: Path) -> None:
    """Slow rows make small batches and quick ones large, up to a limit; however slow, all that should go does."""
    path = tmp_path / "e.db"
    for seconds_a_row, largest in ((0.0, LARGEST_BATCH), (0.0001, 125), (0.01, 100)):
        store = EventStore(f"sqlite:///{path}")
        store.store_events([Event(EventType.SAMPLE, T0 + timedelta(seconds=n), pid=1) for n in range(9_000)])
        pruner = Pruner(store._transaction, clock=_clock_of(path, seconds_a_row))
        assert pruner.remove(at_most=8_000) == 8_000
        assert sum(pruner.batches) == 8_000
        assert max(pruner.batches) == largest
        assert store.clear() == 1_000
        store.close()


def _clock_of(path: Path, seconds_a_row: float) -> Callable[[], float]:
    """Time that goes by as rows go: `seconds_a_row` for each that has left the file."""

    def clock() -> float:
        connection = sqlite3.connect(path)
        (left,) = connection.execute("SELECT count(*) FROM event").fetchone()
        connection.close()
        return float(-left * seconds_a_row)

    return clock


def test_the_oldest_go_by_themselves(tmp_path: Path) -> None:
    """With a number or an age to keep to, the store never holds much more, and always the newest."""
    store = EventStore(f"sqlite:///{tmp_path}/e.db", max_events=500)
    for start in range(0, 2_000, 50):
        batch = [Event(EventType.SAMPLE, T0 + timedelta(seconds=n), pid=n) for n in range(start, start + 50)]
        store.store_events(batch)
        assert store.get_stats().total <= 500
    assert [event.pid for event in store.query_events(limit=3)] == [1999, 1998, 1997]
    store.close()


WORK = """
import sys, time
from datetime import UTC, datetime, timedelta
from monitord.errors import StorageError
from monitord.model import Event, EventType
from monitord.storage.events import EventStore
verb, url, worker = sys.argv[1], sys.argv[2], int(sys.argv[3])
t0 = datetime(2026, 11, 1, tzinfo=UTC)

def store_at_last(made):
    # On a crowded machine another writer may hold the lock for longer than a call waits: that is said.
    while True:
        try:
            return store.store_events(made)
        except StorageError as error:
            if "locked" not in str(error):
                raise

store = EventStore(url)
if verb == "write":
    for batch in range(40):
        made = [Event(EventType.SAMPLE, t0 + timedelta(seconds=batch), pid=worker, start_ticks=batch * 25 + n,
                      correlation_id=f"w{worker}") for n in range(25)]
        assert store_at_last(made) == 25
else:
    seen = 0
    while seen < 4000:
        found = store.query_events(limit=None, order="asc")
        time.sleep(0.01)  # the writers' turn: a reader that never rests keeps a core
        ids = [event.id for event in found]
        assert ids == sorted(set(ids)), "order"
        per_batch = {}
        for event in found:
            key = (event.pid, event.start_ticks // 25)
            per_batch[key] = per_batch.get(key, 0) + 1
        assert set(per_batch.values()) <= {25}, "half a batch"
        assert len(found) >= seen, "lost"
        seen = len(found)
"""


def test_writers_and_readers_in_many_processes(tmp_path: Path) -> None:
    """Four writers and three readers: every batch is seen whole or not at all, in order, and none is lost.

    No reader waits for a writer.
    """
    url = f"sqlite:///{tmp_path}/e.db"
    EventStore(url).close()
    verbs = ["write"] * 4 + ["read"] * 3
    running = [
        subprocess.Popen([sys.executable, "-c", WORK, verb, url, str(n)], stderr=subprocess.PIPE, text=True)
        for n, verb in enumerate(verbs)
    ]
    try:
        assert [process.communicate(timeout=PATIENCE_S)[1] for process in running] == [""] * 7
    finally:
        for process in running:
            process.kill()  # a reader whose writer died would read for ever
    store = EventStore(url)
    assert store.get_stats().total == 4000, "what was refused is not there, what was stored once"
    assert len(store.query_events(correlation_id="w2", limit=None)) == 1000
    store.close()


def a_sample(number: int) -> Event:
    used = {"cpu_percent": number % 4000 / 10, "rss_bytes": 1 << 30}
    at = T0 + timedelta(seconds=number)
    return Event(EventType.SAMPLE, at, pid=number % 400, process_name="postgres", payload=used)


def test_an_event_takes_few_bytes(tmp_path: Path) -> None:
    """Of 20,000 samples of processes each adds at most 100 bytes to the file, its indexes included."""
    path = tmp_path / "events.db"
    store = EventStore(f"sqlite:///{path}")
    for first in range(0, 20_000, 1000):
        store.store_events([a_sample(number) for number in range(first, first + 1000)])
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        (pages,), (size,) = (
            connection.execute(f"PRAGMA page_{what}").fetchone() for what in ("count", "size")
        )
    assert pages * size <= 100 * 20_000
