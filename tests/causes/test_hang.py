"""Hangs have their holder named, in real programs; what only looks like one is put down to nobody."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitord import rights
from monitord.causes import OBSERVED_BYTES, hang, threads
from monitord.causes.facts import Facts
from monitord.model import Alert, Cause, ProcessKey, Threshold, TriggerMetric
from monitord.profiles.representation import Frame, Profile, Thread
from tests.causes import hanging
from tests.causes.conftest import Run, ticks, waits_in
from tests.patience import PATIENCE_S
from tests.strangers import NOBODY, process_of_another, unshared

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="futexes and /proc are Linux's")
Build = Callable[[str], str]
NOW = datetime(2026, 11, 26, tzinfo=UTC)
ALERT = Alert(
    "hang",
    TriggerMetric.HANG,
    90.0,
    Threshold(60.0, "seconds"),
    60.0,
    NOW,
    NOW,
    ProcessKey(1, 1),
    "x",
    "",
    1.5,
)


def explained(seen: dict[str, Any]) -> Cause:
    assert len(json.dumps(seen)) <= OBSERVED_BYTES
    return hang.explain(Facts(ALERT, after=json.loads(json.dumps(seen))))


def cause_of(pid: int) -> Cause:
    return explained(hang.observe(pid, ticks(pid)))


# ---------------------------------------------------------------------------------------- mutexes


@pytest.mark.parametrize("kind", sorted(set(hanging.KINDS) - {"inheriting"}))
@pytest.mark.parametrize("count", [2, 3])
def test_a_deadlock_is_shown_from_every_end(kind: str, count: int, built: Build, run: Run) -> None:
    """Whatever kind of mutex: each thread of the ring is named once as waiting and once as holding."""
    process, _ = run(built(hanging.deadlock(kind, count)))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("deadlock", "certain"), cause
    for number in range(count):
        holds = f"thread ring-{(number + 1) % count} ("
        assert f"thread ring-{number} (" in cause.sentence
        assert cause.sentence.count(holds) == 2, cause.sentence


def test_the_holder_of_an_inheriting_mutex_is_named(built: Build, run: Run) -> None:
    """The kernel itself keeps the owner. It refuses the last step of a ring, which glibc then waits out."""
    process, _ = run(built(hanging.deadlock("inheriting")))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("held lock", "certain"), cause
    assert "1 thread waits for a PI mutex that thread ring-" in cause.sentence


def test_a_thread_that_waits_for_itself_is_a_deadlock(built: Build, run: Run) -> None:
    process, _ = run(built(hanging.SELF_LOCKED))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("deadlock", "certain")
    assert "thread twice (" in cause.sentence
    assert "that it holds itself" in cause.sentence


def test_waiters_are_counted_and_what_the_holder_does_is_told(built: Build, run: Run) -> None:
    """45 clients of one mutex are one line, and the pipe at which its holder waits is said."""
    process, _ = run(built(hanging.HELD_WHILE_IT_READS))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("held lock", "certain")
    assert cause.sentence.startswith("45 threads wait for a mutex that thread filler (")
    assert "it waits to read at a pipe" in cause.sentence


def test_a_lock_that_a_fork_copied_is_told_as_such(built: Build, run: Run) -> None:
    _, (child,) = run(built(hanging.FORKED_WITH_A_LOCK))
    waits_in(child, "futex")
    cause = cause_of(child)
    assert cause.kind == "abandoned lock"
    assert "it was locked when this one was forked" in cause.sentence


def test_a_lock_whose_owner_has_ended_is_told_as_such(built: Build, run: Run) -> None:
    process, _ = run(built(hanging.OWNER_HAS_ENDED))
    cause = cause_of(process.pid)
    assert cause.kind == "abandoned lock"
    assert "has ended without letting go" in cause.sentence


def test_a_mutex_shared_between_processes_has_its_holder(built: Build, run: Run, tmp_path: Path) -> None:
    process, (child,) = run(built(hanging.SHARED_MUTEX), str(tmp_path / "shared"))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("held lock", "certain"), cause
    assert f"(pid {child})" in cause.sentence


def test_owners_are_found_in_another_pid_namespace(built: Build, run: Run) -> None:
    """There a mutex holds the numbers that the process itself knows; ours are told."""
    words = [*unshared("--pid", "--fork", "--mount-proc"), built(hanging.deadlock())]
    process, _ = run(*words)
    (child,) = [int(pid) for pid in _children(process.pid)]
    cause = cause_of(child)
    assert (cause.kind, cause.confidence) == ("deadlock", "certain"), cause
    ids = [one.name for one in Path(f"/proc/{child}/task").iterdir()]
    assert sum(f"({one})" in cause.sentence for one in ids) == 2


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


# ------------------------------------------------------------------------------------- look-alikes


@pytest.mark.parametrize("program", ["JOIN", "CONDITION", "SEMAPHORE"])
def test_what_has_no_owner_is_put_down_to_nobody(program: str, built: Build, run: Run) -> None:
    """A word that equals the id of a thread is a join, or else a lock: no claim. Nor of conditions."""
    process, _ = run(built(getattr(hanging, program)))
    waits_in(process.pid, "futex")
    cause = cause_of(process.pid)
    assert cause.confidence == "unknown", cause
    assert "holds" not in cause.sentence


def test_waiters_of_one_condition_are_one_group(built: Build, run: Run) -> None:
    process, _ = run(built(hanging.CONDITION))
    seen = hang.observe(process.pid, ticks(process.pid))
    assert sorted(group["count"] for group in seen["groups"]) == [1, 45]


@pytest.mark.parametrize(
    ("word", "is_alive", "users", "kind"),
    [(1, 1, 1, 0), (2, 1, 0, 0), (2, 1, 1, 4096), (2, 1, 32533, 4), (3, 1, 1, 0), (2, 1, 200_000, 0)],
)
def test_a_word_that_only_looks_like_a_mutex_is_none(
    word: int, is_alive: int, users: int, kind: int, built: Build, run: Run
) -> None:
    """Each field is wrong once, though the owner's is a living thread's id."""
    process, _ = run(built(hanging.RAW_FUTEX), *map(str, (word, is_alive, users, kind)))
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("unknown", "unknown"), cause


def test_threads_that_pass_through_locks_are_no_deadlock(run: Run) -> None:
    process, _ = run(hanging.BUSY_LOCKS)
    for _ in range(3):
        assert cause_of(process.pid).confidence == "unknown"


def test_an_idle_server_does_not_hang(run: Run) -> None:
    process, _ = run(hanging.IDLE_SERVER)
    waits_in(process.pid, "epoll_wait")
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("unknown", "unknown")
    assert ("1 thread", "waits for work in epoll_wait") in cause.evidence


# ------------------------------------------------------------------------------------------ Python


def test_a_deadlock_in_python_is_told_without_a_holder(run: Run) -> None:
    """Python's locks have no owner; that no thread is left to release one can be known all the same."""
    process, _ = run(hanging.PYTHON_DEADLOCK)
    waits_in(process.pid, "futex")
    deadline = time.monotonic() + PATIENCE_S
    while (cause := cause_of(process.pid)).kind != "deadlock" and time.monotonic() < deadline:
        continue  # the main thread is on its way to the join
    assert (cause.kind, cause.confidence) == ("deadlock", "likely")
    assert "all of its 3 threads wait for Python locks, conditions or queues, whose holders" in cause.sentence


