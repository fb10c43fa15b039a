"""The event store: ingest, bytes, questions, pruning, one writer beside eight readers; beside raw sqlite3.

    python benchmarks/events.py --events 1000000

Events are made up with the shapes of those that incidents leave: of a thousand, 980 are samples with a pid, a
process name and one or two readings; the rest are one incident (alert, capture, hotspots with function and
statement). The raw side is given ready rows for the same table, with the same pragmas; batches take turns.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from events_at_once import p95, pruning, together
from made_events import an_event, raw_database, ready_rows, store_raw
from recording import ROOT, Row, command_of, load, parser, show

from monitord.model import Event, EventType
from monitord.storage.events import EventFilter, EventStore, QueryOptimizer

COMMAND = command_of(__file__)
RATE_BUDGET = 50_000
BYTES_BUDGET = 100.0
QUERY_BUDGET_MS = 2.0
SMALL_BATCHES = {1: 2_000, 100: 100_000}  # batch size: how many events, because each batch waits for the disk
TYPE_EVENTS = 100_000


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
    return f"{statistics.median(taken_ms):.2f} ms (p95 {p95(taken_ms):.2f})"


if __name__ == "__main__":
    main()
