"""Several processes at the event store: a writer beside readers, and beside the pruner; part of events.py."""

from __future__ import annotations

import multiprocessing
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from made_events import an_event, raw_database, ready_rows, store_raw
from recording import HERE, Row, command_of
from sqlalchemy import Connection

from monitord.storage.events import EventFilter, EventStore, Pruner, QueryOptimizer
from monitord.storage.events.pruning import LONGEST_HOLD_S
from monitord.storage.events.store import engine_of

COMMAND = command_of(str(HERE / "events.py"))
PRUNED = 100_000
READERS = 8
TOGETHER_S = 6.0
PRUNING_S = 12.0
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
    asked = f", {questions / lasting_s:,.0f} questions/s (p95 {p95(waits_ms):.1f} ms)" if waits_ms else ""
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


def p95(taken: Sequence[float]) -> float:
    """What 95 % stay below."""
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.95))]
