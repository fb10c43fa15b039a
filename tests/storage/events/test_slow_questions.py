"""Slow questions are counted by shape, and an index is named only where the planner would take it."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitord.errors import BusyError
from monitord.model import Event, EventType
from monitord.storage import SQLiteProfileStore, StoreReader, open_store
from monitord.storage.event_search import EventSearch
from monitord.storage.events import EventFilter, EventStore, QueryOptimizer
from monitord.storage.events.advice import OFTEN, advised, slow_questions
from monitord.storage.events.slow_questions import (
    KEPT,
    MOST_SHAPES,
    STATE_KEY,
    WORDS,
    Shape,
    count_slow,
    counts_in,
    filter_of,
    shape_of,
)
from monitord.storage.events.statements import ARITY, BUILT_IN, creation_of
from tests.patience import PATIENCE_S
from tests.strangers import without

T0 = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime.now(UTC)
EVENTS = 40_000
UNUSED = 77  # an arity that no function has
ASKED: dict[str, Any] = {
    "pid": 77,
    "event_type": "hotspot",
    "since": T0,
    "until": T0 + timedelta(days=300),
    "correlation_id": "v2bscm000001",
    "ast_node_id": f"{12:016x}",
    "module": "app.mod4",
    "function": "func_104",
    "arity": 2,
}


def hot(number: int) -> Event:
    function = number * 7 % 200
    return Event(
        EventType.HOTSPOT,
        T0 + timedelta(seconds=number),
        pid=number % 400 + 1,
        process_name=f"worker{number % 9}",
        module=f"app.mod{function % 100}",
        function=f"func_{function}",
        arity=function % 4,
        correlation_id=f"v2bscm{number // 300:06d}",
        ast_node_id=f"{number % 500:016x}",
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with so many hot functions that looking at all of them is slow."""
    folder = tmp_path_factory.mktemp("slow") / "data"
    with closing(open_store(folder)) as store:
        for start in range(0, EVENTS, 5_000):
            store.events.store_events([hot(number) for number in range(start, start + 5_000)])
    return folder / "monitord.db"


@pytest.fixture
def store(filled: Path, data_dir: Path) -> Iterator[SQLiteProfileStore]:
    open_store(data_dir).close()
    with (
        closing(sqlite3.connect(filled)) as source,
        closing(sqlite3.connect(data_dir / "monitord.db")) as copy,
    ):
        source.backup(copy)
    opened = open_store(data_dir)
    yield opened
    opened.close()


def ask(data_dir: Path, text: str | None = None, process: str | None = None, **filters: Any) -> list[Event]:
    with StoreReader(data_dir) as reader:
        return EventSearch(reader, EventFilter(**filters), process, text).newest()


def counted(data_dir: Path) -> dict[Shape, int]:
    with StoreReader(data_dir) as reader:
        return {each.shape: each.times for each in counts_in(reader.state(STATE_KEY), NOW)}


def test_what_looks_at_much_for_little_is_counted_by_its_filters(store, data_dir) -> None:
    """By which filters it had and by no value; each question once, however many pages it took."""
    for arity in (UNUSED, UNUSED + 1):
        assert ask(data_dir, arity=arity, since=T0) == []
    assert ask(data_dir, text="no such text") == []
    assert ask(data_dir, event_type="hotspot", arity=UNUSED, process="nobody's") == []
    assert counted(data_dir) == {("arity", "since"): 2, ("grep",): 1}
    kept = store.get_state(STATE_KEY)
    assert all(set(shape) == {"by", "times", "last_at"} and set(shape["by"]) <= WORDS for shape in kept)


def test_what_reads_its_answer_is_not_counted(store, data_dir) -> None:
    """Neither few rows by an index, nor many rows that are all wanted."""
    assert len(ask(data_dir)) == 100
    assert len(ask(data_dir, arity=2)) == 100
    assert ask(data_dir, function="func_7", limit=None)
    with StoreReader(data_dir) as reader:
        assert len(reader.events(EventFilter(limit=None))) == EVENTS
    assert counted(data_dir) == {}


