"""The event store: ingest, bytes, questions, pruning, one writer beside eight readers; beside raw sqlite3.

    python benchmarks/events.py --events 1000000

Events are made up with the shapes of those that incidents leave: of a thousand, 980 are samples with a pid, a
process name and one or two readings; the rest are one incident (alert, capture, hotspots with function and
statement). The raw side is given ready rows for the same table, with the same pragmas; batches take turns.
"""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recording import ROOT, Row, command_of, load, parser, show
from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from monitord.model import Event, EventType
from monitord.storage.events import EventFilter, EventStore, Pruner, QueryOptimizer
from monitord.storage.events.identity import id_at
from monitord.storage.events.pruning import LONGEST_HOLD_S
from monitord.storage.events.rows import COLUMNS, row_of
from monitord.storage.events.store import engine_of
from monitord.storage.tables import event as event_table

COMMAND = command_of(__file__)
RATE_BUDGET = 50_000
BYTES_BUDGET = 100.0
QUERY_BUDGET_MS = 2.0
SMALL_BATCHES = {1: 2_000, 100: 100_000}  # batch size: how many events, because each batch waits for the disk
TYPE_EVENTS = 100_000
PRUNED = 100_000
READERS = 8
TOGETHER_S = 6.0
PRUNING_S = 12.0
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
APART = timedelta(milliseconds=100)
INSERT = f"INSERT INTO event VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  question marks only

Ready = Sequence[Sequence[Any]]


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--events", type=int, default=1_000_000, help="of the large store; a multiple of 1,000"
    )
    options.add_argument("--asked", type=int, default=40, help="how often each question is asked")
    arguments = options.parse_args()
    print(f"load {load()}", flush=True)
    (ROOT / ".bench").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".bench") as name:  # on a disk: /tmp may be memory
        folder = Path(name)
        rows = [ingest(folder, size, number)[0] for size, number in SMALL_BATCHES.items()]
        row, questions = ingest(folder, 1_000, arguments.events, asked=arguments.asked)
        rows += [row, size_of_mix(folder, arguments.events)]
        rows += [
            size_of_type(folder, kind) for kind in (EventType.SAMPLE, EventType.HOTSPOT, EventType.ALERT)
        ]
        rows += questions
        rows += together(folder)
        rows += pruning(folder)
        show(rows, arguments.rows)


# ---------------------------------------------------------------------------------- what is stored


