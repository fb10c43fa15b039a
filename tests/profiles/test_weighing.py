"""Samples are worth what their threads ran, whatever py-spy's flag for idle threads says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitord.profiles import hotspots, parse
from monitord.profiles.waiting import only_waited
from monitord.profiles.weighing import weigh

PERIOD_S = 0.01
WINDOW_S = 10.0


def document(counts: dict[str, int]) -> dict[str, Any]:
    """A speedscope file of py-spy: of each thread so many samples of a function of its own."""
    return {
        "shared": {"frames": [{"name": f"in {name}", "file": "/a.py", "line": 1} for name in counts]},
        "profiles": [
            {
                "type": "sampled", "name": name, "unit": "seconds", "startValue": 0.0, "endValue": 1.0,
                "samples": [[index]] * count, "weights": [PERIOD_S] * count,
            }
            for index, (name, count) in enumerate(counts.items())
        ],
        "exporter": "py-spy@0.4.3",
    }  # fmt: skip


def use(threads: dict[int, float], process_s: float | None = None) -> dict[str, Any]:
    total_s = sum(threads.values()) if process_s is None else process_s
    return {"window_s": WINDOW_S, "process_s": total_s, "main_id": 1, "threads": threads}


@given(st.dictionaries(st.integers(1, 400), st.floats(0, WINDOW_S), min_size=1, max_size=40))
def test_where_every_thread_remembereds_busy_the_shares_are_those_of_the_cpu(used: dict[int, float]) -> None:
    counts = {f'Thread {number} "worker {number}"': 1000 for number in used}
    weighed = weigh(document(counts), use(used), PERIOD_S)
    shares = {spot.function: spot.self_share for spot in hotspots(as_read(weighed.document), 100)}
    counted = {number: used_s for number, used_s in used.items() if used_s > 0.01 * WINDOW_S}
    if sum(used.values()) < 0.05 * WINDOW_S:
        return  # nothing ran: where it waits is all there is to say
    for number in used:
        expected = counted.get(number, 0.0) / sum(counted.values()) if counted else 0.0
        assert shares.get(f'in Thread {number} "worker {number}"', 0.0) == pytest.approx(expected, abs=1e-6)


def as_read(found: Any) -> Any:
    return parse("speedscope", json.dumps(found).encode())


def test_cpu_that_no_sampled_thread_used_is_not_explained() -> None:
    """The main thread slept at its line, a native thread burned: 2 % are explained, and it is named."""
    found = weigh(document({'Thread 1 "MainThread"': 900}), use({1: 0.2, 77: 9.8}), PERIOD_S)
    assert found.explained_share == pytest.approx(0.02)
    assert found.hidden == (77,)


def test_a_thread_that_ended_meanwhile_is_worth_what_is_left_over() -> None:
    names = {'Thread 1 "MainThread"': 1000, 'Thread 5 "ended"': 300}
    found = weigh(document(names), use({1: 0.0}, process_s=3.0), PERIOD_S)
    assert found.explained_share == 1.0
    assert hotspots(as_read(found.document))[0].function == 'in Thread 5 "ended"'


def test_threads_without_an_id_keep_what_py_spy_says_of_them() -> None:
    """Old Pythons do not tell the ids: the main thread is known by its name, the others share the rest."""
    names = {'Thread 0x7F12 "MainThread"': 1000, 'Thread 0x7F13 "worker"': 800}
    found = weigh(document(names), use({1: 0.01, 9: 8.0}), PERIOD_S)
    profile = as_read(found.document)
    assert hotspots(profile)[0].function == 'in Thread 0x7F13 "worker"'
    assert hotspots(profile)[0].self_share == 1.0


def test_of_a_process_that_hardly_ran_the_threads_that_were_sampled_waiting_are_marked_so() -> None:
    """Its hot function was told as 100 % of the time, where it slept for all of it."""
    seen = document({'Thread 1 "MainThread"': 1000, 'Thread 2 "pool"': 1000})
    found = weigh(seen, use({1: 0.1}) | {"has_idle": True}, PERIOD_S)
    profile = parse("speedscope", json.dumps(found.document).encode())
    assert (only_waited(profile), found.explained_share) == (True, None)
    assert hotspots(profile), "where it waits is the evidence"
    assert not only_waited(parse("speedscope", json.dumps(seen).encode()))


def test_a_process_that_hardly_ran_is_left_as_it_was_seen() -> None:
    given_document = document({'Thread 1 "MainThread"': 1000})
    found = weigh(given_document, use({1: 0.1}), PERIOD_S)
    assert (found.document, found.explained_share) == (given_document, None)