def test_who_may_not_write_counts_nothing_and_does_not_wait(store, data_dir) -> None:
    """Somebody holds the write lock, or the file is gone by then: the answer comes as ever."""
    with closing(sqlite3.connect(data_dir / "monitord.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        assert ask(data_dir, arity=UNUSED) == []
        assert time.monotonic() - began_s < 2
        writer.execute("ROLLBACK")
    assert counted(data_dir) == {}
    for path in (data_dir / "nothing.db", data_dir, data_dir / "nowhere" / "monitord.db"):
        count_slow(path, [("arity",)])
    assert not (data_dir / "nothing.db").exists()
    (data_dir / "other.db").write_bytes(b"no database" * 999)
    count_slow(data_dir / "other.db", [("arity",)])


def test_a_reader_without_the_right_to_write_counts_nothing(store, data_dir) -> None:
    """Root without its rights is as good as anybody: it gets the answer, and no word of what it could not do."""
    store.close()
    code = (
        "import sys; from pathlib import Path; from monitord.storage import StoreReader; "
        "from monitord.storage.events import EventFilter\n"
        f"with StoreReader(Path(sys.argv[1])) as reader: print(reader.events(EventFilter(arity={UNUSED})), reader._slow)"
    )
    database = data_dir / "monitord.db"
    database.chmod(0o400)
    data_dir.chmod(0o500)
    command = [*without(), sys.executable, "-c", code, str(data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    data_dir.chmod(0o700)
    database.chmod(0o600)
    assert (done.stdout, done.stderr, done.returncode) == ("[] {('arity',)}\n", "", 0)
    assert counted(data_dir) == {}


def test_nothing_is_written_into_what_is_not_ones_own(data_dir) -> None:
    """Neither through a link, nor by root into a database of somebody else."""
    open_store(data_dir).close()
    database = data_dir / "monitord.db"
    link = data_dir / "link.db"
    link.symlink_to(database)
    count_slow(link, [("arity",)])
    if os.geteuid() == 0:
        os.chown(database, 65534, 65534)
        count_slow(database, [("arity",)])
        os.chown(database, 0, 0)
    assert counted(data_dir) == {}
    count_slow(database, [("arity",)])
    assert counted(data_dir) == {("arity",): 1}


def test_the_counts_are_bounded_and_fade(data_dir) -> None:
    """The shapes of the longest ago go; of a month ago none is in force."""
    open_store(data_dir).close()
    words = sorted(WORDS)
    shapes = [shape for size in (1, 2, 3) for shape in itertools.combinations(words, size)][: 2 * MOST_SHAPES]
    for number, shape in enumerate(shapes):
        count_slow(data_dir / "monitord.db", [shape], NOW + timedelta(seconds=number))
    assert set(counted(data_dir)) == set(shapes[-MOST_SHAPES:])
    count_slow(data_dir / "monitord.db", [("arity",)], NOW + KEPT + timedelta(days=1))
    with closing(open_store(data_dir)) as store:
        rows = store.get_state(STATE_KEY)
    assert [row["by"] for row in rows] == [["arity"]]
    assert counts_in(rows, NOW + 3 * KEPT) == []


@pytest.mark.parametrize(
    "value",
    [
        10**12, "text", b"", b"\0", b"\0nonsense", b"\1\0\0", b"\0" + b"[" * 100_000, b"\0{}", b"\0[1, null, {}, [[]]]",
        b'\0[{"by": ["arity; DROP TABLE event"], "times": 9, "last_at": "2026-11-27T00:00:00+00:00"}]',
        b'\0[{"by": ["arity"], "times": -1, "last_at": "2026-11-27T00:00:00+00:00"}]',
        b'\0[{"by": ["arity"], "times": 1e99, "last_at": "2026-11-27T00:00:00+00:00"}]',
        b'\0[{"by": ["arity"], "times": true, "last_at": "2026-11-27T00:00:00+00:00"}]',
        b'\0[{"by": ["arity"], "times": 9, "last_at": "2026-11-27"}]',
        b'\0[{"by": [["arity"]], "times": 9, "last_at": 7}]',
        b'\0[{"by": 7, "times": 9, "last_at": "9"}]',
        b'\0[{"by": ["arity"], "times": 9, "last_at": "9999-12-31T23:59:59-23:59"}]',
    ],
)  # fmt: skip
def test_a_value_that_nobody_can_have_written_counts_nothing(value: object, data_dir) -> None:
    """And is replaced by the next slow question."""
    open_store(data_dir).close()
    with closing(sqlite3.connect(data_dir / "monitord.db")) as connection:
        connection.execute(
            "INSERT INTO state (user_id, session_id, key, data, created_us, version) VALUES ('', '', ?, ?, 1, 'v')",
            [STATE_KEY, value],
        )
        connection.commit()
    with StoreReader(data_dir) as reader:
        assert slow_questions(reader, NOW) == []
    count_slow(data_dir / "monitord.db", [("pid",)])
    assert counted(data_dir) == {("pid",): 1}


def test_an_index_is_advised_after_ten_questions_that_it_would_serve(store, data_dir) -> None:
    """With it the same questions are slow no more, by arity alone and with a type; of a text nothing is said."""
    for _ in range(OFTEN - 1):
        ask(data_dir, arity=UNUSED, event_type="hotspot")
        ask(data_dir, text="no such text")
    with StoreReader(data_dir) as reader:
        assert advised(slow_questions(reader, NOW)) == {}
    ask(data_dir, arity=UNUSED, until=T0 + timedelta(days=99))
    ask(data_dir, text="no such text")
    with StoreReader(data_dir) as reader:
        found = slow_questions(reader, NOW)
    assert advised(found) == {ARITY: OFTEN}
    assert {each.counted.shape: each.index for each in found} == {
        ("arity", "type"): ARITY, ("arity", "until"): ARITY, ("grep",): None,
    }  # fmt: skip
    assert store.events.create_index(ARITY)
    before = counted(data_dir)
    ask(data_dir, arity=UNUSED, event_type="hotspot")
    ask(data_dir, arity=UNUSED, until=T0 + timedelta(days=99))
    assert counted(data_dir) == before
    with StoreReader(data_dir) as reader:
        found = slow_questions(reader, NOW)
    assert {each.index: each.is_there for each in found} == {ARITY: True, None: False}
    assert advised(found) == {}


@pytest.mark.parametrize("has_statistics", [False, True])
def test_the_index_on_request_draws_no_other_question(store, has_statistics: bool) -> None:
    """Of all combinations of filters only those by an arity, a type and a time change, with statistics and without."""
    if has_statistics:
        store.events.refresh_statistics()
    every = [names for size in range(len(ASKED) + 1) for names in itertools.combinations(ASKED, size)]
    before = {names: plan(store.events, names) for names in every}
    assert store.events.create_index(ARITY)
    for refreshed in (False, True)[: has_statistics + 1]:
        if refreshed:
            store.events.refresh_statistics()
        for names in every:
            if "arity" in names and not set(names) - {"arity", "event_type", "since", "until"}:
                assert plan(store.events, names) == ARITY.name, names
            else:  # statistics, read anew, choose among the others
                found = plan(store.events, names)
                assert found == before[names] or (has_statistics and found != ARITY.name), names


def plan(events: EventStore, names: tuple[str, ...]) -> str:
    return events.explain(**{name: ASKED[name] for name in names}, limit=20).index


def test_the_index_finds_what_a_scan_finds(store) -> None:
    """The same events in the same order, whatever else is asked."""
    asked = [
        {"arity": 2}, {"arity": 2, "event_type": "hotspot"}, {"arity": 2, "event_type": "sample"}, {"arity": UNUSED},
        {"arity": 3, "module": "app.mod3"}, {"arity": 0, "since": T0 + timedelta(seconds=700)}, {"arity": 1, "pid": 9},
    ]  # fmt: skip
    before = [
        store.events.query_events(**each, limit=500, order=order)
        for each in asked
        for order in ("asc", "desc")
    ]
    store.events.create_index(ARITY)
    store.events.store_event(hot(2))
    store.events.cleanup_old_events(before=T0 + timedelta(seconds=3))
    after = [
        store.events.query_events(**each, limit=500, order=order)
        for each in asked
        for order in ("asc", "desc")
    ]
    first = T0 + timedelta(seconds=3)
    assert [[one for one in each if one.taken_at >= first][:400] for each in after] == [
        [one for one in each if one.taken_at >= first][:400] for each in before
    ]
    assert store.integrity_check() == []


def test_an_index_that_takes_too_long_is_not_there(store) -> None:
    """Nothing of it is left, and the store goes on."""
    with pytest.raises(BusyError, match="within 0 s"):
        store.events.create_index(ARITY, 0)
    assert ARITY.name not in store.events.indexes()
    assert not store.is_degraded
    assert store.events.create_index(ARITY, 600)
    assert not store.events.create_index(ARITY)
    assert store.events.drop_index(ARITY)
    assert not store.events.drop_index(ARITY)


def test_shapes_know_all_filters() -> None:
    """Each filter has its word, and a filter that is made of a shape has that shape again."""
    everything = {**ASKED, "process_name": "x"}
    assert len(shape_of(EventFilter(**everything), {})) == len(everything)
    assert set(shape_of(EventFilter(**everything), {"named": 1, "run": 1})) == WORDS - {"sample"}
    fields = set(EventFilter.__slots__) - {"limit", "order", "after"}
    assert fields == set(everything)
    for size in (0, 1, 2, 10):
        for names in itertools.combinations(everything, size):
            shape = shape_of(EventFilter(**{name: everything[name] for name in names}), {})
            made = filter_of(shape)
            assert made is not None
            assert shape_of(made, {}) == shape
            QueryOptimizer().select(made)
    assert filter_of(("arity", "process")) is None


def test_no_name_holds_another(data_dir) -> None:
    """The planner's words are searched for names."""
    names = [index.name for index in (*BUILT_IN, ARITY)]
    assert [(one, other) for one in names for other in names if one != other and one in other] == []
    assert creation_of(ARITY) == "CREATE INDEX idx_event_arity ON event(arity) WHERE arity IS NOT NULL"