def an_event(number: int, kind: EventType | None = None) -> Event:
    """The event of this number, always the same; of its kind in the mix unless another is asked for."""
    chance = random.Random(number)
    in_thousand = number % 1000
    if kind is None:
        by_place = {500: EventType.ALERT, 501: EventType.CAPTURE}
        kind = by_place.get(in_thousand, EventType.HOTSPOT if 502 <= in_thousand < 520 else EventType.SAMPLE)
    at = FIRST + number * APART
    if kind is EventType.SAMPLE:
        payload: dict[str, object] = {"cpu_percent": round(chance.uniform(0, 400), 1)}
        if number % 2:
            payload["rss_bytes"] = chance.randrange(1 << 20, 8 << 30)
        return Event(kind, at, pid=chance.randrange(1, 400), process_name="postgres", payload=payload)
    whose = random.Random(number // 1000)
    whose = {"pid": whose.randrange(1, 400), "start_ticks": whose.randrange(10**7), "process_name": "python3"}
    incident = {**whose, "correlation_id": f"v2bscm{number // 1000:06d}"}
    if kind is EventType.ALERT:
        return Event(kind, at, **incident, payload=ALERT)
    if kind is EventType.CAPTURE:
        return Event(kind, at, **incident, payload=CAPTURE)
    function = chance.randrange(2_000)
    named = {
        "module": f"app.module_{function % 100}",
        "function": f"function_{function}",
        "arity": function % 5,
    }
    node = {"ast_node_id": f"{chance.randrange(5_000):016x}"}
    payload = {"line": 214, "self_share": round(chance.random(), 4), "func_id": f"{function:016x}"}
    return Event(kind, at, **incident, **named, **node, payload=payload)


ALERT = {
    "rule": "cpu-high",
    "trigger_metric": "cpu_percent",
    "trigger_value": 97.5,
    "threshold_value": 80.0,
    "severity": "warning",
    "reason": "cpu_percent 97.5 above 80 for 10 s",
}
CAPTURE = {"profiler": "py-spy", "format": "folded", "duration_s": 5.0, "bytes": 48_213, "status": "complete"}


def table_statements(*, with_indexes: bool) -> list[str]:
    """The store's own table, as SQL."""
    dialect = sqlite.dialect()
    made = [str(CreateTable(event_table).compile(dialect=dialect))]
    if with_indexes:
        made += [str(CreateIndex(index).compile(dialect=dialect)) for index in event_table.indexes]
    return made


def raw_database(path: Path, *, with_indexes: bool = True, is_new: bool = True) -> sqlite3.Connection:
    """The same file by sqlite3 alone: durable like ours, with the same cache and WAL."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -8192"):
        connection.execute(f"PRAGMA {pragma}")
    for statement in table_statements(with_indexes=with_indexes) if is_new else ():
        connection.execute(statement)
    return connection


def store_raw(connection: sqlite3.Connection, rows: Ready) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT, rows)
    connection.execute("COMMIT")


def ready_rows(events: Sequence[Event]) -> Ready:
    return [[id_at(event.taken_at), *row_of(event)[1:]] for event in events]


# ------------------------------------------------------------------------------------------ ingest


def ingest(folder: Path, size: int, number: int, asked: int = 0) -> tuple[Row, list[Row]]:
    """Events in batches of this size; with `asked`, questions at three sizes on the way."""
    store = EventStore(f"sqlite:///{ours(folder, size)}")
    indexed = raw_database(folder / f"raw-{size}.db")
    plain = raw_database(folder / f"plain-{size}.db", with_indexes=False)
    wall_s = {"ours": 0.0, "raw": 0.0, "plain": 0.0}
    cpu_s = dict.fromkeys(wall_s, 0.0)
    last_s = 0.0
    questions = Questions(asked)
    for begin in range(0, number, size):
        events = [an_event(at) for at in range(begin, begin + size)]
        rows = ready_rows(events)
        before_s = wall_s["ours"]
        with timed("ours", wall_s, cpu_s):
            store.store_events(events)
        last_s += wall_s["ours"] - before_s if begin >= number - number // 10 else 0.0
        with timed("raw", wall_s, cpu_s):
            store_raw(indexed, rows)
        with timed("plain", wall_s, cpu_s):
            store_raw(plain, rows)
        if asked and begin + size in (1_000, number // 10, number):
            store.refresh_statistics()
            questions.ask(store, begin + size)
    if asked:
        with raw_database(ours(folder, size), is_new=False) as beside:
            questions.ask_raw(beside, number)
    store.close()
    indexed.close()
    plain.close()
    return _ingest_row(size, number, wall_s, cpu_s, last_s), questions.rows()


def _ingest_row(
    size: int, number: int, wall_s: dict[str, float], cpu_s: dict[str, float], last_s: float
) -> Row:
    rate = {kind: number / taken_s for kind, taken_s in wall_s.items()}
    cpu_us = {kind: 1e6 * taken_s / number for kind, taken_s in cpu_s.items()}
    judged = size == 1_000
    return Row(
        f"storing {number:,} events, all indexes, in batches of {size:,}",
        f"{rate['ours']:,.0f}/s ({cpu_us['ours']:.0f} µs of CPU each); the last tenth"
        f" {number / 10 / last_s:,.0f}/s",
        f"raw sqlite3 {rate['raw']:,.0f}/s ({cpu_us['raw']:.0f} µs); without indexes {rate['plain']:,.0f}/s"
        f" ({cpu_us['plain']:.0f} µs)",
        f"≥ {RATE_BUDGET:,}/s" if judged else "–",
        rate["ours"] >= RATE_BUDGET if judged else None,
        COMMAND,
    )


@contextmanager
def timed(kind: str, wall_s: dict[str, float], cpu_s: dict[str, float]) -> Iterator[None]:
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    yield
    wall_s[kind] += time.perf_counter() - began_s
    cpu_s[kind] += time.process_time() - began_cpu_s


def ours(folder: Path, size: int) -> Path:
    return folder / f"ours-{size}.db"


# ------------------------------------------------------------------------------------------- bytes


def size_of_mix(folder: Path, number: int) -> Row:
    whole, plain = (size_bytes(folder / f"{name}-1000.db") / number for name in ("ours", "plain"))
    return Row(
        "bytes of an event, the mix (98 % samples)",
        f"{whole:.0f} (a million: {whole:.0f} MB)",
        f"the same rows without indexes {plain:.0f}",
        f"≤ {BYTES_BUDGET:.0f} MB per million",
        whole <= BYTES_BUDGET,
        COMMAND,
    )


def size_of_type(folder: Path, kind: EventType) -> Row:
    """Of a file that holds this type alone; hotspots and alerts are 2 % of the mix, so no budget."""
    database = folder / f"{kind}.db"
    store = EventStore(f"sqlite:///{database}")
    for begin in range(0, TYPE_EVENTS, 1_000):
        store.store_events([an_event(at, kind) for at in range(begin, begin + 1_000)])
    sizes = store.get_stats()
    store.close()
    each = size_bytes(database) / TYPE_EVENTS
    shares = "; ".join(
        f"{name.removeprefix('idx_event_')} {size / TYPE_EVENTS:.0f}"
        for name, size in sorted(sizes.index_bytes.items(), key=lambda pair: -pair[1])
        if size > TYPE_EVENTS
    )
    return Row(
        f"bytes of an event, {TYPE_EVENTS:,} of type {kind} alone",
        f"{each:.0f}",
        f"of them the table {(sizes.table_bytes or 0) / TYPE_EVENTS:.0f}; indexes: {shares}",
        "–",
        None,
        COMMAND,
    )


def size_bytes(database: Path) -> int:
    """The file when the WAL is folded back."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages, page_bytes = (
        connection.execute(f"PRAGMA {it}").fetchone()[0] for it in ("page_count", "page_size")
    )
    connection.close()
    return int(pages * page_bytes)


