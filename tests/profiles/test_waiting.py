"""Threads that only waited are a sentence; a thread that also ran is none of them."""

from __future__ import annotations

import json

from monitord.profiles import hotspots, parse
from monitord.profiles.waiting import waiting
from monitord.profiles.weighing import weigh

WORKER = [
    ("_bootstrap", "/usr/lib/python3.11/threading.py"),
    ("_worker", "/usr/lib/python3.11/concurrent/futures/thread.py"),
]
EVENT = [
    ("serve", "/srv/app.py"),
    ("Event.wait", "/usr/lib/python3.11/threading.py"),
    ("Condition.wait", "/usr/lib/python3.11/threading.py"),
]
BUSY = [("serve", "/srv/app.py"), ("price", "/srv/app.py")]
Stack = list[tuple[str, str]]


def dump(*threads: tuple[int, bool, Stack]) -> bytes:
    return json.dumps(
        [
            {
                "pid": 1, "os_thread_id": number, "active": active,
                "frames": [{"name": name, "filename": file, "line": 1} for name, file in reversed(stack)],
            }
            for number, active, stack in threads
        ]
    ).encode()  # fmt: skip


def said(*threads: tuple[int, bool, Stack]) -> str | None:
    return waiting(parse("py-spy-dump", dump(*threads)))


def test_the_function_that_has_a_thread_wait_is_named_and_not_the_library_s() -> None:
    pool = [(number, False, WORKER) for number in range(2, 47)]
    told = said((1, True, BUSY), *pool, (50, False, EVENT), (51, False, EVENT))
    assert told == "45 threads wait in _worker, 2 in serve"


def test_one_thread_waits() -> None:
    assert said((1, True, BUSY), (2, False, EVENT)) == "1 thread waits in serve"


def test_a_thread_that_ran_in_one_of_two_looks_is_not_among_them() -> None:
    assert (
        said((1, True, BUSY), (1, False, EVENT), (2, False, EVENT), (2, False, EVENT))
        == "1 thread waits in serve"
    )


def test_nothing_is_said_where_none_waits_or_threads_are_not_told_apart() -> None:
    assert said((1, True, BUSY)) is None
    assert waiting(parse("folded", b"a (x.py:1);b (x.py:2) 5\n")) is None


def test_many_places_are_summed_up() -> None:
    threads = [(number, False, [(f"f{number % 9}", "/a.py")]) for number in range(90)]
    told = said(*threads)
    assert told is not None
    assert told.startswith("10 threads wait in f")
    assert told.endswith(", 60 elsewhere")


def test_a_native_thread_is_named_by_what_called_the_wait() -> None:
    text = b"PID 1 - p\nTID 7:\n#0  0x1 __poll - /lib/libc.so.6\n#1  0x2 accept_loop - /srv/app\n"
    assert waiting(parse("eu-stack", text)) == "1 thread waits in accept_loop"


def test_threads_sampled_while_they_waited_are_marked_and_have_no_share() -> None:
    """py-spy with --idle: who ran is weighed by what he ran, who waited is told apart."""
    lanes = [("Thread 1", [0], 100), ("Thread 2", [1], 100)]
    document = {
        "shared": {"frames": [{"name": "price", "file": "/a.py", "line": 1}, {"name": "waits", "file": "/a.py", "line": 2}]},
        "profiles": [
            {"type": "sampled", "name": name, "unit": "seconds", "samples": [stack] * count, "weights": [0.01] * count}
            for name, stack, count in lanes
        ],
        "exporter": "py-spy@0.4.3",
    }  # fmt: skip
    use = {"window_s": 1.0, "process_s": 0.08, "main_id": 1, "threads": {1: 0.08, 2: 0.0}, "has_idle": True}
    profile = parse("speedscope", json.dumps(weigh(document, use, 0.01).document).encode())
    assert [(spot.function, spot.self_share) for spot in hotspots(profile)] == [("price", 1.0)]
    assert waiting(profile) == "1 thread waits in waits"
