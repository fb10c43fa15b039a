"""The writer runs everything in order, waits for nobody, and drops only what may be dropped."""

from __future__ import annotations

import threading

import pytest

from monitord.errors import StorageError
from monitord.storage import Writer
from tests.patience import PATIENCE_S


def test_calls_run_in_order_on_one_thread_and_give_their_results() -> None:
    writer, seen = Writer(), list[tuple[int, int]]()
    futures = [writer.submit(lambda n=n: seen.append((n, threading.get_ident())) or n) for n in range(50)]
    assert [future.result(PATIENCE_S) for future in futures] == list(range(50))
    assert [n for n, _thread in seen] == list(range(50))
    assert len({thread for _n, thread in seen}) == 1
    assert threading.get_ident() not in {thread for _n, thread in seen}
    assert writer.close()


def test_an_error_goes_to_the_caller_and_the_thread_lives_on() -> None:
    writer = Writer()
    failed = writer.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failed.result(PATIENCE_S)
    assert writer.submit(lambda: 5).result(PATIENCE_S) == 5
    assert writer.close()


def test_a_full_queue_drops_the_oldest_history_only_and_counts_it() -> None:
    writer, gate, started = Writer(capacity=3), threading.Event(), threading.Event()
    writer.submit(lambda: (started.set(), gate.wait(PATIENCE_S)))
    assert started.wait(PATIENCE_S)
    oldest = writer.submit(lambda: "h1", may_drop=True)
    kept = [writer.submit(lambda: "e1"), writer.submit(lambda: "h2", may_drop=True)]
    kept.append(writer.submit(lambda: "e2"))
    assert oldest.cancelled()
    assert writer.depth == 4
    kept.append(writer.submit(lambda: "e3"))
    assert kept[1].cancelled()
    assert writer.submit(lambda: "h3", may_drop=True).cancelled()
    with pytest.raises(StorageError, match="writes wait already"):
        writer.submit(lambda: "e4")
    assert writer.dropped_count == 3
    gate.set()
    assert [kept[n].result(PATIENCE_S) for n in (0, 2, 3)] == ["e1", "e2", "e3"]
    assert writer.close()


def test_flush_waits_for_what_was_submitted_and_tells_when_time_ran_out() -> None:
    writer, gate = Writer(), threading.Event()
    future = writer.submit(lambda: gate.wait(PATIENCE_S))
    assert not writer.flush(timeout_s=0.01)
    gate.set()
    assert writer.flush(timeout_s=PATIENCE_S)
    assert future.done()
    assert writer.close()


def test_close_writes_what_waits_and_takes_no_more() -> None:
    writer = Writer()
    futures = [writer.submit(lambda n=n: n) for n in range(10)]
    assert writer.close(PATIENCE_S)
    assert [future.result(0) for future in futures] == list(range(10))
    with pytest.raises(StorageError, match="closed"):
        writer.submit(lambda: 1)


def test_close_gives_up_at_its_deadline_and_says_so() -> None:
    writer, gate, started = Writer(), threading.Event(), threading.Event()
    writer.submit(lambda: (started.set(), gate.wait(PATIENCE_S)))
    waiting = writer.submit(lambda: 1)
    assert started.wait(PATIENCE_S)
    assert not writer.close(timeout_s=0.01)
    assert waiting.cancelled()
    gate.set()