# --------------------------------------------------------------------------------------- questions


def _of(*names: str) -> Callable[[Event], dict[str, Any]]:
    return lambda event: {name: getattr(event, name) for name in names}


def _since(event: Event) -> dict[str, Any]:
    return {"since": event.taken_at}


def _hour(event: Event) -> dict[str, Any]:
    return {"since": event.taken_at, "until": event.taken_at + timedelta(hours=1)}


def _of_in_hour(*names: str) -> Callable[[Event], dict[str, Any]]:
    return lambda event: _of(*names)(event) | _hour(event)


SAMPLES, HOTSPOTS, INCIDENTS = range(3)
ASKED: dict[str, tuple[int, Callable[[Event], dict[str, Any]]]] = {
    "nothing (the newest)": (SAMPLES, _of()),
    "pid": (SAMPLES, _of("pid")),
    "type sample": (SAMPLES, _of("event_type")),
    "type hotspot": (HOTSPOTS, _of("event_type")),
    "type alert or capture": (INCIDENTS, _of("event_type")),
    "since": (SAMPLES, _since),
    "since, until": (SAMPLES, _hour),
    "correlation id": (INCIDENTS, _of("correlation_id")),
    "ast node id": (HOTSPOTS, _of("ast_node_id")),
    "module": (HOTSPOTS, _of("module")),
    "function": (HOTSPOTS, _of("function")),
    "module, function, arity": (HOTSPOTS, _of("module", "function", "arity")),
    "arity": (HOTSPOTS, _of("arity")),
    "function, arity": (HOTSPOTS, _of("function", "arity")),
    "pid, type hotspot": (HOTSPOTS, _of("pid", "event_type")),
    "pid, since, until": (SAMPLES, _of_in_hour("pid")),
    "type, since, until": (INCIDENTS, _of_in_hour("event_type")),
    "type, module": (HOTSPOTS, _of("event_type", "module")),
    "type, correlation id": (HOTSPOTS, _of("event_type", "correlation_id")),
    "function, since, until": (HOTSPOTS, _of_in_hour("function")),
}
ALONE_SLOW = "arity"  # documented in statements.py: no index fits it
NEVER_SEEN = {
    "arity 77 (there is none)": {"arity": 77},
    "process name (there is none)": {"process_name": "nobody"},
}