def test_threads_of_python_are_told_with_their_functions_where_stacks_were_taken(run: Run) -> None:
    """And who else runs: one of them has the lock, if any."""
    process, _ = run(hanging.PYTHON_DEADLOCK)
    waits_in(process.pid, "futex")
    seen = hang.observe(process.pid, ticks(process.pid))
    frames = [Frame("transfer", "/srv/bank.py", 12), Frame("acquire", "/usr/lib/python3.11/threading.py", 5)]
    ids = [thread for group in seen["groups"] for thread, _name in group["named"]]
    stacks = {(Thread(None, thread), (0, 1)): 1 for thread in ids}
    cause = hang.explain(Facts(ALERT, after=seen, profiles=(Profile("py-spy", frames, stacks, len(ids)),)))
    assert (f"thread {ids[0]}", "is in transfer (/srv/bank.py:12), which calls acquire") in cause.evidence


ALONE = {
    "queue.get": "queue.Queue().get()",
    "Condition.wait": "c = threading.Condition(); c.acquire(); c.wait()",
    "Event.wait": "threading.Event().wait()",
    "Semaphore": "threading.Semaphore(0).acquire()",
    "Lock": "one = threading.Lock(); one.acquire(); one.acquire()",
}


@pytest.mark.parametrize("what", ALONE)
def test_a_thread_alone_that_waits_for_another_is_in_no_deadlock(what: str, run: Run) -> None:
    """No lock need be held by anybody: who could wake it is what is known. A stack says what it waits for."""
    process, _ = run(f"import queue, threading\nprint('ready', flush=True)\n{ALONE[what]}\n")
    waits_in(process.pid, "futex")
    seen = hang.observe(process.pid, ticks(process.pid))
    cause = explained(seen)
    assert (cause.kind, cause.confidence) == ("lock", "likely"), cause
    assert cause.sentence.endswith("nobody in this process can wake it: it has no other thread")

    def told(tool: str, *library: Frame) -> Cause:
        frames = [Frame("consume", "/srv/app.py", 12), *library]
        stacks = {(Thread(None, process.pid), tuple(range(len(frames)))): 1}
        return hang.explain(Facts(ALERT, after=seen, profiles=(Profile(tool, frames, stacks, 1),)))

    queue = (
        Frame("get", "/usr/lib/python3.11/queue.py", 171),
        Frame("wait", "/usr/lib/python3.11/threading.py", 327),
    )
    waits = told("py-spy", *queue)
    assert (waits.kind, waits.confidence) == ("lock", "likely")
    assert "waits for another thread's word (get, called by consume) without a time limit" in waits.sentence
    assert told("ring", *queue).sentence == cause.sentence  # where it ran before is not where it waits
    itself = told("py-spy")
    assert (itself.kind, itself.confidence) == ("deadlock", "likely")
    assert "its only thread waits for a lock (consume) without a time limit" in itself.sentence