class Questions:
    """Each filter asked `times` with values of events that are stored; the values are new every time."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._chance = random.Random(7)
        self._ms: dict[str, dict[int, list[float]]] = {}
        self._raw_ms: dict[str, list[float]] = {}

    def _filters(self, stored: int) -> Iterator[tuple[str, EventFilter]]:
        places = ((0, 500), (502, 520), (500, 502))
        for what, (kind, values) in ASKED.items():
            for _ in range(self._times):
                thousand = self._chance.randrange(stored // 1_000) * 1_000
                event = an_event(thousand + self._chance.randrange(*places[kind]))
                yield what, EventFilter(**values(event), limit=20)
        for what, never in NEVER_SEEN.items():
            for _ in range(5):
                yield what, EventFilter(**never, limit=20)

    def ask(self, store: EventStore, stored: int) -> None:
        for what, wanted in self._filters(stored):
            began_s = time.perf_counter()
            found = store.query_events(wanted)
            took_ms = 1e3 * (time.perf_counter() - began_s)
            assert found or what in NEVER_SEEN, what
            self._ms.setdefault(what, {}).setdefault(stored, []).append(took_ms)

    def ask_raw(self, connection: sqlite3.Connection, stored: int) -> None:
        """The same statements by sqlite3 alone, rows as they come."""
        for what, wanted in self._filters(stored):
            sql, values = QueryOptimizer().select(wanted)
            began_s = time.perf_counter()
            connection.execute(sql, values).fetchall()
            self._raw_ms.setdefault(what, []).append(1e3 * (time.perf_counter() - began_s))

    def rows(self) -> list[Row]:
        return [self._row(what, by_size) for what, by_size in self._ms.items()]

    def _row(self, what: str, by_size: dict[int, list[float]]) -> Row:
        largest = max(by_size)
        judged = what != ALONE_SLOW and what not in NEVER_SEEN
        said = ", ".join(f"{size:,}: {_spread(taken)}" for size, taken in sorted(by_size.items()))
        return Row(
            f"20 events by {what}; among",
            said,
            f"raw sqlite3, the same statement, {largest:,}: {_spread(self._raw_ms[what])}",
            f"≤ {QUERY_BUDGET_MS:g} ms at a million" if judged else "– (no index fits it)",
            statistics.median(by_size[largest]) <= QUERY_BUDGET_MS if judged else None,
            COMMAND,
        )


def _spread(taken_ms: Sequence[float]) -> str:
    return f"{statistics.median(taken_ms):.2f} ms (p95 {_p95(taken_ms):.2f})"


def _p95(taken: Sequence[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.95))]


# ---------------------------------------------------------------------------- several at once

BEYOND = 10_000_000  # numbers of events that are newer than all others
Worker = tuple[str, Path, float, int]  # "ours" or "raw", the database, for how long, a number of its own


def writing(worker: Worker, batch: int, start: Any, answers: Any) -> None:
    """Stores batches until the time is over; tells how many events, and each batch's seconds."""
    kind, path, lasting_s, own = worker
    store = EventStore(f"sqlite:///{path}") if kind == "ours" else None
    raw = raw_database(path, is_new=False)
    taken_s, number = [], BEYOND * own
    start.wait()
    end_s = time.monotonic() + lasting_s
    while time.monotonic() < end_s:
        events = [an_event(number + place) for place in range(batch)]
        rows = ready_rows(events)
        number += batch
        began_s = time.monotonic()
        if store is not None:
            store.store_events(events)
        else:
            store_raw(raw, rows)
        taken_s.append(time.monotonic() - began_s)
    answers.put(("writer", len(taken_s) * batch, taken_s))


def reading(worker: Worker, start: Any, answers: Any) -> None:
    """Asks for incidents and functions until the time is over; tells how many, and their seconds."""
    kind, path, lasting_s, own = worker
    store = EventStore(f"sqlite:///{path}") if kind == "ours" else None
    raw = raw_database(path, is_new=False)
    chance = random.Random(own)
    taken_s = []
    start.wait()
    end_s = time.monotonic() + lasting_s
    while time.monotonic() < end_s:
        event = an_event(chance.randrange(200) * 1_000 + chance.randrange(502, 520))
        name = chance.choice(("correlation_id", "function", "pid", "ast_node_id"))
        wanted = EventFilter(**{name: getattr(event, name)}, limit=20)
        began_s = time.monotonic()
        if store is not None:
            store.query_events(wanted)
        else:
            raw.execute(*QueryOptimizer().select(wanted)).fetchall()
        taken_s.append(time.monotonic() - began_s)
    answers.put(("reader", len(taken_s), taken_s))


@contextmanager
def workers(
    kind: str, path: Path, *, writers: int, readers: int, batch: int, lasting_s: float
) -> Iterator[Any]:
    """Processes of their own, all started; gives where their answers come."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(writers + readers + 1), context.Queue()
    at = [next(_OWN) for _ in range(writers + readers)]
    started = [
        context.Process(target=writing, args=((kind, path, lasting_s, own), batch, start, answers))
        for own in at[:writers]
    ] + [
        context.Process(target=reading, args=((kind, path, lasting_s, own), start, answers))
        for own in at[writers:]
    ]
    for process in started:
        process.start()
    try:
        start.wait(60)
        yield answers
        for process in started:
            process.join(lasting_s + 60)
    finally:
        for process in started:
            process.kill()


_OWN = iter(range(1, 1_000))


def together(folder: Path) -> list[Row]:
    """One writer in batches of 100 beside 8 readers, each a process; two cores for all of them."""
    said = {}
    for kind in ("ours", "raw"):
        path = folder / f"{kind}-1000.db"
        for readers in (0, READERS):
            said[kind, readers] = _at_once(kind, path, readers)
    return [
        Row(
            f"a writer (batches of 100) and {READERS} readers at once, processes of their own",
            f"{said['ours', READERS]}; the writer alone {said['ours', 0]}",
            f"raw sqlite3 {said['raw', READERS]}; the writer alone {said['raw', 0]}",
            "–",
            None,
            COMMAND,
        )
    ]


def _at_once(kind: str, path: Path, readers: int) -> str:
    lasting_s = TOGETHER_S if readers else TOGETHER_S / 2
    with workers(kind, path, writers=1, readers=readers, batch=100, lasting_s=lasting_s) as answers:
        told = [answers.get(timeout=lasting_s + 60) for _ in range(1 + readers)]
    events = sum(count for who, count, _ in told if who == "writer")
    questions = sum(count for who, count, _ in told if who == "reader")
    waits_ms = [1e3 * taken for who, _, all_s in told if who == "reader" for taken in all_s]
    asked = f", {questions / lasting_s:,.0f} questions/s (p95 {_p95(waits_ms):.1f} ms)" if waits_ms else ""
    return f"{events / lasting_s:,.0f} events/s{asked}"


def pruning(folder: Path) -> list[Row]:
    """The oldest go while another process stores one event after the other."""
    path = folder / "ours-1000.db"
    quiet_s = longest_s(path, 3.0)
    engine, holds_s = engine_of(f"sqlite:///{path}"), []

    @contextmanager
    def transaction() -> Iterator[Connection]:
        with engine.begin() as connection:
            began_s = time.monotonic()  # the lock is ours from here on
            yield connection
        holds_s.append(time.monotonic() - began_s)

    took_s = 0.0
    with workers("ours", path, writers=1, readers=0, batch=1, lasting_s=PRUNING_S) as answers:
        time.sleep(0.5)
        began_s = time.monotonic()
        gone = Pruner(transaction).remove(at_most=PRUNED)
        took_s = time.monotonic() - began_s
        _who, stored, pauses_s = answers.get(timeout=60)
    engine.dispose()
    raw_s = _raw_deletion_s(folder / "raw-1000.db")
    longest = max(holds_s)
    return [
        Row(
            f"pruning {gone:,} events while another process stores one by one",
            f"{took_s:.1f} s in {len(holds_s)} transactions, median {1e3 * statistics.median(holds_s):.0f}"
            f" ms, longest {1e3 * longest:.0f} ms",
            f"raw sqlite3, one DELETE: the lock held for {raw_s:.2f} s",
            f"≤ {1e3 * LONGEST_HOLD_S:.0f} ms holding the lock",
            longest <= LONGEST_HOLD_S,
            COMMAND,
        ),
        Row(
            "the longest that the writer waited meanwhile, its own fsync included",
            f"{1e3 * max(pauses_s):.0f} ms (median {1e3 * statistics.median(pauses_s):.1f};"
            f" {stored:,} stored)",
            f"without pruning {1e3 * quiet_s:.0f} ms",
            "–",
            None,
            COMMAND,
        ),
    ]


def longest_s(path: Path, lasting_s: float) -> float:
    """How long the slowest of single events takes when nobody prunes."""
    with workers("ours", path, writers=1, readers=0, batch=1, lasting_s=lasting_s) as answers:
        return float(max(answers.get(timeout=60)[2]))


def _raw_deletion_s(path: Path) -> float:
    connection = raw_database(path, is_new=False)
    began_s = time.monotonic()
    oldest = "SELECT id FROM event ORDER BY id LIMIT ?"
    connection.execute(f"DELETE FROM event WHERE id IN ({oldest})", (PRUNED,))  # noqa: S608  fixed words only
    took_s = time.monotonic() - began_s
    connection.close()
    return took_s


if __name__ == "__main__":
    main()