def test_threads_that_all_wait_for_an_item_are_in_no_deadlock() -> None:
    """Workers at a queue, and who joins them: nobody holds anything."""
    group = {
        "on": "Python lock",
        "is_private": True,
        "is_steady": True,
        "count": 2,
        "named": [[1, "a"], [2, "b"]],
    }
    frames = [
        Frame("work", "/srv/app.py", 3),
        Frame("Queue.get", "/lib/queue.py", 4),
        Frame("Thread.join", "/lib/threading.py", 5),
    ]
    stacks = {(Thread(None, 1), (0, 1)): 1, (Thread(None, 2), (0, 2)): 1}
    profiles = (Profile("py-spy", frames, stacks, 2),)
    cause = hang.explain(Facts(ALERT, after={"threads": 2, "groups": [group]}, profiles=profiles))
    assert (cause.kind, cause.confidence) == ("lock", "likely"), cause
    assert "another thread's word (Queue.get, called by work, Thread.join, called by work)" in cause.sentence


def test_children_that_ended_and_are_not_waited_for_are_counted(run: Run) -> None:
    process, _ = run(hanging.NEVER_REAPS)
    waits_in(process.pid, "clock_nanosleep", "nanosleep", "select", "pselect6")
    cause = cause_of(process.pid)
    assert cause.confidence == "unknown"
    assert ("children", "3 child processes ended and not waited for") in cause.evidence


def test_who_may_not_read_system_calls_is_told_how() -> None:
    """An ordinary user beside a process of root: unknown, and what to do."""
    ends, wrote = os.pipe()
    with process_of_another() as pid:
        if (child := os.fork()) == 0:
            rights.keep_only((), (NOBODY, NOBODY))
            os.write(wrote, json.dumps(hang.observe(pid, 0)).encode())
            os._exit(0)
        os.waitpid(child, 0)
    cause = explained(json.loads(os.read(ends, 1 << 16)))
    for end in (ends, wrote):
        os.close(end)
    assert (cause.kind, cause.confidence) == ("unknown", "unknown")
    assert "record as root" in str(cause.decides)


# --------------------------------------------------------------------------------- bounds, attackers


def test_an_observation_of_thousands_of_threads_is_small(built: Build, run: Run) -> None:
    """4,000 threads that each wait somewhere else, with hostile names."""
    source = hanging.CONDITION.replace("at < 45", "at < 3000").replace('"pool"', r'"\033[31mp\n\377\"x"')
    process, _ = run(built(source))
    seen = hang.observe(process.pid, ticks(process.pid))
    assert seen["threads"] == 3001
    cause = explained(seen)
    shown = " ".join((cause.sentence, *(text for _label, text in cause.evidence)))
    assert shown.isprintable(), shown


@pytest.mark.parametrize(
    "seen",
    [
        {},
        {"groups": 3},
        {"groups": [1, {}]},
        {"groups": [{"on": "mutex", "holders": [{"pid": "x"}], "is_steady": True}]},
    ],
)
def test_an_observation_of_any_shape_is_survived(seen: dict[str, Any]) -> None:
    assert hang.explain(Facts(ALERT, after=seen)).confidence in ("unknown", "certain")


def test_no_thread_is_stopped_or_changed_by_a_look(built: Build, run: Run) -> None:
    process, _ = run(built(hanging.CONDITION))
    before = [one.ran_ns for one in threads.read_all(process.pid)[1]]
    hang.observe(process.pid, ticks(process.pid))
    assert [one.ran_ns for one in threads.read_all(process.pid)[1]] == before


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGCHLD", "SIGALRM", "SIGRTMIN"])
def test_a_program_that_handles_signals_may_wait_for_one(run: Run, name: str) -> None:
    """`stopping.wait()` until SIGTERM comes is how many servers rest: no deadlock."""
    code = (
        "import signal, threading\n"
        "stopping = threading.Event()\n"
        f"signal.signal(signal.{name}, lambda *_: stopping.set())\n"
        "print('ready', flush=True)\n"
        "stopping.wait()\n"
    )
    process, _ = run(code)
    waits_in(process.pid, "futex")
    cause = cause_of(process.pid)
    assert (cause.kind, cause.confidence) == ("lock", "possible"), cause
    assert "handles signals" in cause.sentence
